"""MuData, IGVF's layout and CELLxGENE's: guides and their targets are read from the screen itself."""

from __future__ import annotations

from types import SimpleNamespace

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.load import load_screen, read_screen
from fatebias.errors import DataError

ASSIGNED = "guide_assignment"


def var_of(parts):
    """Guide metadata as the IGVF pipeline writes them."""
    ntc = [bool(flag) for _, _, flag in parts.guide_map]
    targets = [
        "non-targeting" if flag else gene for (_, gene, _), flag in zip(parts.guide_map, ntc, strict=True)
    ]
    kind = ["non-targeting" if flag else "targeting" for flag in ntc]
    columns = {"intended_target_name": targets, "targeting": [not flag for flag in ntc], "type": kind}
    return pd.DataFrame(columns, index=list(parts.guides.columns))


def guides_of(parts, var=None, layer=ASSIGNED):
    """The modality of guides, its cells in another order: called guides in a layer, UMIs in X."""
    held = parts.guides.iloc[::-1]
    umis = sparse.csr_matrix(held.to_numpy() * 7 + 1)
    guides = ad.AnnData(umis, obs=pd.DataFrame(index=held.index), var=var_of(parts) if var is None else var)
    if layer:
        guides.layers[layer] = sparse.csr_matrix(held.to_numpy())
    return guides


def rna_of(parts):
    return parts.but(guides=None).adata()


@pytest.fixture
def write_mudata(tmp_path):
    """Write modalities, and what is held of all cells, as an .h5mu, and give the config that reads it."""

    def written(modalities, whole=None, **settings):
        path = tmp_path / "screen.h5mu"
        first = next(iter(modalities.values()))
        whole = ad.AnnData(obs=pd.DataFrame(index=first.obs_names)) if whole is None else whole
        with h5py.File(path, "w") as root:
            root.attrs["encoding-type"] = "MuData"
            for name, part in {**modalities, "": whole}.items():
                part.write_h5ad(tmp_path / "part.h5ad")
                with h5py.File(tmp_path / "part.h5ad") as source:
                    target = root.require_group(f"mod/{name}") if name else root
                    for key in source:
                        if name or key in ("obs", "obsm", "uns"):
                            source.copy(key, target)
        return DataConfig(source="anndata", adata_path=str(path), **settings)

    return written


@pytest.fixture
def read(write_mudata, tmp_path):
    def loaded(modalities, whole=None, **settings):
        return load_screen(write_mudata(modalities, whole, **settings), PriorsConfig(), tmp_path)

    return loaded


def test_the_layout_of_igvf_needs_no_guide_map(parts, load, read):
    screen = read({"gene": rna_of(parts), "guide": guides_of(parts)})
    assert screen.fingerprint() == load(parts).fingerprint()
    assert screen.summary["guide_map"].endswith("mod['guide']: var")
    assert screen.summary["source"].endswith("mod['gene']")
    assert screen.summary["warnings"] == []


@pytest.mark.parametrize("flag", ["targeting", "type", "is_ntc"])
def test_what_says_that_a_guide_is_a_control(parts, load, read, flag):
    var = var_of(parts)
    var["is_ntc"] = ~var["targeting"]
    var = var[["intended_target_name", flag]]
    screen = read({"gene": rna_of(parts), "guide": guides_of(parts, var)})
    assert screen.fingerprint() == load(parts).fingerprint()


@pytest.mark.parametrize("value", ["TRUE", "True", "1"])
def test_targeting_as_text(parts, load, read, value):
    var = var_of(parts)
    no = {"TRUE": "FALSE", "True": "False", "1": "0"}[value]
    var["targeting"] = [value if each else no for each in var["targeting"]]
    screen = read({"gene": rna_of(parts), "guide": guides_of(parts, var)})
    assert screen.fingerprint() == load(parts).fingerprint()
    var["targeting"] = "perhaps"
    with pytest.raises(DataError, match="is not boolean"):
        read({"gene": rna_of(parts), "guide": guides_of(parts, var)})


def test_safe_targeting_guides_are_told(parts, read):
    var = var_of(parts)
    var.loc["TBXT_sg1", ["intended_target_name", "type"]] = ["safe-targeting", "safe-targeting"]
    screen = read({"gene": rna_of(parts), "guide": guides_of(parts, var)})
    assert "safe-targeting" in screen.gene_names
    assert screen.summary["warnings"][0].startswith("1 safe-targeting guides have effects as genes do")


def test_a_guide_map_that_is_given_wins(parts, load, write, read):
    path = write(
        parts.but(guide_map=[[g, gene.lower(), ntc] for g, gene, ntc in parts.guide_map])
    ).guide_map_csv
    modalities = {"gene": rna_of(parts), "guide": guides_of(parts)}
    assert read(modalities, guide_map_csv=path).gene_names == ("gata2", "tbxt")


def test_counts_in_x_where_no_layer_has_calls(parts, load, read):
    modalities = {"rna": rna_of(parts), "gdo": guides_of(parts, layer=None)}
    assert read(modalities, guide_threshold=1).fingerprint() == load(parts).fingerprint()
    # only that matrix is read of a modality: every count is 1 or more here
    assert read(modalities).n_guides.tolist() == [6] * 36


def test_cells_that_the_guides_lack_hold_none(parts, load, read):
    guides = guides_of(parts)[parts.guides.index[4:]].copy()
    screen = read({"gene": rna_of(parts), "guide": guides})
    fewer = parts.guides.copy()
    fewer.iloc[:4] = 0
    assert screen.fingerprint() == load(parts.but(guides=fewer)).fingerprint()
    assert any(note.startswith("4 cells are not in") for note in screen.summary["notes"])
    other = guides.copy()
    other.obs_names = [f"x{i}" for i in range(32)]
    with pytest.raises(DataError, match="no cell of the fates is in the modality with the guides"):
        read({"gene": rna_of(parts), "guide": other})


def test_columns_and_fates_of_the_whole_are_those_of_the_modality_s_cells(parts, load, read):
    """Day and replicate in the MuData's obs, fates in its obsm: of all cells, in another order."""
    rna = ad.AnnData(np.zeros((36, 1), np.float32), obs=pd.DataFrame(index=parts.obs.index))
    order = np.random.default_rng(0).permutation(36)
    columns = parts.obs.assign(rep=parts.covar["rep"]).iloc[order]
    whole = ad.AnnData(obs=pd.concat([columns, columns.iloc[:2].set_axis(["only", "guides"])]))
    fates = parts.fates.iloc[order]
    whole.obsm["lineages_fwd"] = pd.concat([fates, fates.iloc[:2].set_axis(["only", "guides"])])
    modalities = {"gene": rna, "guide": guides_of(parts)}
    screen = read(modalities, whole, modality="gene")
    assert screen.fingerprint() == load(parts).fingerprint()
    # without a modality they are the MuData's own, with the two cells that the modality lacks
    assert read(modalities, whole).N == 38


def test_modalities_are_chosen_or_asked_for(parts, load, read):
    two = {"rna": rna_of(parts), "atac": rna_of(parts), "first": guides_of(parts), "second": guides_of(parts)}
    with pytest.raises(DataError, match=r"several modalities have obsm\['lineages_fwd'\]") as caught:
        read(two)
    assert "data.modality=atac (or another of these)" in str(caught.value)
    with pytest.raises(DataError, match="the modality with the guides is unknown") as caught:
        read(two, modality="rna")
    assert "data.guide_modality=" in str(caught.value)
    screen = read(two, modality="rna", guide_modality="second")
    assert screen.fingerprint() == load(parts).fingerprint()
    with pytest.raises(DataError, match="data.modality names no modality of the MuData\n.*\n  found: RNA"):
        read(two, modality="RNA")
    with pytest.raises(DataError, match=r"no modality has obsm\['fates'\]\n.*\n  found: atac has covar, lin"):
        read(two, fate_prob_key="fates")


def test_guides_in_obsm_of_the_modality(parts, load, read, write):
    """A MuData whose guides are where an AnnData has them."""
    csv = write(parts).guide_map_csv
    screen = read({"rna": parts.adata(), "atac": rna_of(parts)}, modality="rna", guide_map_csv=csv)
    assert screen.fingerprint() == load(parts).fingerprint()


def test_a_modality_of_an_anndata(parts, load):
    with pytest.raises(DataError, match="data.guide_modality asks for a modality, and there are none"):
        load(parts, guide_modality="guide")


def test_a_mudata_in_memory(parts, load):
    mod = {"gene": rna_of(parts), "guide": guides_of(parts)}
    whole = ad.AnnData(obs=pd.DataFrame(index=parts.obs.index))
    named = {name: getattr(whole, name) for name in ("obs", "obs_names", "obsm", "obsp", "uns")}
    screen = read_screen(SimpleNamespace(mod=mod, **named), None, DataConfig())
    assert screen.fingerprint() == load(parts).fingerprint()


def test_the_expression_of_the_other_modality_is_not_read(parts, write_mudata, load, tmp_path):
    data = write_mudata({"gene": rna_of(parts), "guide": guides_of(parts)})
    with h5py.File(data.adata_path, "r+") as root:
        for part in ("mod/gene/X", "mod/gene/var", "mod/guide/X"):
            del root[part]
    assert load_screen(data, PriorsConfig(), tmp_path).fingerprint() == load(parts).fingerprint()


def perturbations(parts, key="derived_features"):
    """CELLxGENE's uns: the role of each guide, and the genes that it lies in."""
    return {
        guide: {"role": "control", "protospacer_sequence": "ACGT"}
        if ntc
        else {"role": "targeting", key: {f"ENSG_{gene}": gene}}
        for guide, gene, ntc in parts.guide_map
    }


def cellxgene(parts, uns):
    calls = [" || ".join(sorted(row.index[row > 0])) or "na" for _, row in parts.guides.iterrows()]
    obs = parts.obs.assign(genetic_perturbation_id=pd.Categorical(calls))
    return parts.but(guides=None, obs=obs, uns={"genetic_perturbations": uns})


@pytest.mark.parametrize("key", ["derived_features", "intended_features"])
def test_cellxgene_needs_no_guide_map(parts, load, write, tmp_path, key):
    guides = parts.guides.copy()
    guides.iloc[0] = 0
    sound = parts.but(guides=guides)
    data = write(cellxgene(sound, perturbations(parts, key)))
    data.guide_map_csv = None
    screen = load_screen(data, PriorsConfig(), tmp_path)
    assert screen.fingerprint() == load(sound).fingerprint()
    assert screen.summary["guide_map"].endswith("uns['genetic_perturbations']")


def test_guides_of_cellxgene_without_a_gene_are_refused(parts, write, tmp_path):
    uns = perturbations(parts)
    del uns["TBXT_sg1"]["derived_features"]
    data = write(cellxgene(parts, uns))
    data.guide_map_csv = None
    with pytest.raises(DataError, match="1 targeting guides have no features(.|\n)*found: 'TBXT_sg1'"):
        load_screen(data, PriorsConfig(), tmp_path)


def test_guides_of_cellxgene_in_two_genes(parts, write, tmp_path):
    uns = perturbations(parts)
    uns["TBXT_sg1"]["derived_features"]["ENSG_2"] = "SOX2"
    data = write(cellxgene(parts, uns), two_targets="both")
    data.guide_map_csv = None
    assert load_screen(data, PriorsConfig(), tmp_path).gene_names == ("GATA2", "SOX2", "TBXT")


def test_a_screen_that_says_nothing_of_its_guides(parts, write, tmp_path):
    data = write(parts)
    data.guide_map_csv = None
    with pytest.raises(DataError, match="data=anndata needs data.guide_map_csv(.|\n)*=guides.csv"):
        load_screen(data, PriorsConfig(), tmp_path)

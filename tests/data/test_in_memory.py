"""AnnData objects and DataFrames read as their files do, stay untouched, and are named in errors."""

from __future__ import annotations

import copy
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fatebias.config import DataConfig
from fatebias.data.load import read_screen
from fatebias.errors import DataError

DATA = DataConfig()


class FakeLineage(np.ndarray):
    """A stand-in for CellRank's Lineage: an array that carries the names of its columns."""

    names: np.ndarray

    @property
    def X(self) -> np.ndarray:  # noqa: N802
        return np.asarray(self)


def frame_of(parts):
    return pd.DataFrame(parts.guide_map, columns=parts.header)


@pytest.fixture
def read(parts):
    """Read the parts from memory."""

    def read_from_memory(parts=parts, guides=None, **settings):
        frame = frame_of(parts) if guides is None else guides
        return read_screen(parts.adata(), frame, DataConfig(**settings))

    return read_from_memory


def test_files_and_objects_give_one_screen(parts, write, load):
    files = write(parts)
    expected = load(parts).fingerprint()
    for source in (files.adata_path, Path(files.adata_path), parts.adata()):
        for guides in (files.guide_map_csv, Path(files.guide_map_csv), frame_of(parts)):
            screen = read_screen(source, guides, DATA)
            assert screen.fingerprint() == expected
            told = screen.summary
            assert told["source"] == (
                "the AnnData object" if isinstance(source, ad.AnnData) else files.adata_path
            )
            in_memory = isinstance(guides, pd.DataFrame)
            assert told["guide_map"] == ("the guide map (DataFrame)" if in_memory else files.guide_map_csv)


@pytest.mark.parametrize("names", [["NEU", "EC", "MES"], np.array(["NEU", "EC", "MES"])])
def test_a_lineage_in_memory_names_its_columns(parts, load, names):
    lineage = parts.fates[["NEU", "EC", "MES"]].to_numpy().view(FakeLineage)
    lineage.names = names
    adata = parts.adata()
    adata.obsm["lineages_fwd"] = lineage
    screen = read_screen(adata, frame_of(parts), DATA)
    assert screen.summary["fates"]["named_by"] == "the Lineage"
    assert screen.fingerprint() == load(parts).fingerprint()
    assert type(screen.p) is np.ndarray


def test_names_in_uns_apply_to_an_object_too(parts, load):
    changed = parts.but(
        fates=parts.fates.to_numpy(),
        guides=parts.guides.to_numpy(),
        uns={"lineages_fwd_names": ["EC", "MES", "NEU"], "guide_names": list(parts.guides.columns)},
    )
    assert read_screen(changed.adata(), frame_of(parts), DATA).fingerprint() == load(parts).fingerprint()


def test_a_view_reads_as_its_copy(parts):
    view = parts.adata()[parts.obs["day"].to_numpy() != "d1"]
    assert view.is_view
    screen = read_screen(view, frame_of(parts), DATA)
    assert (screen.N, screen.day_labels) == (24, ("d0", "d2"))
    assert screen.fingerprint() == read_screen(view.copy(), frame_of(parts), DATA).fingerprint()
    assert view.is_view


def test_objects_are_left_as_they_were_and_x_is_never_read(parts, monkeypatch):
    guides = sparse.csr_matrix(parts.guides.to_numpy())
    guides.indices = guides.indices[::-1].copy()  # unsorted, as some tools leave it
    fates = parts.fates.to_numpy()
    fates[3] = [1 + 1e-8, -1e-8, 0.0]  # clipped by the reader
    adata = parts.but(
        fates=fates,
        guides=guides,
        obs=parts.obs.assign(w=np.arange(36.0)),
        uns={
            "lineages_fwd_names": np.array(["EC", "MES", "NEU"]),
            "guide_names": np.array(parts.guides.columns),
        },
    ).adata()
    frame = frame_of(parts)
    before, frame_before = copy.deepcopy(dict(adata.obsm)), frame.copy()
    obs, uns = adata.obs.copy(), copy.deepcopy(dict(adata.uns))

    def refuse(self):
        raise AssertionError("X is read")

    monkeypatch.setattr(ad.AnnData, "X", property(refuse))
    screen = read_screen(adata, frame, DataConfig(cell_weights="column", weights="w"))
    for name in ("p", "weight", "cells"):
        getattr(screen, name)[:] = 0  # whatever is done to the screen
    np.testing.assert_array_equal(adata.obsm["lineages_fwd"], before["lineages_fwd"])
    for array in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(adata.obsm["guide"], array), getattr(before["guide"], array))
    pd.testing.assert_frame_equal(adata.obsm["covar"], before["covar"])
    pd.testing.assert_frame_equal(adata.obs, obs)
    pd.testing.assert_frame_equal(frame, frame_before)
    assert adata.uns.keys() == uns.keys()
    np.testing.assert_array_equal(adata.uns["guide_names"], uns["guide_names"])


@pytest.mark.parametrize(
    ("changed", "settings", "message"),
    [
        (
            {},
            {"guide_key": "guides"},
            r"obsm\['guides'\] is absent\n  where: the AnnData object: obsm\n  found: obsm has lineages_fwd, "
            r"guide, covar\n  fix: data.guide_key=guide$",
        ),
        ({}, {"day_key": "time"}, r"obs\['time'\] is absent\n  where: the AnnData object: obs\n"),
        (
            {"fates": np.full((36, 3), 1 / 3)},
            {},
            r"names of the fate columns are unknown\n  where: the AnnData object: obsm\['lineages_fwd'\]",
        ),
        ({}, {"D": 7}, r"data.D is 7, .* 3 days\n  where: the AnnData object: obs\['day'\]"),
        (
            {"guide_map": [["GATA2_sg1", "GATA2", 0]]},
            {},
            r"5 guides of the matrix are not in the guide map\n"
            r"  where: the AnnData object: obsm\['guide'\] and the guide map \(DataFrame\)\n",
        ),
        (
            {"guide_map": [["GATA2_sg1", "GATA2", 0], ["", "TBXT", 0]]},
            {},
            r"guides without a name\n  where: the guide map \(DataFrame\): column guide_name\n"
            r"  found: rows 1\n",
        ),
        (
            {"header": ["guide", "gene_name", "is_ntc"]},
            {},
            r"the guide map lacks guide_name\n  where: the guide map \(DataFrame\)\n",
        ),
        (
            {"guide_map": [["GATA2_sg1", None, 0]]},
            {},
            r"have no gene\n  where: the guide map \(DataFrame\): column gene_name\n  found: 'GATA2_sg1'",
        ),
    ],
)
def test_errors_name_the_object(parts, read, changed, settings, message):
    with pytest.raises(DataError, match=message):
        read(parts.but(**changed), **settings)


@pytest.mark.parametrize("kind", [bool, int, float, str, "category", "boolean", "Int8", "string"])
def test_is_ntc_of_any_type(parts, read, load, kind):
    frame = frame_of(parts)
    frame["is_ntc"] = frame["is_ntc"].astype(bool if kind == "boolean" else int).astype(kind)
    assert read(guides=frame).fingerprint() == load(parts).fingerprint()


def test_a_frame_is_read_by_its_columns_or_a_named_index(parts, read, load):
    frame = frame_of(parts).assign(well="A1")[["is_ntc", "well", "gene_name", "guide_name"]]
    frame.loc[4:, "gene_name"] = np.nan  # NTC guides have no gene
    expected = load(parts).fingerprint()
    assert read(guides=frame).fingerprint() == expected
    assert read(guides=frame.set_index("guide_name")).fingerprint() == expected


def test_other_objects_are_refused(parts):
    with pytest.raises(
        DataError, match="neither a path nor an AnnData object\n.*\n  found: .* type DataFrame"
    ):
        read_screen(parts.obs, frame_of(parts), DATA)
    with pytest.raises(
        DataError, match="neither a file nor a DataFrame\n.*\n  found: an object of type dict"
    ):
        read_screen(parts.adata(), {"GATA2_sg1": "GATA2"}, DATA)

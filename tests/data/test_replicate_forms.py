"""The replicate is a column of obsm's covariates, in any form, else of obs."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from fatebias.config import PriorsConfig
from fatebias.data.load import load_screen
from fatebias.errors import DataError


def in_obs(parts, name="rep", **changed):
    return parts.but(obs=parts.obs.assign(**{name: parts.covar["rep"]}), **changed)


@pytest.mark.filterwarnings("ignore::UserWarning")  # anndata's zarr writer
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_a_column_of_obs_where_obsm_has_none(parts, load, suffix):
    expected = load(parts).fingerprint()
    assert load(in_obs(parts, covar=None), suffix).fingerprint() == expected
    assert load(in_obs(parts, "batch", covar=None), suffix, rep_key="batch").fingerprint() == expected


def test_a_column_of_obs_beside_covariates_that_lack_it(parts, load):
    expected = load(parts).fingerprint()
    other = pd.DataFrame({"depth": np.arange(36.0)}, parts.covar.index)
    assert load(in_obs(parts, covar=other)).fingerprint() == expected
    assert load(in_obs(parts, covar=other.to_numpy())).fingerprint() == expected


def test_covariates_in_obsm_come_first(parts, load):
    both = parts.but(obs=parts.obs.assign(rep="another"))
    assert load(both).rep_labels == ("r0", "r1")


@pytest.mark.parametrize("dtype", ["S2", "O", "i4"])
def test_a_structured_array(parts, write, load, tmp_path, dtype):
    values = [int(rep[1]) if dtype == "i4" else rep for rep in parts.covar["rep"]]
    structured = np.zeros(
        36, dtype=[("depth", "f8"), ("rep", h5py.string_dtype() if dtype == "O" else dtype)]
    )
    structured["rep"] = values
    data = write(parts)
    with h5py.File(data.adata_path, "r+") as root:
        del root["obsm/covar"]
        root["obsm/covar"] = structured
        root["obsm/covar"].attrs.update({"encoding-type": "rec-array", "encoding-version": "0.2.0"})
    screen = load_screen(data, PriorsConfig(), tmp_path)
    assert screen.fingerprint() == load(parts).fingerprint() or dtype == "i4"
    assert (screen.rep == load(parts).rep).all()


def test_a_structured_array_in_memory(parts):
    from fatebias.config import DataConfig
    from fatebias.data.load import read_screen

    adata = parts.adata()
    covar = np.array([(rep,) for rep in parts.covar["rep"]], dtype=[("rep", "U2")])
    adata.obsm["covar"] = covar
    guides = pd.DataFrame(parts.guide_map, columns=parts.header)
    assert read_screen(adata, guides, DataConfig()).rep_labels == ("r0", "r1")


def test_no_replicate_anywhere(parts, load):
    with pytest.raises(
        DataError, match=r"obsm\['covar'\] is absent\n.*\n  found: obsm has guide, lineages_fwd; "
    ) as caught:
        load(parts.but(covar=None))
    assert "no column 'rep' in obs, which has day" in str(caught.value)
    assert "fix: where there is one replicate alone, adata.obs['rep'] = 'one'" in str(caught.value)
    beside = parts.but(covar=None, obs=parts.obs.assign(lane=1, sample_id="s1"))
    with pytest.raises(DataError, match=r"fix: data.rep_key=sample_id \(or another of these\); where"):
        load(beside)

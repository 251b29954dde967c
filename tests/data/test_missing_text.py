"""Text that means missing is refused like a missing value, in every column of labels; meant ones are kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fatebias.data.reading.clusters import column_clusters
from fatebias.errors import DataError

MISSING = [
    "NA",
    "na",
    "N/A",
    "#N/A",
    "<NA>",
    "NaN",
    "nan",
    "None",
    "null",
    "NULL",
    "",
    " ",
    "-",
    ".",
    "NA_character_",
]


@pytest.mark.parametrize("text", MISSING)
def test_a_day_that_means_missing(parts, load, text):
    with pytest.raises(DataError, match="12 of 36 cells have no value") as caught:
        load(parts.but(obs=parts.obs.assign(day=["d0", "d1", text] * 12)))
    assert f"found: missing, written as {text!r} in rows 2, 5, 8, 11, 14" in str(caught.value)


@pytest.mark.parametrize("text", MISSING)
@pytest.mark.parametrize("kind", [object, "category"])
def test_a_replicate_that_means_missing(parts, load, text, kind):
    rep = parts.covar["rep"].replace("r1", text).astype(kind)
    with pytest.raises(DataError, match="18 of 36 cells have no value") as caught:
        load(parts.but(covar=pd.DataFrame({"rep": rep})))
    assert "obsm['covar']['rep']" in str(caught.value)


def test_a_label_that_is_meant_is_kept(parts, load):
    rep = pd.DataFrame({"rep": parts.covar["rep"].replace("r1", "NA")})
    with pytest.raises(DataError, match="where 'NA' is a label of its own: 'data.meant_labels=\\[NA\\]'"):
        load(parts.but(covar=rep))
    assert load(parts.but(covar=rep), meant_labels=["NA"]).rep_labels == ("NA", "r0")
    with pytest.raises(DataError, match="have no value"):
        load(parts.but(covar=rep.replace("NA", "None")), meant_labels=["NA"])


def test_a_day_that_the_order_names_is_meant(parts, load):
    none = parts.but(obs=parts.obs.assign(day=["none", "low", "high"] * 12))
    with pytest.raises(DataError, match="have no value"):
        load(none)
    order = ["none", "low", "high"]
    assert load(none, day_order=order).day_labels == tuple(order)


def test_a_cluster_that_means_missing():
    with pytest.raises(DataError, match="2 of 3 cells have no cluster") as caught:
        column_clusters(pd.Series(["a", "NA", None]), "file: obs['lane']")
    assert "data.cluster_key=null" in str(caught.value)
    assert column_clusters(pd.Series(["a", "NA"]), "here", ["NA"]).tolist() == [1, 0]


@pytest.mark.parametrize("text", ["NA", "nan", "None", "-"])
def test_a_fate_column_that_means_missing(parts, load, text):
    frame = parts.fates.rename(columns={"NEU": text})
    fates = {"fates": ["EC", "MES", text]}
    for named in (parts.but(fates=frame), named_in_uns(parts, ["EC", "MES", text])):
        with pytest.raises(DataError, match="the name of a fate column means a missing value") as caught:
            load(named, **fates)
        assert f"with the name that is meant in place of {text!r}" in str(caught.value)
    assert load(parts.but(fates=frame), fate_columns=["EC", "MES", "NEU"]).fates == ("EC", "MES", "NEU")


def named_in_uns(parts, names):
    return parts.but(fates=parts.fates.to_numpy(), uns={"lineages_fwd_names": np.array(names, dtype=object)})


def test_cells_that_are_not_terminal_are_no_fate(parts, load):
    """Terminal states that went through text have a category "nan" for all other cells."""
    states = pd.Categorical(["EC", "MES", "NEU", *["nan"] * 33], ["EC", "MES", "NEU", "nan"])
    fates = parts.fates.to_numpy().copy()
    fates[:3] = np.eye(3)
    screen = load(parts.but(fates=fates, obs=parts.obs.assign(term_states_fwd=states)))
    assert screen.summary["fates"]["named_by"] == "obs['term_states_fwd']"
    assert screen.summary["fates"]["columns_in_file"] == ["EC", "MES", "NEU"]

"""Fate columns are found by name or refused; rows must be probabilities."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fatebias.config import DataConfig
from fatebias.data.reading.reader import read_raw
from fatebias.errors import DataError

KEY = "obsm['lineages_fwd']"


def bare(parts, order=("EC", "MES", "NEU")):
    """As CellRank's matrix looks once written: no names."""
    return parts.fates[list(order)].to_numpy()


def with_states(parts, categories, codes=None):
    codes = [-1] * len(parts.obs) if codes is None else codes
    return parts.obs.assign(term_states_fwd=pd.Categorical.from_codes(codes, categories))


def test_columns_come_reference_first_then_as_configured(parts, load):
    screen = load(parts, fates=["NEU", "EC", "MES"], ref_fate="MES", contrast_fate="EC")
    assert screen.fates == ("MES", "NEU", "EC")
    assert screen.contrast_index == 1
    np.testing.assert_allclose(screen.p, parts.fates[["MES", "NEU", "EC"]].to_numpy(), rtol=1e-15)
    np.testing.assert_allclose(screen.p.sum(axis=1), 1, rtol=0, atol=4e-16)


@pytest.mark.parametrize(
    ("named_by", "settings"),
    [
        ("the DataFrame", {}),
        ("uns['lineages_fwd_names']", {}),
        ("obs['term_states_fwd']", {}),
        ("data.fate_columns", {"fate_columns": ["NEU", "EC", "MES"]}),
    ],
)
def test_names_are_found_wherever_the_file_has_them(parts, load, named_by, settings):
    order = ["NEU", "EC", "MES"]
    changed = {
        "the DataFrame": {"fates": parts.fates[order]},
        "uns['lineages_fwd_names']": {
            "fates": bare(parts, order),
            "uns": {"lineages_fwd_names": np.array(order)},
        },
        "obs['term_states_fwd']": {"fates": bare(parts, order), "obs": with_states(parts, order)},
        "data.fate_columns": {"fates": bare(parts, order)},
    }
    screen = load(parts.but(**changed[named_by]), **settings)
    assert screen.summary["fates"]["named_by"] == named_by
    assert screen.summary["fates"]["columns_in_file"] == order
    assert screen.fingerprint() == load(parts).fingerprint()


def test_the_first_source_of_names_wins(parts, load):
    order = ["NEU", "EC", "MES"]
    obs = with_states(parts, ["MES", "EC", "NEU"])
    uns = {"lineages_fwd_names": np.array(order)}
    screen = load(parts.but(fates=bare(parts, order), obs=obs, uns=uns))
    assert screen.summary["fates"]["named_by"] == "uns['lineages_fwd_names']"
    screen = load(parts.but(fates=bare(parts), obs=obs, uns=uns), fate_columns=["EC", "MES", "NEU"])
    assert screen.fingerprint() == load(parts).fingerprint()


def test_any_number_of_fates_from_two_on(parts, load):
    two = parts.fates[["EC", "MES"]].div(parts.fates[["EC", "MES"]].sum(axis=1), axis=0)
    screen = load(parts.but(fates=two), fates=["EC", "MES"])
    assert screen.p.shape == (36, 2)
    four = parts.fates.assign(BLOOD=parts.fates["NEU"] / 2, NEU=parts.fates["NEU"] / 2)
    screen = load(parts.but(fates=four), fates=["BLOOD", "EC", "NEU", "MES"])
    assert screen.fates == ("EC", "BLOOD", "NEU", "MES")
    assert screen.contrast_index == 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_types_of_fates_are_read(parts, load, dtype):
    screen = load(parts.but(fates=bare(parts).astype(dtype), obs=with_states(parts, ["EC", "MES", "NEU"])))
    np.testing.assert_allclose(screen.p, bare(parts), atol=2 * float(np.finfo(dtype).eps))
    assert screen.p.dtype == np.float64


def test_names_unknown(parts, load):
    with pytest.raises(DataError, match="names of the fate columns are unknown") as caught:
        load(parts.but(fates=bare(parts)))
    message = str(caught.value)
    assert KEY in message
    assert "no uns['lineages_fwd_names'], no categories in obs['term_states_fwd']" in message
    assert "'data.fate_columns=[NAME1,NAME2,NAME3]' in the order of the columns" in message


@pytest.mark.parametrize(
    ("categories", "how"), [(["EC", "MES"], "fewer"), (["EC", "MES", "NEU", "X"], "more")]
)
def test_categories_unlike_the_columns(parts, load, categories, how):
    with pytest.raises(DataError, match=rf"obs\['term_states_fwd'\] has {how} categories than .* columns"):
        load(parts.but(fates=bare(parts), obs=with_states(parts, categories)))


def test_states_as_plain_text_name_nothing(parts, write):
    obs = parts.obs.assign(term_states_fwd=["EC", "MES", "NEU"] * 12)
    raw = read_raw(
        parts.but(fates=bare(parts), obs=obs).adata(), Path(write(parts).guide_map_csv), DataConfig()
    )
    assert raw.terminal is None


def test_numbers_for_names_tell_what_the_states_are(parts, load):
    frame = parts.fates.set_axis(["0", "1", "2"], axis=1)
    with pytest.raises(DataError, match="fate columns have numbers for names") as caught:
        load(parts.but(fates=frame, obs=with_states(parts, ["MES", "EC", "NEU"])))
    assert "found: 0, 1, 2" in str(caught.value)
    assert "data.fate_columns=[" in str(caught.value)
    assert "the terminal states, in their own order, are MES, EC, NEU" in str(caught.value)


def test_numbered_columns_are_read_with_fate_columns(parts, load):
    frame = parts.fates.set_axis(["0", "1", "2"], axis=1)
    assert (
        load(parts.but(fates=frame), fate_columns=["EC", "MES", "NEU"]).fingerprint()
        == load(parts).fingerprint()
    )


def test_uns_names_of_another_number(parts, load):
    with pytest.raises(
        DataError, match=r"uns\['lineages_fwd_names'\] names 2 fates, the matrix has 3 columns"
    ):
        load(parts.but(fates=bare(parts), uns={"lineages_fwd_names": np.array(["EC", "MES"])}))


def test_fate_columns_of_another_number(parts, load):
    with pytest.raises(DataError, match="data.fate_columns names 4 columns, the screen has 3"):
        load(parts, fate_columns=["EC", "MES", "NEU", "X"])


def test_only_the_case_differs(parts, load):
    frame = parts.fates.set_axis(["ec", " MES", "NEU"], axis=1)
    with pytest.raises(
        DataError, match="'EC', 'MES' are spelt otherwise in the screen: only case or spaces"
    ) as caught:
        load(parts.but(fates=frame))
    line = """'data.fates=[ec," MES",NEU]' data.ref_fate=ec 'data.contrast_fate=" MES"'"""
    assert line in str(caught.value)


def test_fates_not_among_the_columns_are_listed(parts, load):
    with pytest.raises(DataError, match="fates 'EC' are not among the columns") as caught:
        load(parts.but(fates=parts.fates.rename(columns={"EC": "Endothelium"})))
    assert "found: EC, MES, NEU\n  allowed: Endothelium, MES, NEU\n" in str(caught.value)


def test_two_columns_of_one_name(parts, load):
    with pytest.raises(DataError, match="fate columns share a name"):
        load(parts.but(fates=bare(parts), uns={"lineages_fwd_names": np.array(["EC", "MES", "EC"])}))


def test_further_fates_are_refused_dropped_or_merged(parts, load):
    four = parts.fates.assign(BLOOD=parts.fates["EC"] * 0.5, EC=parts.fates["EC"] * 0.5)
    with pytest.raises(DataError, match="fates beyond data.fates: BLOOD") as caught:
        load(parts.but(fates=four))
    assert "found: EC, MES, NEU\n  allowed: EC, MES, NEU, BLOOD\n" in str(caught.value)
    assert "data.other_fates=drop" in str(caught.value)
    assert "data.other_fates=NEU" in str(caught.value)

    dropped = load(parts.but(fates=four), other_fates="drop")
    kept = four[["EC", "MES", "NEU"]].to_numpy()
    np.testing.assert_allclose(dropped.p, kept / kept.sum(axis=1, keepdims=True), rtol=1e-14)
    assert "fates dropped, the rest renormalised: BLOOD" in dropped.summary["notes"][0]

    merged = load(parts.but(fates=four), other_fates="EC")
    np.testing.assert_allclose(merged.p, parts.fates.to_numpy(), rtol=1e-14)
    assert merged.summary["notes"] == ["fates merged into EC: BLOOD"]


def test_cells_wholly_of_a_dropped_fate_are_dropped_and_counted(parts, load):
    four = parts.fates.assign(BLOOD=0.0)
    four.iloc[[4, 9]] = [0.0, 0.0, 0.0, 1.0]
    screen = load(parts.but(fates=four), other_fates="drop")
    assert screen.N == 34
    assert screen.summary["cells"]["dropped"] == {"no probability in the configured fates": 2}
    assert not {"c04", "c09"} & set(screen.cells)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ([np.nan, 0.5, 0.5], "1 with NaN or infinity"),
        ([np.inf, 0.0, 0.0], "1 with NaN or infinity"),
        ([1.2, -0.1, -0.1], "1 with a negative value"),
        ([0.0, 0.0, 0.0], "1 that sum to zero"),
        ([0.5, 0.5, 0.5], "1 that do not sum to 1"),
        ([0.5, 0.3, 0.198], "1 that do not sum to 1"),
    ],
)
def test_rows_that_are_no_probabilities(parts, load, row, kind):
    parts.fates.loc["c05"] = row
    broken = parts
    with pytest.raises(DataError, match="1 of 36 cells have fate values that are no probabilities") as caught:
        load(broken)
    message = str(caught.value)
    assert f"rows {kind}" in message
    assert "values from" in message
    assert "first cells 'c05'" in message
    assert "data.bad_cells=drop" in message

    screen = load(broken, bad_cells="drop")
    assert screen.N == 35
    assert "c05" not in screen.cells
    assert screen.summary["cells"]["dropped"] == {"fate values that are no probabilities": 1}


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (lambda p: p * 100, "these look like percent: divide them by 100"),
        (lambda p: np.log(p), "these look like logits"),
    ],
)
def test_percent_and_logits_are_recognised(parts, load, values, hint):
    with pytest.raises(
        DataError, match="36 of 36 cells have fate values that are no probabilities"
    ) as caught:
        load(parts.but(fates=values(parts.fates)), bad_cells="drop")
    assert hint in str(caught.value)
    assert "no cell would be left" in str(caught.value)


def test_leaving_out_nearly_all_cells_is_no_way_out(parts, load):
    fates = parts.fates * 2
    fates.iloc[0] = parts.fates.iloc[0]
    with pytest.raises(DataError, match="35 of 36 cells") as caught:
        load(parts.but(fates=fates))
    assert "correct the values: only 1 cell would be left" in str(caught.value)
    assert "data.bad_cells=drop" not in str(caught.value)


def test_rounding_and_solver_noise_pass(parts, load):
    rounded = parts.fates.round(3)
    rounded.iloc[3] = [1.0 + 1e-8, -1e-8, 0.0]
    screen = load(parts.but(fates=rounded))
    assert (screen.p >= 0).all()
    np.testing.assert_allclose(screen.p.sum(axis=1), 1, atol=4e-16)


def one_hot(parts, order):
    """Cells 0, 1, 2 are terminal cells of EC, MES and NEU."""
    p = parts.fates[list(order)].copy()
    for cell, fate in enumerate(["EC", "MES", "NEU"]):
        p.iloc[cell] = [float(name == fate) for name in order]
    return p, [0, 1, 2, *[-1] * (len(p) - 3)]


def test_terminal_cells_in_other_columns_contradict_their_categories(parts, load):
    p, codes = one_hot(parts, ("MES", "EC", "NEU"))
    obs = with_states(parts, ["EC", "MES", "NEU"], codes)
    with pytest.raises(DataError, match="terminal cells contradict the order of the fate columns") as caught:
        load(parts.but(fates=p.to_numpy(), obs=obs))
    assert "cells of EC lie in the column named MES" in str(caught.value)

    right = load(parts.but(fates=p.to_numpy(), obs=obs), fate_columns=["MES", "EC", "NEU"])
    assert not right.summary["warnings"]
    swapped = load(parts.but(fates=p.to_numpy(), obs=obs), fate_columns=["EC", "MES", "NEU"])
    assert "terminal cells contradict" in swapped.summary["warnings"][0]


def test_terminal_cells_in_their_own_columns_agree(parts, load):
    p, codes = one_hot(parts, ("EC", "MES", "NEU"))
    screen = load(parts.but(fates=p.to_numpy(), obs=with_states(parts, ["EC", "MES", "NEU"], codes)))
    assert re.match("obs", screen.summary["fates"]["named_by"])
    assert not screen.summary["warnings"]


def test_fates_as_text_are_refused(parts, load):
    with pytest.raises(DataError, match="a column that must hold numbers does not"):
        load(parts.but(fates=parts.fates.astype(str)))

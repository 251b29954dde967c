"""Days are ordered by their number or as told; replicates by name; neither may be missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fatebias.config import DataConfig
from fatebias.data.reading.days import day_levels
from fatebias.errors import DataError


def days(parts, values):
    return parts.but(obs=parts.obs.assign(day=values))


def thirds(first, second, third):
    return [[first, second, third][i % 3] for i in range(36)]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (thirds("d0", "d1", "d2"), ("d0", "d1", "d2")),
        (thirds("D10", "D2", "D1"), ("D1", "D2", "D10")),
        (thirds("day 2", "day 0", "day 10"), ("day 0", "day 2", "day 10")),
        (thirds("10", "9", "8.5"), ("8.5", "9", "10")),
        (np.array(thirds(6, 2, 4)), ("2", "4", "6")),
        (np.array(thirds(6, 2, 4), dtype=np.uint8), ("2", "4", "6")),
        (np.array(thirds(6.0, 2.5, 4.0)), ("2.5", "4", "6")),
        (np.array(thirds(0.1, 2.5, 4.0), dtype=np.float32), ("0.1", "2.5", "4")),
        (np.array(thirds(-1, 0, 1)), ("-1", "0", "1")),
        (pd.Categorical(thirds("d10", "d2", "d1")), ("d1", "d2", "d10")),
        (pd.Categorical(thirds(10, 2, 1)), ("1", "2", "10")),
        (pd.array(thirds(10, 2, 1), dtype="Int64"), ("1", "2", "10")),
        # An ordered categorical wins, always; that its numbers say otherwise is told.
        (pd.Categorical(thirds("d10", "d2", "d1"), ["d1", "d10", "d2"], ordered=True), ("d1", "d10", "d2")),
        (
            pd.Categorical(thirds("late", "mid", "early"), ["early", "mid", "late"], ordered=True),
            ("early", "mid", "late"),
        ),
        (
            pd.Categorical(thirds("P2 late", "P1", "P1 to 2"), ["P1", "P1 to 2", "P2 late"], ordered=True),
            ("P1", "P1 to 2", "P2 late"),
        ),
    ],
)
def test_days_are_ordered(parts, load, values, labels):
    screen = load(days(parts, values))
    assert screen.day_labels == labels
    column = pd.Series(values)
    text = [f"{v:g}" if isinstance(v, float) else str(v) for v in column]
    assert [screen.day_labels[d] for d in screen.day] == text


def test_day_order_settles_labels_without_numbers(parts, load):
    screen = load(days(parts, thirds("mid", "early", "late")), day_order=["early", "mid", "late"])
    assert screen.day_labels == ("early", "mid", "late")
    assert screen.day[:3].tolist() == [1, 0, 2]


def test_days_without_a_number(parts, load):
    with pytest.raises(DataError, match="a day label holds no number") as caught:
        load(days(parts, thirds("d1", "early", "late")))
    message = str(caught.value)
    assert "obs['day']" in message
    assert "found: 'early', 'late'" in message
    assert "data.day_order=[d1,early,late]" in message


def test_days_with_more_than_one_number(parts, load):
    with pytest.raises(DataError, match="a day label holds more than one number") as caught:
        load(days(parts, thirds("d1_rep2", "d0_rep1", "d3")))
    assert "found: 'd1_rep2', 'd0_rep1'" in str(caught.value)


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (["early", "late"], "not in data.day_order: 'mid'"),
        (["early", "mid", "late", "later"], "without a cell: 'later'"),
        (["early", "early", "mid", "late"], "labels of the screen"),
    ],
)
def test_day_order_unlike_the_file(parts, load, order, found):
    with pytest.raises(DataError, match="data.day_order does not fit the days of the screen") as caught:
        load(days(parts, thirds("mid", "early", "late")), day_order=order)
    assert found in str(caught.value)


def test_two_labels_of_one_day(parts, load):
    with pytest.raises(DataError, match="two labels stand for the same day\n.*\n  found: 'd1', 'day 1'"):
        load(days(parts, thirds("d1", "day 1", "d2")))


@pytest.mark.parametrize("values", [thirds("d1", "D1", "d2"), thirds("d1", "d1 ", "d2")])
def test_labels_that_differ_only_in_case_or_spaces(parts, load, values):
    with pytest.raises(DataError, match="two labels differ only in case or spaces"):
        load(days(parts, values))


@pytest.mark.parametrize(
    "values",
    [
        thirds("d0", "d1", None),
        np.array(thirds(0, 1, np.nan)),
        thirds("d0", "d1", "nan"),
        thirds("d0", "d1", ""),
        pd.array(thirds(0, 1, pd.NA), dtype="Int64"),
    ],
)
def test_a_missing_day(parts, load, values):
    with pytest.raises(DataError, match="12 of 36 cells have no value") as caught:
        load(days(parts, values))
    assert "obs['day']" in str(caught.value)
    assert "rows 2, 5, 8, 11, 14" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(["r1", None], "category"), ([1.0, np.nan], float), ([1, None], "Int64"), (["r1", "nan"], object)],
)
def test_a_missing_replicate(parts, load, values, dtype):
    rep = pd.Series([values[i // 3 % 2] for i in range(36)], index=parts.covar.index, dtype=dtype)
    with pytest.raises(DataError, match="18 of 36 cells have no value") as caught:
        load(parts.but(covar=pd.DataFrame({"rep": rep})))
    assert "obsm['covar']['rep']" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["rep10", "rep9"], ("rep9", "rep10")),
        ([10, 9], ("9", "10")),
        ([2.0, 1.0], ("1", "2")),
        ([True, False], ("False", "True")),
        (["batch B", "A"], ("A", "batch B")),
    ],
)
@pytest.mark.parametrize("categorical", [False, True])
def test_replicates_of_any_type(parts, load, values, labels, categorical):
    rep = pd.Series([values[i // 3 % 2] for i in range(36)], index=parts.covar.index)
    covar = pd.DataFrame({"rep": rep.astype("category") if categorical else rep})
    screen = load(parts.but(covar=covar))
    assert screen.rep_labels == labels
    assert screen.rep[:6].tolist() == [1, 1, 1, 0, 0, 0]


def test_wanted_number_of_days_and_replicates(parts, load):
    assert load(parts, D=3, R=2).D == 3
    with pytest.raises(
        DataError, match="data.D is 4, the screen has 3 days\n.*\n  found: d0, d1, d2"
    ) as caught:
        load(parts, D=4)
    assert "data.D=3, or data.D=null" in str(caught.value)
    with pytest.raises(DataError, match="data.R is 3, the screen has 2 replicates\n.*\n  found: r0, r1"):
        load(parts, R=3)


def test_a_day_category_without_cells_is_no_day_and_is_told(parts, load):
    values = pd.Categorical(thirds("d0", "d2", "d4"), ["d0", "d1", "d2", "d4"])
    screen = load(days(parts, values))
    assert screen.day_labels == ("d0", "d2", "d4")
    assert "days without a cell in the screen: d1" in screen.summary["notes"]
    with pytest.raises(DataError, match="data.D is 4, the screen has 3 days"):
        load(days(parts, values), D=4)


def test_values_of_the_same_text_are_one_label():
    levels = day_levels(pd.Series([1, "2", "1", 2.0, 1], dtype=object), "obs['day']", DataConfig())
    assert levels.labels == ("1", "2")
    assert levels.codes.tolist() == [0, 1, 0, 1, 0]


def test_close_numbers_are_different_days():
    levels = day_levels(pd.Series([1.0000001, 1.0, 2.0]), "obs['day']", DataConfig())
    assert levels.labels == ("1", "1.0000001", "2")


def test_a_continuous_column_is_no_day(parts, load):
    many = parts.but(obs=parts.obs.assign(day=np.linspace(0, 1, 36)))
    assert load(many).D == 36
    with pytest.raises(DataError, match="500 different labels, more than any screen has"):
        day_levels(pd.Series(np.linspace(0, 1, 500)), "obs['pseudotime']", DataConfig())


def test_one_replicate_is_fitted_and_told(parts, load):
    screen = load(parts.but(covar=parts.covar.assign(rep="r0")))
    assert screen.R == 1
    assert any(told.startswith("one replicate") for told in screen.summary["warnings"])


def test_one_day_is_fitted_and_told(parts, load):
    screen = load(days(parts, ["d7"] * 36))
    assert screen.D == 1
    assert any(note.startswith("one day") for note in screen.summary["notes"])


def test_replicates_confounded_with_days_are_told(parts, load):
    confounded = parts.covar.assign(rep=["r1" if i % 3 == 2 else "r0" for i in range(36)])
    warnings = load(parts.but(covar=confounded)).summary["warnings"]
    assert any(told.startswith("replicate and day are confounded") for told in warnings)
    # Days that share a replicate link up: d0 with r0 alone, d1 with both, d2 with r1 alone.
    chained = parts.covar.assign(
        rep=["r0" if i % 3 == 0 or (i % 3 == 1 and i % 2) else "r1" for i in range(36)]
    )
    assert load(parts.but(covar=chained)).summary["notes"] == []

"""Days in the order of time: units, signs, an ordered categorical; what is not clear is refused."""

from __future__ import annotations

import re
import shlex

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from fatebias.config import DataConfig
from fatebias.data.reading.anndata_file import open_store
from fatebias.data.reading.days import day_levels
from fatebias.data.reading.reader import check_key
from fatebias.data.reading.summary import render_summary
from fatebias.errors import DataError


def read(labels, **settings):
    return day_levels(pd.Series(labels), "obs['day']", DataConfig(**settings))


@pytest.mark.parametrize(
    "order",
    [
        ("0h", "12h", "1d", "3d"),
        ("0", "30min", "6h", "1d", "1wk", "1mo", "1yr"),
        ("90 minutes", "2 hours", "1 day", "2 weeks", "3 months", "2 years"),
        ("24hpf", "2dpf", "1wpf"),
        ("hour 36", "day 2", "week 1"),
        ("d0", "12 h", "D1", "day 2", "wk_1"),
        ("d-1", "d0", "d2"),
        ("D-10", "D-2", "0", "D5"),
        ("T-24h", "T0", "T+24h"),
        ("day -2", "day -1", "day 0"),
        ("d\N{MINUS SIGN}1", "d0", "d1"),
        ("-1d", "0d", "2d"),
        ("Day-1", "Day-2", "Day-10"),
        ("Day-0", "Day-1", "Day-2"),
        ("day_1", "day_2", "day_10"),
        ("E6.5", "E7.0", "E10"),
        ("HH9", "HH10"),
        ("d2_KD", "d10_KD"),
        ("5m", "10m", "30m"),
        ("h9", "h10"),
    ],
)
def test_order_of_time(order):
    assert read(sorted(order)).labels == order
    assert read(order[::-1]).labels == order


@pytest.mark.parametrize(
    ("labels", "shown", "why"),
    [
        (("H9", "d2", "d5"), "d2 < d5 < H9", "the text around their numbers differs"),
        (("E18", "P0", "P7"), "P0 < P7 < E18", "the text around their numbers differs"),
        (("d0", "d2", "d4 chir"), "d0 < d2 < d4 chir", "the text around their numbers differs"),
        (("24hpf", "2dpi"), "24hpf < 2dpi", "the text around their numbers differs"),
        (("30m", "1h", "2h"), "1h < 2h < 30m", "the text around their numbers differs"),
        (("0h", "12", "1d"), "0h < 1d < 12", "some have a unit and others none"),
        (("d-2", "d-1", "d1"), "d-2 < d-1 < d1", "the minus may be a sign or a hyphen"),
    ],
)
def test_an_order_that_no_rule_settles_is_refused_and_shown(labels, shown, why):
    with pytest.raises(DataError, match=f"the order of the days is not clear: {why}") as caught:
        read(labels)
    assert f"which would come out as {shown}\n" in str(caught.value)
    # The line it offers is pasted: the order shown, accepted.
    word = re.search(r"fix: (.+) in the right order", str(caught.value))[1]
    (pasted,) = shlex.split(word)
    assert pasted.startswith("data.day_order=[")
    assert read(labels, day_order=shown.split(" < ")).labels == tuple(shown.split(" < "))


@pytest.mark.parametrize(
    "pair", [("24h", "1d"), ("7d", "1wk"), ("60min", "1h"), ("d1", "day 1"), ("0", "d0")]
)
def test_two_labels_of_one_time(pair):
    with pytest.raises(DataError, match="two labels stand for the same day"):
        read([*pair, "d9"])


@pytest.mark.parametrize("labels", [("1_2", "1_3"), ("d0_1", "d0_2"), ("E8_5", "E9_5"), ("1,5", "2,5")])
def test_several_numbers_are_no_day(labels):
    with pytest.raises(DataError, match="a day label holds more than one number"):
        read(labels)


def test_an_ordered_categorical_wins_and_a_contradiction_is_told():
    by_letters = pd.Categorical(["d1", "d2", "d10"], ["d1", "d10", "d2"], ordered=True)
    levels = read(by_letters)
    assert levels.labels == ("d1", "d10", "d2")
    (warning,) = levels.warnings
    assert "puts the days as d1 < d10 < d2, by their numbers they are d1 < d2 < d10" in warning
    assert "'data.day_order=[d1,d2,d10]'" in warning
    assert read(by_letters, day_order=["d1", "d2", "d10"]).warnings == ()
    stages = pd.Categorical(["P7", "E18", "P0"], ["E18", "P0", "P7"], ordered=True)
    assert read(stages).labels == ("E18", "P0", "P7")
    assert read(stages).warnings == ()


def test_every_run_prints_the_order_taken(parts, load):
    hours = parts.but(obs=parts.obs.assign(day=[["1d", "12h", "3d"][i % 3] for i in range(36)]))
    summary = load(hours).summary
    assert summary["days"] == {"order": ["12h", "1d", "3d"], "by": "their units of time"}
    lines = render_summary(summary).splitlines()
    assert "days          12h < 1d < 3d, ordered by their units of time" in lines
    assert load(parts).summary["days"]["by"] == "the number in each label"


@pytest.mark.parametrize(
    ("columns", "fix"),
    [
        ({"Time Point (h)": ["24", "48"], "10x lane": ["d1", "d2"]}, "'data.day_key=\"Time Point (h)\"'; if"),
        ({"sample": ["1", "2"], "harvest": ["24h", "3d"], "cluster": ["1", "2"]}, "data.day_key=harvest; if"),
        ({"embryo": ["E1", "E2"], "collected": ["E7.5", "E8.5"]}, "data.day_key=collected; if"),
        ({"latent_time": np.linspace(0, 1, 200), "Stage": ["early", "late"]}, "data.day_key=Stage; if"),
        ({"hours": [24, 48], "n_genes": [100, 200]}, "data.day_key=hours; if"),
        ({"age": ["old", "young"], "timePoint": [3, 7]}, "data.day_key=timePoint; if"),
        ({"lane": ["1", "2"], "batch": ["d1", "d2"]}, "data.day_key=COLUMN, with the obs column that holds"),
    ],
)
def test_the_column_that_looks_like_time_is_offered(tmp_path, columns, fix):
    cells = [f"c{i}" for i in range(200)]
    obs = {name: np.resize(np.asarray(values, dtype=object), 200) for name, values in columns.items()}
    frame = pd.DataFrame(obs, index=cells).infer_objects()
    with open_store(ad.AnnData(obs=frame)) as store, pytest.raises(DataError, match="is absent") as error:
        check_key(store, "obs", "day", "day_key", DataConfig())
    assert f"fix: {fix}" in f"{error.value}; if"

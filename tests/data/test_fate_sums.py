"""Fates summed from several columns, rows that a fate left out leaves below 1, CellRank 1's names."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pandas as pd
import pytest

from fatebias.errors import ConfigError, DataError


def split(parts, rng=None):
    """EC as EC_1 and EC_2, MES as MES_1 to MES_3, NEU as it is, in another order."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(index=parts.fates.index)
    for fate, number in (("MES", 3), ("NEU", 1), ("EC", 2)):
        share = rng.dirichlet([1] * number, 36)
        for i in range(number):
            frame[f"{fate}_{i + 1}" if number > 1 else fate] = parts.fates[fate].to_numpy() * share[:, i]
    return frame


def pasted(message):
    """The settings of the first line that a message offers, as Hydra reads what a shell passes on."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    fix = message.rpartition("fix: ")[2]
    words = [word for word in shlex.split(fix) if "=" in word]
    parser = OverridesParser.create()
    override = parser.parse_override(words[0])
    return {override.key_or_group.removeprefix("data."): override.value()}


def test_columns_are_summed(parts, load):
    merged = {"EC": ["EC_1", "EC_2"], "MES": ["MES_1", "MES_2", "MES_3"]}
    screen = load(parts.but(fates=split(parts)), merge_fates=merged)
    np.testing.assert_allclose(screen.p, load(parts).p, rtol=0, atol=1e-12)
    assert "fate EC is the sum of EC_1, EC_2" in screen.summary["notes"]
    assert screen.summary["fates"]["columns_in_file"] == list(split(parts).columns)


def test_numbered_columns_are_offered_as_a_sum_that_can_be_pasted(parts, load):
    halves = parts.but(fates=split(parts))
    with pytest.raises(DataError, match="fates 'EC', 'MES' are in several columns each") as caught:
        load(halves)
    settings = pasted(str(caught.value))
    assert settings == {"merge_fates": {"EC": ["EC_1", "EC_2"], "MES": ["MES_1", "MES_2", "MES_3"]}}
    np.testing.assert_allclose(load(halves, **settings).p, load(parts).p, rtol=0, atol=1e-12)


def test_a_sum_may_take_the_name_of_one_of_its_parts(parts, load):
    frame = split(parts).rename(columns={"EC_1": "EC"})
    merged = {"EC": ["EC", "EC_2"], "MES": ["MES_1", "MES_2", "MES_3"]}
    np.testing.assert_allclose(load(parts.but(fates=frame), merge_fates=merged).p, load(parts).p, atol=1e-12)
    with pytest.raises(DataError, match="makes fates of which there are columns, too: 'EC'"):
        load(parts.but(fates=frame), merge_fates={"EC": ["EC_2"], "MES": ["MES_1", "MES_2", "MES_3"]})


def test_sums_go_with_other_fates_and_fate_columns(parts, load):
    frame = split(parts)
    merged = {"MES": ["MES_1", "MES_2", "MES_3"], "END": ["EC_1", "EC_2"]}
    two = {"fates": ["MES", "NEU"], "ref_fate": "NEU", "merge_fates": merged, "other_fates": "drop"}
    expected = parts.fates[["NEU", "MES"]].div(parts.fates[["NEU", "MES"]].sum(axis=1), axis=0)
    named = load(parts.but(fates=frame), **two)
    np.testing.assert_allclose(named.p, expected, atol=1e-12)
    bare = load(parts.but(fates=frame.to_numpy()), fate_columns=list(frame.columns), **two)
    assert bare.fingerprint() == named.fingerprint()


@pytest.mark.parametrize(
    "groups", [{}, "EC_1", ["EC_1"], {"EC": "EC_1"}, {"EC": []}, {"EC": ["A"], "MES": ["A"]}]
)
def test_sums_that_make_no_sense(parts, load, groups):
    with pytest.raises(ConfigError, match="data.merge_fates has a value that cannot be used"):
        load(parts, merge_fates=groups)


def test_a_sum_of_columns_that_are_not_there(parts, load):
    with pytest.raises(
        DataError, match="merge_fates names fates that are not among the columns: 'EC_9'"
    ) as error:
        load(parts.but(fates=split(parts)), merge_fates={"EC": ["EC_1", "EC_9"]})
    assert error.value.found == "'data.merge_fates={EC:[EC_1,EC_9]}'"
    assert str(error.value.allowed).startswith("MES_1, MES_2, MES_3, NEU, EC_1, EC_2, each in")


def without_blood(parts):
    """Three of four fates, as after a lineage was left out: 30 cells go there in part, one nearly wholly."""
    blood = np.zeros(36)
    blood[:30] = np.random.default_rng(5).uniform(0.1, 0.6, 30)
    blood[7] = 0.95
    return parts.but(fates=parts.fates.mul(1 - blood, axis=0)), blood


def test_rows_below_one_are_told_as_a_fate_left_out(parts, load):
    short, blood = without_blood(parts)
    with pytest.raises(
        DataError, match="30 of 36 cells have fate values that are no probabilities"
    ) as caught:
        load(short)
    assert "rows below 1 are what a fate that was left out leaves" in str(caught.value)
    assert "data.bad_cells=renormalise" in str(caught.value)
    assert "data.bad_cells=drop" in str(caught.value)
    screen = load(short, bad_cells="renormalise")
    assert screen.N == 36
    np.testing.assert_allclose(screen.p, load(parts).p, atol=1e-12)
    (warning,) = screen.summary["warnings"]
    assert f"30 cells whose fates sum to {1 - blood[:30].mean():.2f} on average were renormalised" in warning
    assert "1 of them keep less than 10% of their probability" in warning
    assert load(short, bad_cells="drop").N == 6


def test_renormalising_does_not_cover_other_faults(parts, load):
    short, _ = without_blood(parts)
    for cell, row in ((3, [0.9, 0.9, 0.9]), (4, [np.nan, 0.5, 0.5]), (5, [-0.5, 0.6, 0.6]), (6, [0, 0, 0])):
        frame = short.fates.copy()
        frame.iloc[cell] = row
        with pytest.raises(DataError, match="1 of 36 cells have fate values that are no probabilities"):
            load(short.but(fates=frame), bad_cells="renormalise")


def cellrank_1(parts, **uns):
    """What CellRank 1 writes: a bare array, its names in uns, terminal states in obs."""
    states = [fate if i < 3 else None for i, fate in enumerate(["EC", "MES", "NEU", *[""] * 33])]
    fates = parts.fates.to_numpy().copy()
    fates[:3] = np.eye(3)
    return parts.but(fates=fates, obs=parts.obs.assign(terminal_states=pd.Categorical(states)), uns=uns)


def test_keys_of_cellrank_1_give_names(parts, write, tmp_path):
    import h5py

    from fatebias.config import PriorsConfig
    from fatebias.data.load import load_screen

    def loaded(screen, key):
        data = write(screen, fate_prob_key=key)
        with h5py.File(data.adata_path, "r+") as root:
            root["obsm"].move("lineages_fwd", "to_terminal_states")
        return load_screen(data, PriorsConfig(), tmp_path)

    screen = loaded(cellrank_1(parts), "to_terminal_states")
    assert screen.summary["fates"]["named_by"] == "obs['terminal_states']"
    named = {"to_terminal_states_names": np.array(["EC", "MES", "NEU"], dtype=object)}
    again = loaded(cellrank_1(parts, **named), "to_terminal_states")
    assert again.summary["fates"]["named_by"] == "uns['to_terminal_states_names']"
    assert again.fingerprint() == screen.fingerprint()
    with pytest.raises(DataError, match=r"obsm\['lineages_fwd'\] is absent") as caught:
        loaded(cellrank_1(parts), "lineages_fwd")
    assert re.search("fix: data.fate_prob_key=to_terminal_states, which is CellRank 1's", str(caught.value))


def test_settings_of_sums_compose_on_the_command_line(tmp_path):
    import subprocess
    import sys
    from pathlib import Path

    word = "data.merge_fates={EC:[EC_1,EC_2],MES (late):[M 1,2]}"
    word = word.replace(" (late)", r"\ \(late\)").replace("M 1", '"M 1"')
    run = Path(__file__).parents[2] / "run.py"
    words = [sys.executable, str(run), word, "--cfg", "job"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    assert (
        "merge_fates:\n    EC:\n    - EC_1\n    - EC_2\n    MES (late):\n    - M 1\n    - 2\n" in done.stdout
    )


def test_settings_of_sums_in_python():
    from fatebias.api.settings import make_config

    groups = {"EC": ["EC_1", "EC_2"], "MES": ["MES_1"]}
    assert make_config(data={"merge_fates": groups}).data.merge_fates == groups
    assert make_config(data={"source": "demo"}).data.merge_fates is None

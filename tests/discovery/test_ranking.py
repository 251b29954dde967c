"""Calls and their order, from tables and from the command line."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fatebias.discovery.ranking import CallRule, active, main, rank, with_calls
from fatebias.errors import DiscoveryError


def mash_output(**columns):
    return pd.DataFrame({"gene": [f"g{i}" for i in range(len(next(iter(columns.values()))))], **columns})


def test_least_lfsr_its_first_day_and_the_call():
    table = mash_output(lfsr_d0=[0.2, 0.5, 0.05], lfsr_d1=[0.01, 0.5, 0.3], lfsr_d2=[0.01, 0.9, 0.2])
    called = with_calls(table, CallRule(0.05))
    assert list(called.columns[-3:]) == ["lfsr_min", "best_day", "hit_anyday"]
    np.testing.assert_array_equal(called["lfsr_min"], [0.01, 0.5, 0.05])
    np.testing.assert_array_equal(called["best_day"], [1, 0, 0])
    # Below the threshold, not at it.
    np.testing.assert_array_equal(called["hit_anyday"], [True, False, False])
    assert list(table.columns) == ["gene", "lfsr_d0", "lfsr_d1", "lfsr_d2"]


def test_order_is_hit_then_lfsr_then_strength_at_the_best_day_then_name():
    table = pd.DataFrame(
        {
            "gene": ["weak", "b", "a", "strong", "miss", "surest"],
            "lfsr_d0": [0.9, 0.9, 0.9, 0.9, 0.5, 0.9],
            "lfsr_d1": [0.0, 0.02, 0.02, 0.0, 0.6, 0.0],
            "postmean_d0": [99.0] * 6,
            "postmean_d1": [1.0, -2.0, 2.0, -5.0, 9.0, 3.0],
            "postsd_d0": [0.1] * 6,
            "postsd_d1": [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        }
    )
    ranked = rank(table, CallRule(0.05))
    assert list(ranked["gene"]) == ["surest", "strong", "weak", "a", "b", "miss"]
    assert list(ranked.index) == list(range(6))


def test_a_gated_gene_comes_after_hits_however_small_its_lfsr():
    table = mash_output(
        lfsr_d0=[0.001, 0.04], lfsr_d1=[0.9, 0.9], qvalue_d0=[0.5, 0.01], qvalue_d1=[0.001, 0.9]
    )
    assert list(rank(table, CallRule(0.05))["gene"]) == ["g0", "g1"]
    gated = rank(table, CallRule(0.05, 0.1))
    assert list(gated["gene"]) == ["g1", "g0"]
    # g0's small q value is on another day than its small lfsr.
    assert list(gated["hit_anyday"]) == [True, False]


def test_an_effect_must_be_large_where_that_is_asked_for():
    table = mash_output(
        lfsr_d0=[0.001, 0.04], lfsr_d1=[0.9, 0.01], plarge_d0=[0.5, 0.9], plarge_d1=[0.95, 0.2]
    )
    gated = CallRule(large=0.9)
    np.testing.assert_array_equal(active(table, gated), [[False, False], [True, False]])
    assert list(rank(table, gated)["gene"]) == ["g1", "g0"]
    with pytest.raises(DiscoveryError, match="columns are missing: 'plarge_d0'"):
        active(mash_output(lfsr_d0=[0.1]), gated)


def test_the_best_day_of_a_hit_is_one_on_which_it_is_called():
    lfsr = {"lfsr_d0": [0.01, 0.2], "lfsr_d1": [0.001, 0.1]}
    called = with_calls(mash_output(**lfsr, plarge_d0=[0.95, 0.0], plarge_d1=[0.5, 0.0]), CallRule(large=0.9))
    assert list(called["best_day"]) == [0, 1]
    assert list(called["lfsr_min"]) == [0.001, 0.1]


def test_bonferroni_divides_the_threshold_by_the_days():
    table = mash_output(lfsr_d0=[0.02, 0.024], lfsr_d1=[0.5, 0.026])
    np.testing.assert_array_equal(active(table, CallRule(0.05)), [[True, False], [True, True]])
    strict = CallRule(0.05, anyday="bonferroni")
    np.testing.assert_array_equal(active(table, strict), [[True, False], [True, False]])
    assert strict.summary_line(2) == "lfsr < 0.025"


def test_effects_too_sure_for_a_number_are_told_apart_by_the_log_of_their_lfsr():
    """R rounds an lfsr to exactly 0, on the negative side far more often than on the positive."""
    table = mash_output(
        lfsr_d0=[0.0, 0.0, 0.2], lfsr_d1=[0.0, 1e-250, 0.3],
        postmean_d0=[-9.0, 8.0, 1.0], postmean_d1=[-9.0, 30.0, 1.0],
        postsd_d0=[1.0, 1.0, 1.0], postsd_d1=[1.0, 1.0, 1.0],
    )  # fmt: skip
    plain = rank(table, CallRule())
    assert list(plain["gene"]) == ["g0", "g1", "g2"]
    assert list(plain["best_day"]) == [0, 0, 0]
    log_lfsr = np.array([[-800.0, -850.0], [-760.0, -900.0], [-1.6, -1.2]])
    ranked = rank(table, CallRule(), log_lfsr=log_lfsr)
    assert list(ranked["gene"]) == ["g1", "g0", "g2"]
    assert list(ranked["best_day"]) == [1, 1, 0]
    assert list(ranked["lfsr_min"]) == [0.0, 0.0, 0.2]


def test_days_equally_sure_but_for_rounding_go_by_strength_then_order():
    table = mash_output(
        lfsr_d0=[0.01, 0.01], lfsr_d1=[0.01, 0.01], postmean_d0=[1.0, 1.0], postmean_d1=[2.0, 1.0 + 1e-12],
        postsd_d0=[1.0, 1.0], postsd_d1=[1.0, 1.0],
    )  # fmt: skip
    log_lfsr = np.log(np.full((2, 2), 0.01)) - np.array([[0, 0], [0, 1e-13]])
    assert list(with_calls(table, CallRule(), log_lfsr=log_lfsr)["best_day"]) == [1, 0]


def test_without_posterior_moments_ties_go_by_name():
    ranked = rank(mash_output(lfsr_d0=[0.1, 0.0, 0.0]).iloc[::-1], CallRule(0.05))
    assert list(ranked["gene"]) == ["g1", "g2", "g0"]


def test_effects_of_exactly_zero_come_last_among_equals():
    table = mash_output(lfsr_d0=[1.0, 1.0], postmean_d0=[0.0, 1e-9], postsd_d0=[0.0, 1.0])
    assert list(rank(table, CallRule(0.05))["gene"]) == ["g1", "g0"]


def test_columns_that_are_there_are_kept_and_calls_made_anew():
    table = mash_output(betahat_d0=[1.0], lfsr_d0=[0.01], lfsr_min=[0.7], hit_anyday=[False], extra=["x"])
    ranked = rank(table, CallRule(0.05))
    assert list(ranked.columns) == [
        "gene",
        "betahat_d0",
        "lfsr_d0",
        "lfsr_min",
        "hit_anyday",
        "extra",
        "best_day",
    ]
    assert ranked.loc[0, ["lfsr_min", "hit_anyday", "extra"]].tolist() == [0.01, True, "x"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"lfsr_d0": [0.1, math.nan]}, r"1 value\(s\) of lfsr_d\* cannot be used[\s\S]*g1 lfsr_d0=nan"),
        ({"lfsr_d0": [0.1, 1.2]}, r"g1 lfsr_d0=1.2[\s\S]*allowed: numbers from 0 to 1"),
        ({"lfsr_d0": ["0.1", "none"]}, r"g1 lfsr_d0=none"),
        ({"lfsr_min": [0.1, 0.2]}, r"columns are missing: 'lfsr_d0'[\s\S]*found: gene, lfsr_min"),
        ({"lfsr_d0": [0.1, 0.2], "lfsr_d2": [0.1, 0.2]}, r"columns are missing: 'lfsr_d1'"),
        (
            {"lfsr_d0": [0.1, 0.2], "postmean_d0": [0.1, 0.2], "postsd_d0": [1.0, math.inf]},
            r"g1 postsd_d0=inf",
        ),
    ],
    ids=["NaN", "above 1", "text", "no lfsr", "a day missing", "infinite SD"],
)
def test_tables_that_cannot_be_ranked(columns, message):
    with pytest.raises(DiscoveryError, match=message):
        rank(mash_output(**columns), CallRule(0.05))


def test_q_value_gate_needs_q_values():
    with pytest.raises(DiscoveryError, match="columns are missing: 'qvalue_d0'"):
        rank(mash_output(lfsr_d0=[0.1]), CallRule(0.05, 0.1))


@pytest.mark.parametrize("option", ["--mash", "--ash"])
def test_command_line(option, tmp_path, capsys):
    source, out = tmp_path / "in.csv", tmp_path / "hits ranked.csv"
    source.write_text('gene,lfsr_d0,note\nNA,0.30,1e5\n"a,b",0.010,007\n')
    assert main([option, str(source), "--out", str(out), "--threshold", "0.2"]) == 0
    assert out.read_text() == (
        'gene,lfsr_d0,note,lfsr_min,best_day,hit_anyday\n"a,b",0.010,007,0.01,0,True\nNA,0.30,1e5,0.3,0,False\n'
    )
    assert "1 hits among 2 genes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("gene,lfsr_d0\n", "has no rows"),
        ("", "cannot be read as CSV"),
        ("a\n1,2,3\n1\n1,2\n", ""),
    ],
    ids=["absent", "header only", "empty", "ragged"],
)
def test_command_line_says_what_is_wrong_and_writes_nothing(content, message, tmp_path, capsys):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    if content is not None:
        source.write_text(content)
    assert main(["--mash", str(source), "--out", str(out)]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_threshold_beyond_reason_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--mash", "x", "--out", "y", "--threshold", "5"])
    assert "5 is not between 0 and 1" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["ranking", "engine"])
@pytest.mark.slow
def test_importing_discovery_stays_light(module):
    heavy = "torch pyro anndata mlflow matplotlib hydra"
    code = (
        f"import sys, fatebias.discovery.{module}; "
        f"print([name for name in {heavy.split()} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

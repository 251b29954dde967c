"""The closing lines: hits of each fate, what speaks against the screen, the likelihood weight."""

import json

import pandas as pd
import pytest

from fatebias.files.paths import RunPaths
from fatebias.report.text import expected
from fatebias.run.report import closing_lines
from tests.report.folders import write_run

SUGGESTED = "suggested likelihood_weight 21.2 by dispersion (dispersion 21.2, information 21.5)"


def lines(tmp_path, used, asked):
    fit = {
        "likelihood_weight": used,
        "suggested_weight": 21.2,
        "calibration": SUGGESTED,
        "settings": {"likelihood_weight": asked},
        "notes": ["guides do not vary"],
    }
    return closing_lines(RunPaths(tmp_path), {"stages": {"fit": fit}}).splitlines()


def test_a_weight_from_the_data_is_said_once(tmp_path):
    found = lines(tmp_path, 21.2, "auto")
    assert "used likelihood_weight 21.2 by dispersion (dispersion 21.2, information 21.5)" in found
    assert found[0] == "note: guides do not vary"


def closing(folder):
    record = json.loads((folder / "run.json").read_text())
    return closing_lines(RunPaths(folder), record).splitlines()


def test_hits_of_each_fate_are_listed_and_the_false_ones_counted(tmp_path):
    folder = write_run(tmp_path, weight=1.0)
    further = pd.read_csv(folder / "contrasts" / "NEU" / "hits_ranked.csv")
    further.loc[2, "lfsr_d0"] = 0.04
    further.to_csv(folder / "contrasts" / "NEU" / "hits_ranked.csv", index=False)
    found = closing(folder)
    assert found[0].startswith("3 of 6 genes move cells between EC and MES")
    first, second = (
        found.index("MES against EC: 3 hits among 6 genes"),
        found.index("NEU against EC: 3 hits among 6 genes"),
    )
    assert [line.split()[0] for line in found[first + 2 : first + 5]] == ["A", "B", "C"]
    assert [line.split()[0] for line in found[second + 2 : second + 5]] == ["A", "B", "C"]
    false = sum(
        pd.read_csv(below / "hits_ranked.csv").filter(like="lfsr_d").to_numpy()[:3].sum()
        for below in (folder, folder / "contrasts" / "NEU")
    )
    assert (
        f"of 24 calls of a gene on a day, {expected(false)} are expected to be false (sum of their lfsr)"
        in found
    )
    assert "    python run.py experiment=calibrated out_dir=results_calibrated" in found
    assert not any("likelihood_weight=auto" in line for line in found)  # advised once
    (folder / "report.html").touch()
    assert closing(folder)[-1] == f"report: {folder / 'report.html'}"


def test_twenty_hits_are_listed_and_the_surest_genes_where_there_are_none(tmp_path):
    many = closing(write_run(tmp_path / "many", genes=[f"g{k:02d}" for k in range(50)], contrasts=()))
    start = many.index("MES against EC: 25 hits among 50 genes")
    assert [line.split()[0] for line in many[start + 2 : start + 22]] == [f"g{k:02d}" for k in range(20)]
    assert many[start + 22] == "  and 5 more"
    none = write_run(tmp_path / "none", contrasts=())
    calls = pd.read_csv(none / "gene_calls.csv", keep_default_na=False)
    calls.assign(active_days="").to_csv(none / "gene_calls.csv", index=False)
    told = closing(none)
    start = told.index("MES against EC: 0 hits among 6 genes; the surest:")
    assert [line.split()[0] for line in told[start + 2 : start + 5]] == ["A", "B", "C"]
    assert not any("expected to be false" in line for line in told)
    hits = pd.read_csv(none / "hits_ranked.csv", keep_default_na=False)
    hits[[name for name in hits if name.startswith("lfsr_d")]] = 0.9
    hits.to_csv(none / "hits_ranked.csv", index=False)
    told = closing(none)
    assert "MES against EC: 0 hits among 6 genes; every lfsr is 0.5 or more" in told
    assert not any(line.startswith("  gene ") for line in told)


def test_a_peak_is_told_where_one_day_is_clearly_above_the_others(tmp_path):
    folder = write_run(tmp_path, contrasts=())
    calls = pd.read_csv(folder / "gene_calls.csv", keep_default_na=False)
    calls["p_peak"] = [0.5, 0.61, 0.25, 0.3, 0.3, 0.3]
    calls["peak_day"] = ["d0", "d4", "d0", "d0", "d0", "d0"]
    calls["p_course"] = [0.9, 0.4, 0.9, 0.9, 0.9, 0.9]
    calls.to_csv(folder / "gene_calls.csv", index=False)
    rows = {line.split()[0]: line.split() for line in closing(folder)[4:7]}
    assert [rows[gene][5] for gene in "ABC"] == ["-", "d4", "-"]
    assert [rows[gene][-1] for gene in "ABC"] == ["reversing", "unclear", "persistent"]


def test_one_day_has_neither_peak_nor_time_course(tmp_path):
    folder = write_run(tmp_path, days=("d3",), contrasts=())
    heading, first = closing(folder)[3:5]
    assert heading.split() == ["gene", "day", "effect", "sd", "lfsr"]
    assert first.split()[:2] == ["A", "d3"]
    assert len(first.split()) == 5


def test_each_effect_comes_with_its_day_and_a_long_name_widens_no_row(tmp_path):
    folder = write_run(tmp_path, genes=["L" * 200, "B", "C", "D"], contrasts=())
    hits = pd.read_csv(folder / "hits_ranked.csv")
    hits["best_day"] = ["d4", "d0", "d0", "d0"]
    hits.to_csv(folder / "hits_ranked.csv", index=False)
    heading, first, second = closing(folder)[3:6]
    columns = ["gene", "day", "effect", "sd", "lfsr", "peak", "time", "course"]
    assert heading.split() == columns
    for row, g, day in ((first, 0, "d4"), (second, 1, "d0")):
        assert row.split()[1:3] == [day, f"{hits[f'postmean_d{2 if g == 0 else 0}'][g]:+.3f}"]
    assert heading.index("day") == first.index(" d4") == second.index(" d0")
    assert len(first) < 100


@pytest.mark.parametrize(("used", "told"), [(1.0, True), (100.0, True), (21.0, False), (18.0, False)])
def test_a_suggested_weight_that_was_not_used_comes_with_the_setting_that_uses_it(tmp_path, used, told):
    found = lines(tmp_path, used, used)
    assert f"likelihood_weight {used:.3g} was used; {SUGGESTED}" in found
    assert any("likelihood_weight=auto" in line for line in found) == told


def test_warnings_of_the_screen_are_said_again(tmp_path):
    fit = {
        "screen": {"warnings": ["no NTC guide", "one replicate"], "day_labels": ["d0"]},
        "notes": ["a note"],
    }
    found = closing_lines(RunPaths(tmp_path), {"stages": {"fit": fit}}).splitlines()
    assert found[:3] == ["warning: no NTC guide", "warning: one replicate", "note: a note"]

"""The page of a sweep and what MLflow is told of it, from files written without a fit."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from fatebias.app.report import main
from fatebias.report.charts.sweep import hits_by_weight
from fatebias.sweep.compare import compare, hit_stability
from fatebias.sweep.effects import prior_section, weight_section
from fatebias.sweep.report import page_of
from fatebias.sweep.settled import settings_of
from fatebias.sweep.snapshot import read_sweep
from fatebias.sweep.status import statuses
from fatebias.tracking.events import read_run
from tests.report.folders import HOSTILE, write_run

SETTINGS = [(prior, weight) for prior in ("default", "weak") for weight in (0.5, 20.0)]


@pytest.fixture
def swept(written, tmp_path):
    """Two priors by two weights; the weak prior loses B and gains F, the smaller weight has fewer hits."""
    words = [f"priors={prior} likelihood_weight={weight}".split() for prior, weight in SETTINGS]
    sweep = written.sweep(tmp_path, *[{"status": "done"}] * 4, words=["seed=0"] * 4)
    content = json.loads(sweep.path.read_text())
    for member, typed in zip(content["members"], words, strict=True):
        member["overrides"] = typed
    sweep.path.write_text(json.dumps(content))
    for number, (prior, weight) in enumerate(SETTINGS):
        folder = write_run(tmp_path / str(number), weight=weight)
        change_hits(folder, {"B": False, "F": True} if prior == "weak" else {"C": weight > 1})
        figures = {"hits": 3, "calls": 5, "weight_used": weight, "suggested_weight": 20.0, "converged": True}
        (folder / "metrics.json").write_text(json.dumps(figures))
        (folder / "report.html").write_text("<!DOCTYPE html>")
        record = json.loads((folder / "run.json").read_text())
        entry = {"id": str(number), "experiment": "fatebias", "tags": {"mlflow.user": "me"}, "end_ms": number}
        entry |= {"host": "here", "pid": 1, "choices": {"priors": prior}}
        record |= {"tracking": entry, "day_labels": ["d0", "d2", "d4", "d6"]}
        (folder / "run.json").write_text(json.dumps(record))
    return read_sweep(tmp_path)


def change_hits(folder, wanted):
    path = folder / "hits_ranked.csv"
    table = pd.read_csv(path)
    for gene, hit in wanted.items():
        table.loc[table["gene"] == gene, "hit_anyday"] = hit
    table.to_csv(path, index=False)


def settings(sweep):
    return settings_of(sweep, statuses(sweep))


def table(section, title):
    (found,) = (each for each in section.tables if each.title == title)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_a_prior_is_held_against_the_default_one_of_the_same_weight(swept):
    section = prior_section(settings(swept))
    short = table(section, "In short")
    assert [(row["setting"], row["default"], row["gained"], row["lost"]) for row in short] == [
        ("#2 priors=weak likelihood_weight=0.5", "#0", "C and F", "B"),
        ("#3 priors=weak likelihood_weight=20.0", "#1", "F", "B"),
    ]
    calls = {(row["gene"], row["setting"][:2]): row["call"] for row in table(section, "Gene by gene")}
    assert (calls["B", "#2"], calls["F", "#2"], calls["A", "#2"]) == ("lost", "gained", "both")
    assert len(section.charts[0].panels) == 2
    assert prior_section(settings(swept)[:2]) is None


def test_weights_are_held_against_each_other_within_a_prior(swept):
    rows = table(weight_section(settings(swept)), "By weight")
    assert [(row["settings"], row["weight"], row["hits"]) for row in rows] == [
        ("priors=default", "0.5", "2"), ("priors=default", "20", "3"),
        ("priors=weak", "0.5", "3"), ("priors=weak", "20", "3"),
    ]  # fmt: skip
    assert weight_section(settings(swept)[::2]) is None


def test_the_page_names_stable_genes_states_and_weights_that_are_off(swept):
    found = settings(swept)
    stability = hit_stability({each.number: each.ranking for each in found})
    page = page_of(swept, found, stability)
    assert page.verdict == "1 of 6 genes are hits under each of 4 settings, 3 more under some."
    weight = next(fact for fact in page.facts if fact.label == "Weight of soft labels")
    assert weight.bad
    assert weight.value == "2 of 4 far from what the data suggest"
    assert [row[0] for row in page.settings.rows] == ["#0", "#1", "#2", "#3"]
    assert {row.gene: row.hits for row in page.rows} == {"A": 4, "B": 2, "C": 3, "F": 2, "D": 0, "E": 0}


def test_report_writes_the_page_of_a_sweep_again_from_its_files(swept, capsys):
    assert main([str(swept.root)]) == 0
    page = swept.root / "sweep_report.html"
    assert str(page) in capsys.readouterr().out
    content = page.read_text()
    page.unlink()
    compare(swept)
    assert page.read_text() == content
    assert '<a href="2/report.html">open</a>' in content
    assert not re.search(r"https?://(?!www\.w3\.org)", content)


def test_the_report_of_the_screen_itself_tells_the_hits_of_its_shuffles(swept, monkeypatch):
    table = pd.DataFrame({"settings": [""], "lfsr": [0.05], "hits": [3], "shuffles": [2],
                          **dict.fromkeys(("hits_in_shuffles", "most_in_shuffles", "fdr"), [0.0]),
                          **dict.fromkeys(("hits_in_shuffles_held", "fdr_held"), [0.0])})  # fmt: skip
    screen = swept.root / "1"
    monkeypatch.setattr("fatebias.sweep.compare.permutation_tables", lambda *_: {screen: table})
    compare(swept)
    assert "Hits when guides are shuffled" in (screen / "report.html").read_text()
    assert "Hits when guides are shuffled" not in (swept.root / "0" / "report.html").read_text()


def test_names_from_files_are_text(swept):
    hostile = dict(zip("ABCDEF", (*HOSTILE[:5], HOSTILE[7]), strict=True))  # of a font that pictures have
    for number in range(4):
        path = swept.root / str(number) / "hits_ranked.csv"
        found = pd.read_csv(path)
        found.assign(gene=found["gene"].map(hostile)).to_csv(path, index=False)
    compare(swept)
    content = (swept.root / "sweep_report.html").read_text()
    assert HOSTILE[0] not in content
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in content


def test_mlflow_is_told_of_the_sweep_as_one_more_run(swept):
    compare(swept)
    run = read_run(swept.root)
    assert (run.name, run.status, run.end_ms) == ("sweep of priors, likelihood_weight", "finished", 3)
    assert set(run.files()) == {
        "sweep_report.html",
        "sweep_hits.png",
        "hit_stability.csv",
        "sweep_summary.csv",
    }
    assert run.tags["summary_of_sweep"] == swept.id
    assert "4 runs of one sweep (4 done)" in run.tags["mlflow.note.content"]
    assert "sweep_id" not in run.tags


def test_a_sweep_that_is_not_tracked_tells_mlflow_nothing(three_untracked):
    compare(three_untracked)
    assert not (three_untracked.root / "sweep_run.json").exists()


@pytest.fixture
def three_untracked(written, tmp_path):
    sweep = written.sweep(tmp_path, {"status": "done"}, {"status": "failed", "why": "no R"})
    written.hits(tmp_path / "0", [("A", 0.5, 0.9, 0.04, 0.01)])
    return sweep


def test_hits_are_counted_whole_on_the_axis():
    drawn = hits_by_weight("hits", [(0.5, 0, "#0"), (1.0, 1, "#1")], most=1)
    assert ">1.0<" not in drawn
    assert ">5<" in drawn

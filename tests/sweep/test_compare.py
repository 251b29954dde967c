"""The tables and the picture that compare the runs of a sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fatebias import pl
from fatebias.api.results import config_yaml
from fatebias.config import Config, DiscoveryConfig
from fatebias.mash import JointPosterior, mash
from fatebias.pl.save import save_png
from fatebias.sweep.compare import compare, hit_stability, summary_table
from fatebias.sweep.status import statuses

DONE = {
    "status": "done",
    "n_hits": 1,
    "seconds": {"fit": 2.0, "discover": 0.5},
    "stages": {"fit": {"diagnostics": {"loss_final": 12.5}}},
}


@pytest.fixture
def three(written, tmp_path):
    """Three settings; the third run failed and left an older table behind."""
    sweep = written.sweep(tmp_path, DONE, DONE, {"status": "failed", "why": "no R"})
    written.hits(tmp_path / "0", [("NA", 0.5, 0.9, 0.04, 0.01), ("B", 0.1, 0.2, 0.9, 0.3)])
    written.hits(tmp_path / "1", [("NA", 0.7, 0.4, 0.001, 0.2), ("B", -0.3, 0.2, 0.02, 0.3)])
    written.hits(tmp_path / "2", [("NA", -1.0, -1.0, 0.001, 0.001), ("B", 1.0, 1.0, 0.001, 0.001)])
    return sweep


def test_a_run_is_a_row_with_what_came_out(three):
    table = summary_table(statuses(three))
    assert list(table) == "run seed status hits loss seconds reason job_id folder".split()
    assert list(table["status"]) == ["done", "done", "failed"]
    assert list(table["hits"])[:2] == [1, 1]
    assert table["hits"].isna()[2]
    assert list(table["loss"])[:2] == [12.5, 12.5]
    assert list(table["seconds"])[:2] == [2.5, 2.5]
    assert list(table["reason"]) == [None, None, "no R"]


def test_stability_counts_what_finished_and_looks_at_each_run_s_best_day(three):
    compare(three)
    table = pd.read_csv(three.root / "hit_stability.csv", keep_default_na=False).set_index("gene")
    assert list(table.index) == ["NA", "B"]  # a gene may be called NA; the surest first
    na = table.loc["NA"]
    assert (na["settings"], na["hit_share"]) == (2, 1.0)
    assert (na["postmean_lowest"], na["postmean_highest"]) == (0.7, 0.9)
    assert (na["lfsr_min_lowest"], na["lfsr_min_highest"]) == (0.001, 0.01)
    assert (na["sign_agreement"], na["best_day"], na["best_day_agreement"]) == (1.0, 0, 0.5)
    b = table.loc["B"]
    assert (b["hit_share"], b["sign_agreement"], b["best_day_agreement"]) == (0.5, 0.5, 0.5)
    assert (b["postmean_lowest"], b["postmean_highest"]) == (-0.3, 0.2)


def test_the_same_run_three_times_agrees_with_itself(written, tmp_path):
    written.hits(tmp_path, [("A", 0.5, 0.9, 0.04, 0.01), ("B", 0.1, 0.2, 0.9, 0.3)])
    ranking = pd.read_csv(tmp_path / "hits_ranked.csv")
    table = hit_stability({0: ranking, 1: ranking, 2: ranking})
    assert set(table["sign_agreement"]) == set(table["best_day_agreement"]) == {1.0}
    assert list(table["hit_share"]) == [1.0, 0.0]
    assert (table["postmean_lowest"] == table["postmean_highest"]).all()


def test_an_effect_of_zero_has_no_direction(written, tmp_path):
    for name, effect, lfsr in (("a", 0.5, 0.01), ("b", 0.0, 1.0)):
        (tmp_path / name).mkdir()
        written.hits(tmp_path / name, [("A", effect, effect, lfsr, lfsr), ("B", 0.0, 0.0, 1.0, 1.0)])
    ranked = {n: pd.read_csv(tmp_path / name / "hits_ranked.csv") for n, name in enumerate("ab")}
    assert list(hit_stability(ranked)["sign_agreement"]) == [1.0, 1.0]


def test_a_gene_that_some_settings_do_not_judge_counts_where_it_is_judged(written, tmp_path):
    for name, rows in (
        ("a", [("A", 1, 1, 0.01, 0.01), ("B", 1, 1, 0.01, 0.01)]),
        ("b", [("A", 1, 1, 0.5, 0.5)]),
    ):
        (tmp_path / name).mkdir()
        written.hits(tmp_path / name, rows)
    ranked = {n: pd.read_csv(tmp_path / name / "hits_ranked.csv") for n, name in enumerate("ab")}
    table = hit_stability(ranked).set_index("gene")
    assert dict(table["settings"]) == {"B": 1, "A": 2}
    assert dict(table["hit_share"]) == {"B": 1.0, "A": 0.5}
    drawn = pl.sweep(hit_stability(ranked), {str(n): each for n, each in ranked.items()})
    save_png(drawn, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_a_sweep_of_which_nothing_finished_has_a_summary_alone(written, tmp_path):
    sweep = written.sweep(tmp_path, {"status": "failed", "why": "no R"}, None)
    assert [path.name for path in compare(sweep)] == ["sweep_summary.csv"]


def test_all_files_are_made_and_made_again(three):
    first = compare(three)
    names = ["sweep_report.html", "sweep_summary.csv", "hit_stability.csv", "sweep_hits.png"]
    assert [path.name for path in first] == names
    content = [path.read_bytes() for path in first]
    assert [path.read_bytes() for path in compare(three)] == content


def test_hits_stand_beside_those_of_shuffles(written, tmp_path):
    words = ["data.permutation=0", "data.permutation=1", "data.permutation=2"]
    sweep = written.sweep(tmp_path, DONE, DONE, DONE, words=words)
    written.hits(tmp_path / "0", [("A", 1, 1, 0.001, 0.5), ("B", 1, 1, 0.03, 0.5)])
    written.hits(tmp_path / "1", [("A", 1, 1, 0.04, 0.5), ("B", 1, 1, 0.6, 0.5)])
    written.hits(tmp_path / "2", [("A", 1, 1, 0.9, 0.5), ("B", 1, 1, 0.6, 0.5)])
    settings = Config(
        discovery=DiscoveryConfig(engine="native", null_correlation="identity"), stages=["discover"]
    )
    rng = np.random.default_rng(0)
    effects = [rng.normal(0, [[3.0], [1.0], [1.0]][number], (200, 2)) for number in range(3)]
    for number, bhat in enumerate(effects):
        (tmp_path / str(number) / "config.yaml").write_text(config_yaml(settings))
        table = pd.DataFrame({"gene": [f"G{i}" for i in range(200)]})
        table[["betahat_d0", "betahat_d1"]] = bhat
        table[["se_d0", "se_d1"]] = 0.6
        table.to_csv(tmp_path / str(number) / "gene_summary_for_mash.csv", index=False)
    assert tmp_path / "permutation_fdr.csv" in compare(sweep)
    page = (tmp_path / "sweep_report.html").read_text()
    assert "Hits when guides are shuffled" in page
    assert "2 hits at an lfsr below 0.05; 2 shuffles of the guides have" in page
    assert (tmp_path / "0" / "permutation_fdr.csv").read_bytes() == (
        tmp_path / "permutation_fdr.csv"
    ).read_bytes()
    assert not (tmp_path / "1" / "permutation_fdr.csv").exists()
    row = pd.read_csv(tmp_path / "permutation_fdr.csv").set_index("lfsr").loc[0.05]
    assert (row["hits"], row["shuffles"], row["hits_in_shuffles"], row["most_in_shuffles"]) == (2, 2, 0.5, 1)
    assert row["fdr"] == 0.25
    prior = mash(effects[0], np.full((200, 2), 0.6)).joint.priors
    held = [JointPosterior(bhat, np.full((200, 2), 0.6), np.eye(2), prior).log_lfsr for bhat in effects[1:]]
    count = np.mean([(np.exp(each).min(axis=1) < 0.05).sum() for each in held])
    assert row["hits_in_shuffles_held"] == pytest.approx(count, rel=1e-5)
    alone = [mash(bhat, np.full((200, 2), 0.6)).lfsr.min(axis=1) for bhat in effects[1:]]
    assert count > np.mean([(each < 0.05).sum() for each in alone])  # their own mixture calls fewer


def test_sweeps_without_shuffles_have_no_such_table(three):
    compare(three)
    assert not (three.root / "permutation_fdr.csv").exists()

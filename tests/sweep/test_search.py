"""Searches by Optuna: the scores come back, and what cannot have one is refused."""

from __future__ import annotations

import json
import re

import pytest
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from fatebias.app.overrides import composition_message

TINY = [
    "data=simulated",
    "data.simulate.n_cells=300",
    "data.simulate.n_genes=6",
    "data.simulate.guides_per_gene=2",
    "data.simulate.n_ntc_guides=2",
    "data.simulate.n_days=2",
    "inference.num_posterior_draws=20",
    "discovery.engine=native",
    "plots=false",  # seconds a run
    "tracking=off",
    "hydra.sweeper.n_trials=3",
    "out_dir=out",
]


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
def test_the_best_of_a_search_has_the_highest_score_on_cells_left_out(optuna, terminal, tmp_path, batch):
    done = terminal("experiment=optuna", *TINY, f"hydra.sweeper.n_jobs={batch}", fits=True)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    records = [json.loads((out / str(number) / "run.json").read_text()) for number in range(3)]
    scores = [record["stages"]["heldout"]["report"]["score"] for record in records]
    best = OmegaConf.load(out / "optimization_results.yaml")
    assert best.best_value == max(scores)
    assert len(set(scores)) == 3
    members = json.loads((out / "sweep.json").read_text())["members"]
    assert [member["number"] for member in members] == [0, 1, 2]
    words = members[scores.index(max(scores))]["overrides"]
    assert {f"{key}={value}" for key, value in best.best_params.items()} <= set(words)
    assert "heldout_score" in (out / "sweep_summary.csv").read_text().partition("\n")[0]


def test_a_run_without_a_score_ends_the_search_with_its_number_and_log(optuna, terminal):
    done = terminal("experiment=optuna", "out_dir=out", real=False)  # the fake pipeline has no scores
    assert done.returncode == 1
    assert re.search(r"run 0 of the search failed: it has no score\n  log: .*/out/0/run.log", done.stderr)


def test_a_failed_run_ends_the_search_with_its_reason(optuna, terminal):
    done = terminal(
        "experiment=optuna", "seed=1", "out_dir=out", real=False, FAKE_FAILURES='{"seed=1": "FitError"}'
    )
    assert done.returncode == 1
    assert "run 0 of the search failed: the fake fit failed" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["calibration.heldout=none"], r"needs the score of each run .*\n  where: calibration.heldout=none"),
        (["stages=[fit,discover]"], r"needs the score .*\n  where: stages=\[fit,discover\]"),
        (["launcher=slurm_cpu", "hydra.launcher.wait=false"], "a search waits for its runs"),
        (["hydra.launcher.only=[1]"], "a search starts all of its runs"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_starts(
    optuna, terminal, tmp_path, words, message
):
    done = terminal("experiment=optuna", *words, "out_dir=out", real=False)
    assert done.returncode == 1
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("given.json"))


def test_a_search_is_not_retried(optuna, terminal, retried, tmp_path):
    terminal("experiment=optuna", "out_dir=out", real=False)
    done = retried(tmp_path / "out")
    assert done.returncode == 1
    assert "a search cannot be retried" in done.stderr


def test_without_the_extra_the_message_says_what_to_install():
    error = MissingConfigException("In 'experiment/optuna'", "hydra/sweeper/optuna", ["basic"])
    told = composition_message(error, [])
    assert told is not None
    assert told.startswith("the search by Optuna is an extra that is not installed")
    assert "pip install '.[optuna]'" in told

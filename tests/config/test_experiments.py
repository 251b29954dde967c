"""Files of conf/experiment: composed, tried for real on a tiny screen, and stronger than conf/base.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fatebias import compose

EXPERIMENTS = list(compose.group_options([compose.CONF])["experiment"])
TINY = [
    "data=simulated",
    "data.simulate.n_cells=300",
    "data.simulate.n_genes=6",
    "data.simulate.guides_per_gene=2",
    "data.simulate.n_ntc_guides=2",
    "data.simulate.n_days=2",
    "inference.num_steps=5",
    "inference.num_posterior_draws=20",
    "inference.progress=false",
    "discovery.engine=native",
    "plots=false",  # seconds a run
    "tracking=off",
    "out_dir=out",
]


def given(folder: Path) -> dict:
    return json.loads((folder / "given.json").read_text())


@pytest.fixture
def own_conf(tmp_path: Path) -> Path:
    """Give a user's own folder of configs, as --config-dir takes it."""
    for group in ("experiment", "local"):
        (tmp_path / "own" / group).mkdir(parents=True)
    return tmp_path / "own"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes(composed, experiment, request):
    if experiment == "optuna":
        request.getfixturevalue("optuna")
    composed(f"experiment={experiment}")


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_on_a_tiny_screen(terminal, tmp_path, experiment, request):
    # fewer runs of each sweep: that all of them are made is for the fake pipeline to show
    fewer = {
        "optuna": ["hydra.sweeper.n_trials=2"],
        "permutation": ["data.permutation=0,1,2"],
        "prior_sweep": ["likelihood_weight=0.5"],
    }
    more = fewer.get(experiment, [])
    if experiment == "optuna":
        request.getfixturevalue("optuna")
    done = terminal(f"experiment={experiment}", *TINY, *more, fits=True)
    assert done.returncode == 0, done.stderr
    records = sorted((tmp_path / "out").rglob("run.json"))
    assert records
    assert {json.loads(record.read_text())["status"] for record in records} == {"done"}


def test_prior_sweep_makes_six_runs_without_the_flag_for_sweeps(terminal, tmp_path):
    done = terminal("experiment=prior_sweep", "out_dir=out", real=False)
    assert done.returncode == 0, done.stderr
    runs = [given(tmp_path / "out" / str(number)) for number in range(6)]
    assert [(run["choices"]["priors"], run["config"]["likelihood_weight"]) for run in runs] == [
        (priors, weight) for priors in ("default", "weak", "tight") for weight in (0.5, 1.0)
    ]
    assert {run["choices"]["experiment"] for run in runs} == {"prior_sweep"}


def test_the_command_line_narrows_the_sweep_of_an_experiment(terminal, tmp_path):
    done = terminal("experiment=prior_sweep", "priors=weak", "out_dir=out", real=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.parent.name for path in tmp_path.rglob("given.json")) == ["0", "1"]


def test_later_entries_win_base_then_local_then_experiment_then_command_line(terminal, tmp_path, own_conf):
    # Hydra loses an experiment's top-level values without a word when config.yaml's own come after it.
    (own_conf / "local" / "default.yaml").write_text("likelihood_weight: 0.1\nseed: 1\ndevice: cpu\n")
    (own_conf / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /priors: weak\nlikelihood_weight: 0.2\nseed: 2\n"
    )
    done = terminal("--config-dir", str(own_conf), "experiment=mine", "seed=3", "out_dir=out", real=False)
    assert done.returncode == 0, done.stderr
    config = given(tmp_path / "out")["config"]
    assert (config["device"], config["likelihood_weight"], config["seed"]) == ("cpu", 0.2, 3)
    assert config["priors"]["s_tau"] == 8.0


def test_local_settings_can_choose_options_and_folders_of_this_machine(terminal, tmp_path, own_conf):
    (own_conf / "local" / "default.yaml").write_text(
        'defaults:\n  - override /tracking: "off"\nhydra:\n  run:\n    dir: scratch/here\n'
    )
    done = terminal("--config-dir", str(own_conf), real=False)
    assert done.returncode == 0, done.stderr
    assert given(tmp_path / "scratch" / "here")["choices"]["tracking"] == "off"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("experiment/mine", "likelihod_weight: 1", "there is no setting likelihod_weight"),
        ("local/default", "priors: {s_tua: 1}", "there is no setting priors.s_tua"),
        ("experiment/mine", "likelihood_weight: abc", "likelihood_weight has a value that cannot be used"),
        ("local/default", "likelihood_weight: -1", "likelihood_weight has a value that cannot be used"),
        ("experiment/mine", "priors: {s_tau: 0}", "priors.s_tau has a value that cannot be used"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused_like_on_the_command_line(
    terminal, tmp_path, own_conf, file, text, message
):
    (own_conf / f"{file}.yaml").write_text(f"# @package _global_\n{text}\n")
    chosen = ["experiment=mine"] if file.startswith("experiment") else []
    done = terminal("--config-dir", str(own_conf), *chosen)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{message}\n  where: ")
    assert "Traceback" not in done.stderr
    assert "cannot be used" in message or f"where: {file}.yaml" in done.stderr
    assert list(tmp_path.iterdir()) == [own_conf]

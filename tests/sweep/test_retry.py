"""A retry runs the folders as they were submitted, whatever conf/ says by now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml


def given(folder: Path) -> dict:
    return json.loads((folder / "given.json").read_text())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Give a user's own configs: an experiment that sweeps."""
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    write(tmp_path / "own", tau=7.0, seeds="0,1")
    return tmp_path / "own"


def write(own: Path, *, tau: float, seeds: str, priors: str = "weak", more: str = "") -> None:
    (own / "experiment" / "mine.yaml").write_text(
        f"# @package _global_\ndefaults:\n  - override /priors: {priors}\n"
        f"priors: {{s_tau: {tau}}}\n{more}"
        f"hydra: {{mode: MULTIRUN, sweeper: {{params: {{seed: '{seeds}'}}}}}}\n"
    )


@pytest.fixture
def failed(terminal, tmp_path, own) -> Path:
    """Give a sweep of two whose run 1 has failed."""
    done = terminal(
        "--config-dir",
        str(own),
        "experiment=mine",
        "out_dir=out",
        real=False,
        FAKE_FAILURES='{"seed=1": "FitError"}',
    )
    assert "1 of 2 runs of the sweep failed" in done.stderr
    root = tmp_path / "out"
    # The fake pipeline writes no run.json.
    (root / "0" / "run.json").write_text('{"status": "done", "stages": {}}')
    (root / "1" / "run.json").write_text('{"status": "failed", "why": "x", "stages": {}}')
    return root


@pytest.mark.parametrize("seeds", ["0,1", "0,2", "0,1,2"])
def test_settings_stay_those_of_the_submission(failed, retried, own, seeds):
    write(own, tau=9.0, seeds=seeds, priors="tight", more="likelihood_weight: 0.5\n")
    done = retried(failed)
    assert done.returncode == 0, done.stderr
    config = given(failed / "1")["config"]
    assert (config["seed"], config["priors"]["s_tau"], config["likelihood_weight"]) == (1, 7.0, 1.0)
    assert config["priors"]["s_guide"] == given(failed / "0")["config"]["priors"]["s_guide"]
    assert given(failed / "1")["choices"]["priors"] == "weak"
    assert "seed=1" in given(failed / "1")["overrides"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("")])
def test_without_kept_settings_nothing_is_started(failed, retried, damage):
    before = (failed / "sweep.json").read_bytes()
    damage(failed / "1" / ".hydra" / "config.yaml")
    done = retried(failed)
    assert done.returncode == 1
    assert "the settings with which this run was submitted were not kept" in done.stderr
    assert not (failed / "1" / "given.json").exists()
    assert (failed / "sweep.json").read_bytes() == before


@pytest.mark.parametrize("line", ["s_old: 1.0", "s_tau: wide"])
def test_settings_that_the_code_no_longer_has_are_refused(failed, retried, line):
    path = failed / "1" / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("  s_tau: 7.0\n", f"  {line}\n"))
    done = retried(failed)
    assert done.returncode == 1
    assert "do not fit the code any more" in done.stderr
    assert not (failed / "1" / "given.json").exists()


def test_a_value_that_the_code_now_refuses_starts_nothing(failed, retried):
    path = failed / "1" / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("s_tau: 7.0", "s_tau: -7.0"))
    done = retried(failed)
    assert done.returncode == 1
    assert done.stderr.startswith("priors.s_tau has a value that cannot be used\n")
    assert not (failed / "1" / "given.json").exists()


def test_a_sweep_that_was_moved_is_retried_where_it_is_now(failed, retried, tmp_path):
    moved = failed.rename(tmp_path / "moved")
    assert retried(moved).returncode == 0
    assert given(moved / "1")["config"]["out_dir"] == str(moved / "1")
    assert not failed.exists()


def test_typing_the_command_again_takes_conf_as_it_is(failed, terminal, own, tmp_path):
    write(own, tau=9.0, seeds="0,1")
    terminal("--config-dir", str(own), "experiment=mine", "out_dir=out", real=False)
    assert given(failed / "1")["config"]["priors"]["s_tau"] == 9.0
    kept = [yaml.safe_load((failed / run / ".hydra" / "config.yaml").read_text()) for run in "01"]
    assert [each["priors"]["s_tau"] for each in kept] == [9.0, 9.0]


def test_no_password_of_a_server_is_kept_in_the_record_of_the_sweep(terminal, tmp_path):
    words = [
        "-m",
        "seed=0,1",
        "tracking=server",
        "tracking.uri='http://me:secret@127.0.0.1:9'",
        "out_dir=out",
    ]
    assert terminal(*words, real=False).returncode == 0
    assert "secret" not in (tmp_path / "out" / "sweep.json").read_text()


def test_a_run_that_was_left_out_at_first_is_started_with_the_settings_of_its_sweep(
    terminal, retried, own, tmp_path
):
    words = ["--config-dir", str(own), "experiment=mine", "out_dir=out"]
    assert terminal(*words, "hydra.launcher.only=[0]", real=False).returncode == 0
    root = tmp_path / "out"
    (root / "0" / "run.json").write_text('{"status": "done", "stages": {}}')
    write(own, tau=9.0, seeds="0,1")
    done = retried(root)
    assert done.returncode == 0, done.stderr
    assert given(root / "1")["config"]["priors"]["s_tau"] == 7.0


def test_a_launcher_of_one_s_own_is_found_where_the_sweep_found_its_options(failed, retried, own):
    (own / "launcher").mkdir()
    (own / "launcher" / "lab.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /hydra/launcher: local\n"
    )
    done = retried(failed, "launcher=lab")
    assert done.returncode == 0, done.stderr
    assert given(failed / "1")["config"]["seed"] == 1

"""A retry after conf/ has changed: what was submitted runs, or nothing does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fatebias.sweep.__main__ import main

FAKE = Path(__file__).parents[1] / "fake_pipeline.py"


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
    # The fake pipeline writes no run.json; and a retry takes run.py as typed, so the fake is put there again.
    (root / "0" / "run.json").write_text('{"status": "done", "stages": {}}')
    (root / "1" / "run.json").write_text('{"status": "failed", "why": "x", "stages": {}}')
    record = json.loads((root / "sweep.json").read_text())
    record["submissions"][0]["command"][0] = str(FAKE)
    (root / "sweep.json").write_text(json.dumps(record))
    return root


def test_settings_stay_those_of_the_submission(failed, own, capfd):
    write(own, tau=9.0, seeds="0,1", priors="tight", more="likelihood_weight: 0.5\n")
    assert main(["retry", str(failed)]) == 0
    told = capfd.readouterr()
    config = given(failed / "1")["config"]
    assert (config["seed"], config["priors"]["s_tau"], config["likelihood_weight"]) == (1, 7.0, 1.0)
    assert config["priors"]["s_guide"] == given(failed / "0")["config"]["priors"]["s_guide"]
    assert given(failed / "1")["choices"]["priors"] == "weak"
    assert "conf/ has changed since these runs were submitted" in told.out + told.err
    assert "priors.s_tau=7.0 (conf/ now: 9.0)" in told.out + told.err


def test_nothing_is_said_when_nothing_has_changed(failed, capfd):
    assert main(["retry", str(failed)]) == 0
    told = capfd.readouterr()
    assert "has changed" not in told.out + told.err
    assert given(failed / "1")["config"]["priors"]["s_tau"] == 7.0


@pytest.mark.parametrize("seeds", ["0,2", "0,1,2", "0"])
def test_a_command_that_makes_other_runs_is_refused(failed, own, seeds, capfd):
    before = (failed / "sweep.json").read_bytes()
    write(own, tau=7.0, seeds=seeds)
    assert main(["retry", str(failed)]) == 1
    assert "the command of the sweep no longer makes the runs that it made" in capfd.readouterr().err
    assert not (failed / "1" / "given.json").exists()
    assert (failed / "sweep.json").read_bytes() == before


def test_without_kept_settings_nothing_is_started(failed, capfd):
    (failed / "settings.json").unlink()
    assert main(["retry", str(failed)]) == 1
    assert "the settings with which this run was submitted were not kept" in capfd.readouterr().err
    assert not (failed / "1" / "given.json").exists()


def test_settings_that_the_code_no_longer_has_are_refused(failed, capfd):
    kept = json.loads((failed / "settings.json").read_text())
    kept["runs"]["1"]["values"]["priors"]["s_old"] = 1.0
    (failed / "settings.json").write_text(json.dumps(kept))
    assert main(["retry", str(failed)]) == 1
    assert "do not fit the code any more" in capfd.readouterr().err
    assert not (failed / "1" / "given.json").exists()


def test_typing_the_command_again_takes_conf_as_it_is(failed, terminal, own, tmp_path):
    write(own, tau=9.0, seeds="0,1")
    terminal("--config-dir", str(own), "experiment=mine", "out_dir=out", real=False)
    assert given(failed / "1")["config"]["priors"]["s_tau"] == 9.0
    kept = json.loads((failed / "settings.json").read_text())["runs"]
    assert [kept[number]["values"]["priors"]["s_tau"] for number in ("0", "1")] == [9.0, 9.0]


def test_no_address_is_kept(terminal, tmp_path):
    words = [
        "-m",
        "seed=0,1",
        "tracking=server",
        "tracking.uri='http://me:secret@127.0.0.1:9'",
        "out_dir=out",
    ]
    assert terminal(*words, real=False).returncode == 0
    assert "secret" not in (tmp_path / "out" / "settings.json").read_text()


def test_a_run_that_was_left_out_at_first_is_started_with_the_settings_of_its_sweep(terminal, own, tmp_path):
    words = ["--config-dir", str(own), "experiment=mine", "out_dir=out"]
    assert terminal(*words, "hydra.launcher.only=[0]", real=False).returncode == 0
    root = tmp_path / "out"
    (root / "0" / "run.json").write_text('{"status": "done", "stages": {}}')
    write(own, tau=9.0, seeds="0,1")
    more = ["hydra.launcher.only=[1]", "hydra.launcher.as_recorded=true"]
    done = terminal(*words, *more, real=False)
    assert done.returncode == 0, done.stderr
    assert given(root / "1")["config"]["priors"]["s_tau"] == 7.0

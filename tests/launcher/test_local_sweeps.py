"""Sweeps on this machine: what is written down, some runs alone, several at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY_SCREEN

TINY = [
    *TINY_SCREEN,
    "inference.num_posterior_draws=200",
    "inference.progress=false",
    "inference.num_steps=5",
    "discovery.engine=native",
    "plots=false",  # seconds a run
    "tracking=off",
]


def sweep_json(folder: Path) -> dict:
    return json.loads((folder / "sweep.json").read_text())


def given(folder: Path) -> dict:
    return json.loads((folder / "given.json").read_text())


def test_a_sweep_is_written_down_with_its_command_its_code_and_its_runs(terminal, tmp_path):
    done = terminal("-m", "priors=weak,tight", "out_dir=out", real=False)
    assert done.returncode == 0, done.stderr
    record = sweep_json(tmp_path / "out")
    (submission,) = record["submissions"]
    assert submission["command"][1:4] == ["-m", "priors=weak,tight", "out_dir=out"]
    assert Path(submission["command"][0]).is_absolute()
    assert submission["cwd"] == str(tmp_path)
    assert set(submission["git"]) == {"commit", "dirty"}
    assert bool(submission["git"]["dirty"]) == (tmp_path / "out" / "uncommitted.diff").is_file()
    assert [member["overrides"][0] for member in record["members"]] == ["priors=weak", "priors=tight"]
    assert [member["folder"] for member in record["members"]] == ["0", "1"]


def test_the_runs_of_a_sweep_know_its_id_and_a_single_run_has_none(terminal, tmp_path):
    terminal("-m", "seed=0,1", "out_dir=out", real=False)
    terminal("out_dir=single", real=False)
    assert {given(tmp_path / "out" / each)["sweep_id"] for each in "01"} == {
        sweep_json(tmp_path / "out")["id"]
    }
    assert given(tmp_path / "single")["sweep_id"] is None


def test_some_runs_alone_keep_their_numbers_and_the_sweep_its_record(terminal, tmp_path):
    first = terminal("-m", "seed=0,1,2", "out_dir=out", "hydra.launcher.only=[1]", real=False)
    assert first.returncode == 0, first.stderr
    assert [path.parent.name for path in tmp_path.rglob("given.json")] == ["1"]
    before = sweep_json(tmp_path / "out")
    assert [member["submitted"] is not None for member in before["members"]] == [False, True, False]
    terminal("-m", "seed=0,1,2", "out_dir=out", "hydra.launcher.only=[2]", real=False)
    after = sweep_json(tmp_path / "out")
    assert after["id"] == before["id"]
    assert len(after["submissions"]) == 2
    assert [member["submitted"] is not None for member in after["members"]] == [False, True, True]
    assert given(tmp_path / "out" / "2")["config"]["seed"] == 2


def test_another_sweep_in_the_same_folder_has_a_record_of_its_own(terminal, tmp_path):
    terminal("-m", "seed=0,1", "out_dir=out", real=False)
    before = sweep_json(tmp_path / "out")
    terminal("-m", "seed=0,2", "out_dir=out", real=False)
    after = sweep_json(tmp_path / "out")
    assert after["id"] != before["id"]
    assert len(after["submissions"]) == 1


def test_a_large_sweep_in_batches_has_one_record(terminal, tmp_path):
    done = terminal("-m", "seed=0,1,2", "hydra.sweeper.max_batch_size=2", "out_dir=out", real=False)
    assert done.returncode == 0, done.stderr
    assert [member["number"] for member in sweep_json(tmp_path / "out")["members"]] == [0, 1, 2]


def test_a_table_at_the_end_names_every_run_its_state_and_its_log(terminal, tmp_path):
    done = terminal(
        "-m", "priors=weak,tight", "out_dir=out", real=False, FAKE_FAILURES='{"priors=weak": "FitError"}'
    )
    table = done.stdout[done.stdout.index("run  job") :].splitlines()
    assert table[:4] == [
        "run  job  state   overrides     log",
        f"0    -    failed  priors=weak   {tmp_path}/out/0/run.log",
        "     the fake fit failed",
        f"1    -    done    priors=tight  {tmp_path}/out/1/run.log",
    ]
    assert table[4] == "1 failed, 1 done"


@pytest.mark.slow
def test_several_runs_at_once_and_then_their_comparison(terminal, tmp_path):
    words = ["discovery.command=[no-such-R]", "discovery.engine=native,rscript", "out_dir=out"]
    done = terminal("-m", "launcher=local_parallel", "hydra.launcher.n_jobs=2", *TINY, *words)
    assert done.returncode == 1
    assert "1 of 2 runs of the sweep failed\n#1 discovery.engine=rscript: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "Future Hydra versions" not in done.stderr
    status = [json.loads((tmp_path / "out" / str(n) / "run.json").read_text())["status"] for n in range(2)]
    assert status == ["done", "failed"]
    assert json.loads((tmp_path / "out" / "0" / "run.json").read_text())["command"][1] == "-m"
    for name in ("sweep_summary.csv", "hit_stability.csv", "sweep_hits.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0
        assert f"{tmp_path}/out/{name}" in done.stdout


def test_the_launchers_are_found_from_any_folder(tmp_path):
    code = (
        "from hydra.core.plugins import Plugins\n"
        "from hydra.plugins.launcher import Launcher\n"
        "print(sorted(each.__name__ for each in Plugins.instance().discover(Launcher)"
        " if each.__module__.startswith('hydra_plugins.fatebias_launcher')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "['LocalLauncher', 'ParallelLauncher', 'SlurmLauncher']", done.stderr

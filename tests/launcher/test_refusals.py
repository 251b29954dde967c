"""What is refused before anything runs or is queued."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("launcher", ["slurm", "local_parallel", "submitit_slurm"])
def test_a_launcher_that_a_single_run_would_ignore_is_refused_with_the_fix(terminal, tmp_path, launcher):
    done = terminal(f"hydra/launcher={launcher}", real=False)
    assert done.returncode == 1
    assert f"it would run here and not by {launcher}" in done.stderr
    assert "or add -m" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["launcher=slurm", "hydra.launcher.partion=gpu"],
            r"no setting partion\n  where: command line, hydra.launcher.partion\n",
        ),
        (["launcher=slurm", "+hydra.launcher.partion=gpu"], "did you mean hydra.launcher.partition?"),
        (["launcher=slurm", "hydra.launcher.cpus=0"], "hydra.launcher.cpus has a value that cannot be used"),
        (
            ["launcher=slurm", "hydra.launcher.mem_gb=much"],
            "hydra.launcher.mem_gb has a value of the wrong kind",
        ),
        (
            ["launcher=slurm", "hydra.launcher.python=7"],
            "hydra.launcher.python has a value that cannot be used",
        ),
        (
            ["launcher=slurm", "hydra.launcher.srun_args=7"],
            "hydra.launcher.srun_args has a value of the wrong kind",
        ),
        (["launcher=slurm", "launcher.mem_gb=4"], "did you mean hydra.launcher.mem_gb?"),
        (["hydra.launcher.mem_gb=4"], "it belongs to launcher=slurm"),
    ],
)
def test_a_setting_that_a_launcher_cannot_use_is_one_message_and_leaves_nothing(
    terminal, tmp_path, words, message
):
    done = terminal(*words, real=False)
    assert done.returncode == 1
    assert message.replace(r"\n", "\n") in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_every_run_is_checked_before_any_is_queued(terminal, tmp_path):
    done = terminal("launcher=sherlock", "likelihood_weight=1.0,-1", "seed=0,1", "out_dir=out", real=False)
    assert done.returncode == 1
    assert (
        "2 of 4 runs of the sweep are refused, none was started\n#2 likelihood_weight=-1 seed=0"
        in done.stderr
    )
    assert [path.name for path in Path(tmp_path, "out").iterdir()] == ["multirun.yaml"]


@pytest.mark.parametrize("taken", ["1", "0/.hydra"])
def test_a_file_in_place_of_a_run_s_folder_is_one_message_before_anything_is_written(
    terminal, tmp_path, taken
):
    file = tmp_path / "sx" / taken
    file.parent.mkdir(parents=True)
    file.touch()
    before = sorted(tmp_path.rglob("*"))
    done = terminal("-m", "priors=default,tight", "out_dir=sx", real=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"the folder of run {taken[0]} of the sweep cannot be used, none was started"
    )
    assert f"where: {file}\n  found: a file\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted({*tmp_path.rglob("*")} - {tmp_path / "sx/multirun.yaml"}) == before  # Hydra's own


def test_a_machine_without_slurm_is_told_so(terminal, tmp_path):
    done = terminal("launcher=sherlock", "out_dir=out", real=False, PATH=str(Path(sys.executable).parent))
    assert done.returncode == 1
    assert done.stderr.startswith("there is no Slurm here")
    assert "launcher=local" in done.stderr
    assert "Traceback" not in done.stderr

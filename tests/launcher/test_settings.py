"""Settings of the launchers: the checks, and what Slurm is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fatebias.errors import ConfigError
from fatebias.sweep.retry import launcher_of
from fatebias.sweep.settings import BY_NAME, LocalSettings, ParallelSettings, SlurmSettings, launcher_settings
from fatebias.sweep.slurm import outside_of_jobs, python_command, sbatch_parameters


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (LocalSettings, "only", [0, -1]),
        (ParallelSettings, "n_jobs", 0),
        (ParallelSettings, "n_jobs", -2),
        (SlurmSettings, "cpus", 0),
        (SlurmSettings, "timeout_min", 0),
        (SlurmSettings, "at_once", 0),
        (SlurmSettings, "gpus", -1),
        (SlurmSettings, "max_timeouts", -1),
        (SlurmSettings, "signal_delay_s", -1),
        (SlurmSettings, "signal_delay_s", 240 * 60),
        (SlurmSettings, "mem_gb", 0.0),
        (SlurmSettings, "mem_gb", float("nan")),
        (SlurmSettings, "name", "two words"),
        (SlurmSettings, "only", [-1]),
        (SlurmSettings, "python", 7),
        (SlurmSettings, "python", " "),
        (SlurmSettings, "python", []),
        (SlurmSettings, "python", ["apptainer", 7]),
        (SlurmSettings, "python", {"apptainer": "exec"}),
        (SlurmSettings, "srun_args", ["--mpi=none", "--output=log"]),
        (SlurmSettings, "srun_args", ["-e", "log"]),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_key(kind, key, value):
    with pytest.raises(ConfigError, match=rf"hydra\.launcher\.{key} has a value that cannot be used"):
        kind(**{key: value})


@pytest.mark.parametrize(
    ("option", "own"), [("partition", "partition"), ("time", "timeout_min"), ("cpus_per_task", "cpus")]
)
def test_what_has_a_setting_of_its_own_is_not_taken_as_an_option_of_sbatch_too(option, own):
    with pytest.raises(ConfigError, match=rf"fix: hydra\.launcher\.{own}=7"):
        SlurmSettings(sbatch={option: 7})


@pytest.mark.parametrize("kind", BY_NAME.values())
def test_every_launcher_takes_its_defaults(kind):
    settings = launcher_settings(dataclasses.asdict(kind()))
    assert type(settings) is kind


def test_launchers_of_others_are_left_to_them():
    assert launcher_settings({"_target_": "hydra_plugins.other.Launcher", "anything": 1}) is None


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("partion", "did you mean hydra.launcher.partition"),
        ("reservation", r"\+hydra.launcher.sbatch.reservation=VALUE"),
    ],
)
def test_an_unknown_key_is_refused_with_the_valid_ones(key, fix):
    given = {**dataclasses.asdict(SlurmSettings()), key: "x"}
    with pytest.raises(ConfigError, match=rf"(?s)no setting {key}.*hydra\.launcher\.qos.*fix: .*{fix}"):
        launcher_settings(given)


def test_a_key_of_slurm_is_no_key_of_the_local_launcher():
    given = {**dataclasses.asdict(LocalSettings()), "partition": "gpu"}
    with pytest.raises(ConfigError, match="it belongs to launcher=slurm"):
        launcher_settings(given)


def sbatch_text(**settings):
    from submitit.slurm.slurm import _make_sbatch_string

    return _make_sbatch_string(command="true", folder="f", **sbatch_parameters(SlurmSettings(**settings)))


def test_plain_keys_become_options_of_sbatch():
    text = sbatch_text(
        partition="gpu",
        account="lab",
        qos="long",
        constraint="GPU_CC:8.0|GPU_CC:8.6",
        gpus=2,
        cpus=3,
        mem_gb=1.5,
        timeout_min=90,
        setup=["ml R/4.3.2"],
        sbatch={"mail-type": "END", "exclusive": True},
    )
    for line in (
        "--partition=gpu",
        "--account=lab",
        "--qos=long",
        "--constraint='GPU_CC:8.0|GPU_CC:8.6'",
        "--gpus=2",
        "--cpus-per-task=3",
        "--mem=1536MB",
        "--time=90",
        "--mail-type=END",
        "--exclusive",
        "--signal=USR2@120",
    ):
        assert f"#SBATCH {line}\n" in text
    assert text.index("ml R/4.3.2\n") < text.index("\nsrun ")


def test_a_command_typed_as_one_text_is_refused_with_the_list(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"fix: hydra\.launcher\.python=\[apptainer,exec,x\.sif,python\]"):
        SlurmSettings(python="apptainer exec x.sif python")
    monkeypatch.chdir(tmp_path)
    Path("my python").touch()
    assert SlurmSettings(python="my python").python_words == ["my python"]


@pytest.mark.parametrize(
    ("python", "command"),
    [
        (None, None),
        ("/opt/env/bin/python", "/opt/env/bin/python"),
        ("~/env/bin/python", "/home/me/env/bin/python"),
        (["apptainer", "exec", "/my images/x.sif", "python"], "apptainer exec '/my images/x.sif' python"),
    ],
)
def test_what_starts_python_is_quoted_for_the_shell(python, command, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert python_command(SlurmSettings(python=python)) == command


def test_arguments_of_srun_stand_before_python_each_quoted():
    (line,) = [
        each for each in sbatch_text(srun_args=["--a=b", "two words"]).splitlines() if "srun -" in each
    ]
    assert line.endswith(" --a=b 'two words' true")


def test_a_retry_starts_jobs_as_the_submission_did_or_as_it_is_told():
    from omegaconf import OmegaConf

    given = dataclasses.asdict(SlurmSettings(python=["a b", "python"], srun_args=["--x"]))
    submitted = OmegaConf.create({"hydra": {"launcher": given}})
    kept = launcher_of(submitted, [])
    assert isinstance(kept, SlurmSettings)
    assert (kept.python, kept.srun_args) == (["a b", "python"], ["--x"])
    changed = launcher_of(submitted, ["hydra.launcher.python=[c,d]", "hydra.launcher.srun_args=[]"])
    assert isinstance(changed, SlurmSettings)
    assert (changed.python, changed.srun_args) == (["c", "d"], [])
    assert launcher_of(submitted, ["hydra.launcher.python=null"]).python is None
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.python has a value"):
        launcher_of(submitted, ["hydra.launcher.python=7"])
    with pytest.raises(ConfigError, match="a setting of the launcher cannot be used"):
        launcher_of(submitted, ["hydra.launcher.srun_args=7"])


def test_no_wckey_and_no_gpu_are_asked_for_unless_set():
    text = sbatch_text(gpus=0)
    assert "wckey" not in text
    assert "gpu" not in text
    assert "#SBATCH --wckey=course\n" in sbatch_text(wckey="course")


@pytest.mark.parametrize(("requeue", "line"), [(True, "--requeue"), (False, "--no-requeue"), (None, None)])
def test_requeue_is_as_the_cluster_has_it_unless_set(requeue, line):
    lines = [each for each in sbatch_text(requeue=requeue).splitlines() if "requeue" in each]
    assert lines == ([f"#SBATCH {line}"] if line else [])


def test_variables_of_an_enclosing_job_are_hidden_but_not_what_configures_slurm(monkeypatch):
    import os

    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    monkeypatch.setenv("SBATCH_ACCOUNT", "lab")
    with outside_of_jobs():
        inside = dict(os.environ)
    assert "SLURM_JOB_ID" not in inside
    assert "SLURM_CPUS_PER_TASK" not in inside
    assert (inside["SLURM_CONF"], inside["SBATCH_ACCOUNT"]) == ("/etc/slurm.conf", "lab")
    assert os.environ["SLURM_CPUS_PER_TASK"] == "2"

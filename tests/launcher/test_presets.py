"""conf/launcher: what each option asks for."""

from __future__ import annotations

import re

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from fatebias import compose
from fatebias.sweep.settings import SlurmSettings, launcher_settings

CLUSTER = ["slurm", "slurm_cpu", "sherlock", "sherlock_owners"]


def hydra_config(*words: str):
    compose.register()
    with initialize_config_dir(str(compose.CONF), version_base="1.3"):
        return hydra_compose("config", overrides=[*words], return_hydra_config=True)


def slurm(option: str, *words: str) -> SlurmSettings:
    given = hydra_config(f"launcher={option}", *words).hydra.launcher
    settings = launcher_settings(OmegaConf.to_container(given, resolve=True))
    assert isinstance(settings, SlurmSettings)
    return settings


@pytest.mark.parametrize("option", CLUSTER)
def test_a_cluster_option_sends_a_single_run_there_too(option):
    assert hydra_config(f"launcher={option}").hydra.mode.name == "MULTIRUN"


@pytest.mark.parametrize("option", ["local", "local_parallel"])
def test_a_local_option_leaves_a_single_run_single(option):
    assert hydra_config(f"launcher={option}").hydra.mode is None


@pytest.mark.parametrize("option", ["sherlock", "sherlock_owners"])
def test_sherlock_s_gpus_are_those_that_torch_has_kernels_for(option):
    capabilities = [
        tuple(map(int, match.split(".")))
        for match in re.findall(r"GPU_CC:([\d.]+)", slurm(option).constraint)
    ]
    assert capabilities
    assert min(capabilities) >= (7, 5)
    assert slurm(option).constraint.count("|") == len(capabilities) - 1


def test_sherlock_asks_for_what_its_pages_say_and_returns_at_once():
    settings = slurm("sherlock")
    assert (settings.partition, settings.gpus, settings.cpus) == ("gpu", 1, 4)
    assert (settings.mem_gb, settings.timeout_min, settings.wait) == (32, 240, False)
    assert all(re.search(r"/\d", line) for line in settings.setup if line.startswith("ml "))  # with a version


def test_owners_is_sherlock_with_jobs_that_may_be_stopped_and_queued_again():
    owners, sherlock = slurm("sherlock_owners"), slurm("sherlock")
    assert (owners.partition, owners.requeue) == ("owners", True)
    assert owners.max_timeouts > 0
    assert (owners.constraint, owners.setup, owners.wait) == (
        sherlock.constraint,
        sherlock.setup,
        sherlock.wait,
    )


def test_runs_on_sherlock_go_to_scratch_unless_out_dir_says_otherwise(monkeypatch):
    monkeypatch.setenv("SCRATCH", "/scratch/users/someone")
    sweep = hydra_config("launcher=sherlock").hydra.sweep.dir
    assert sweep.startswith("/scratch/users/someone/fatebias/")
    assert hydra_config("launcher=sherlock", "out_dir=here").hydra.sweep.dir == "here"


def test_slurm_cpu_asks_for_no_gpu():
    assert slurm("slurm_cpu").gpus == 0


def test_the_values_written_in_slurm_yaml_are_those_of_the_dataclass():
    assert slurm("slurm") == SlurmSettings()


def test_the_command_line_wins():
    settings = slurm("sherlock", "hydra.launcher.partition=mine", "+hydra.launcher.sbatch.reservation=course")
    assert (settings.partition, settings.sbatch) == ("mine", {"reservation": "course"})

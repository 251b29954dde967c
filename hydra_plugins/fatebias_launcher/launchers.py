"""Hydra's launchers of this project: every run is composed, checked and written down before one starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, configure_log, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from fatebias.errors import ConfigError, FatebiasError
from fatebias.sweep import jobs
from fatebias.sweep.search import answer, check_objective, check_search, is_search
from fatebias.sweep.settings import BY_NAME, launcher_settings, register
from fatebias.sweep.snapshot import Member, Sweep, begin, check_folders, is_written, read_sweep
from fatebias.sweep.task import check_files_once, refusal
from fatebias.tracking.password import set_config_apart, without_password

for _name in BY_NAME:
    register(_name)


class LocalLauncher(Launcher):
    """``launcher=local``, the default: one run after the other in this process."""

    NAME = "local"

    def __init__(self, **settings: Any) -> None:
        plain = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }
        self.given = {"_target_": BY_NAME[self.NAME]._target_, **plain}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what composing a run takes; what a run does is known (`fatebias.sweep.task`)."""
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the members of a sweep, or queue them; return scores to a search and nothing to a sweep."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        settings = launcher_settings(self.given)
        assert settings is not None
        search = is_search(self.config)
        if search:
            check_search(settings)
        root = Path(os.path.abspath(str(self.config.hydra.sweep.dir)))
        configs = {
            number: self._compose(number, list(words), root)
            for number, words in enumerate(job_overrides, start=initial_job_idx)
        }
        members = [
            _member(number, words, configs[number])
            for number, words in enumerate(job_overrides, start=initial_job_idx)
        ]
        self._check(Sweep(root, self.NAME, tuple(members), ()), configs)
        chosen = [number for number in configs if settings.only is None or number in settings.only]
        if not chosen:
            return []
        check_folders([each for each in members if is_written(each, chosen)])
        sweep = begin(root, self.NAME, members, configs, chosen=chosen)
        found = jobs.start(sweep, chosen, settings)
        if found is None:
            return []
        jobs.end_of_sweep(read_sweep(root), found)
        if search:
            return [answer(each, configs[each.member.number]) for each in found]
        jobs.raise_failures(sweep, found)
        return []

    def _compose(self, number: int, words: list[str], root: Path) -> DictConfig:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, words)
        with read_write(config), open_dict(config):
            config.hydra.job.num = number
            config.hydra.job.id = f"{config.hydra.job.name}_{number}"
            config.hydra.sweep.dir = str(root)
            config.hydra.sweep.subdir = os.path.normpath(str(config.hydra.sweep.subdir))
            config.hydra.runtime.output_dir = os.path.join(root, config.hydra.sweep.subdir)
        set_config_apart(config)
        return config

    def _check(self, sweep: Sweep, configs: dict[int, DictConfig]) -> None:
        """Refuse the whole sweep when one of its runs has a value that cannot be used, or lacks its files."""
        refusals: dict[int, FatebiasError] = {}
        for number, config in configs.items():
            if error := refusal(config) or (check_objective(config) if is_search(self.config) else None):
                refusals[number] = error
        if refusals:
            lines = [f"{len(refusals)} of {len(configs)} runs of the sweep are refused, none was started"]
            raise ConfigError(
                "\n".join([*lines, *(f"{sweep.label(at)}: {error}" for at, error in refusals.items())])
            )
        check_files_once(configs.values(), Path.cwd())


class ParallelLauncher(LocalLauncher):
    """``launcher=local_parallel``: several runs at once on this machine, each in a process of its own."""

    NAME = "local_parallel"


class SlurmLauncher(LocalLauncher):
    """``launcher=slurm``, ``slurm_cpu``, ``sherlock`` and ``sherlock_owners``: one Slurm job a run."""

    NAME = "slurm"


def _member(number: int, words: Sequence[str], config: DictConfig) -> Member:
    overrides = tuple(map(without_password, filter_overrides(words)))
    return Member(number, overrides, Path(config.hydra.runtime.output_dir))

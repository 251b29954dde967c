"""What all launchers share: every run of a sweep is composed, checked and written down before one starts."""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, configure_log, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from fatebias.compose import to_config
from fatebias.errors import ConfigError, FatebiasError, SweepError
from fatebias.sweep import record
from fatebias.sweep.ending import end_of_sweep
from fatebias.sweep.job import Job
from fatebias.sweep.kept import keep_settings, take_settings
from fatebias.sweep.record import Member, Sweep
from fatebias.sweep.search import answer, check_objective, check_search, is_search
from fatebias.sweep.settings import LocalSettings, launcher_settings
from fatebias.sweep.status import MemberStatus

log = logging.getLogger(__name__)


class SweepLauncher(Launcher):
    """Composes, checks and records; a subclass says how jobs are run.

    Parameters
    ----------
    **settings
        ``hydra.launcher``.
    """

    NAME: str

    def __init__(self, **settings: Any) -> None:
        plain = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }
        self.given = {"_target_": f"{type(self).__module__}.{type(self).__name__}", **plain}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives.

        Parameters
        ----------
        hydra_context
            Loader of configs and callbacks.
        task_function
            What a run does.
        config
            The config as composed without the words that are swept over.
        """
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the members of a sweep.

        Parameters
        ----------
        job_overrides
            The words of each member.
        initial_job_idx
            Number of the first.

        Returns
        -------
        sequence of JobReturn
            Empty for a sweep: what became of each run stands in its folder. For a search the score of each.

        Raises
        ------
        ConfigError
            When a member has a value that cannot be used; none has run then.
        SweepError
            When a member of a sweep failed; all others have run. A search decides itself.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        settings = launcher_settings(self.given)
        assert settings is not None
        if is_search(self.config):
            check_search(settings)
        root = Path(os.path.abspath(str(self.config.hydra.sweep.dir)))
        recorded = self._recorded(root, len(job_overrides)) if settings.as_recorded else None
        jobs = self._compose(job_overrides, initial_job_idx, root, settings.only, recorded)
        chosen = [job for job in jobs if settings.only is None or job.number in settings.only]
        if not chosen:
            return []
        numbers = {job.number for job in chosen}
        sweep = record.begin(root, self.NAME, [_member(job) for job in jobs], chosen=numbers)
        keep_settings(sweep, {job.number: job.config for job in jobs}, chosen=numbers)
        statuses = self.start(chosen, sweep, settings)
        if statuses is not None:
            end_of_sweep(record.read_sweep(root), statuses)
            if is_search(self.config):
                return [answer(each, job.config) for each, job in zip(statuses, chosen, strict=True)]
            _raise_failures(sweep, statuses)
        return []

    @abstractmethod
    def start(self, jobs: Sequence[Job], sweep: Sweep, settings: LocalSettings) -> list[MemberStatus] | None:
        """Run jobs, or queue them.

        Parameters
        ----------
        jobs
            What to run, composed and checked.
        sweep
            As written in sweep.json.
        settings
            Of this launcher.

        Returns
        -------
        list of MemberStatus
            What became of each; None when they are queued and nobody waits.
        """

    def _recorded(self, root: Path, n_runs: int) -> Sweep:
        """Read the sweep that is to be retried, having seen that the command can make the same again."""
        sweep = record.read_sweep(root)
        if is_search(self.config):
            raise ConfigError(
                "a search cannot be retried: each of its runs depends on those before",
                where=sweep.path,
                fix="type its command again",
            )
        if len(sweep.members) != n_runs:
            raise ConfigError(
                "the command of the sweep no longer makes the runs that it made",
                where=sweep.path,
                found=f"{n_runs} runs",
                allowed=f"{len(sweep.members)} runs",
                fix="undo what has changed in conf/, or start a new sweep in another folder",
            )
        return sweep

    def _compose(
        self,
        job_overrides: Sequence[Sequence[str]],
        first: int,
        root: Path,
        only: Sequence[int] | None,
        recorded: Sweep | None,
    ) -> list[Job]:
        jobs: list[Job] = []
        changed: dict[str, None] = {}
        refusals: dict[int, FatebiasError] = {}
        for number, words in enumerate(job_overrides, start=first):
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(words))
            with read_write(config), open_dict(config):
                config.hydra.job.num = number
                config.hydra.job.id = f"{config.hydra.job.name}_{number}"
                config.hydra.sweep.dir = str(root)
            job = Job(number, tuple(filter_overrides(words)), config, self.task_function, self.hydra_context)
            jobs.append(job)
            if recorded is not None and (only is None or number in only):
                changed |= dict.fromkeys(take_settings(recorded, _member(job), config))
            if error := _refusal(config) or (check_objective(config) if is_search(self.config) else None):
                refusals[number] = error
        if changed:
            log.warning(
                "conf/ has changed since these runs were submitted; they keep their settings:\n  %s",
                "\n  ".join(changed),
            )
        if refusals:
            sweep = Sweep(root, self.NAME, tuple(map(_member, jobs)), ())
            lines = [f"{len(refusals)} of {len(jobs)} runs of the sweep are refused, none was started"]
            raise ConfigError(
                "\n".join([*lines, *(f"{sweep.label(at)}: {error}" for at, error in refusals.items())])
            )
        return jobs


def _member(job: Job) -> Member:
    return Member(job.number, job.overrides, job.folder)


def _refusal(config: DictConfig) -> FatebiasError | None:
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        to_config(config)
    except FatebiasError as error:
        return error
    finally:
        HydraConfig.instance().cfg = before
    return None


def _raise_failures(sweep: Sweep, statuses: Sequence[MemberStatus]) -> None:
    failed = [each for each in statuses if each.failed]
    if failed:
        lines = [f"{len(failed)} of {len(statuses)} runs of the sweep failed"]
        lines += [f"{sweep.label(each.member.number)}: {each.reason}\n  log: {each.log}" for each in failed]
        raise SweepError("\n".join(lines))

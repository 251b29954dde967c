"""One run of a sweep as it is handed to another process: its composed config and what to do with it."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

HYDRA_VERSION = "1.3"  # version_base of run.py


@dataclasses.dataclass(frozen=True)
class Job:
    """A run, composed when the sweep was submitted: later edits of conf/ do not reach it.

    Attributes
    ----------
    number
        Its place in the sweep.
    overrides
        The words that set it apart.
    config
        The whole composed config, Hydra's part included.
    task, context
        What Hydra runs, and with which callbacks.
    command
        The command line as typed.
    """

    number: int
    overrides: tuple[str, ...]
    config: DictConfig
    task: TaskFunction
    context: HydraContext
    command: tuple[str, ...] = dataclasses.field(default_factory=lambda: tuple(sys.argv))

    @property
    def folder(self) -> Path:
        """The run's out_dir."""
        sweep = self.config.hydra.sweep
        return Path(os.path.abspath(Path(str(sweep.dir)) / str(sweep.subdir)))

    @property
    def paths(self) -> RunPaths:
        """The run's files."""
        return RunPaths(self.folder)

    def run(self) -> JobReturn:
        """Run it in this process, which may be another one than composed it.

        Returns
        -------
        JobReturn
            Hydra's result; a failure is in it and not raised.
        """
        from hydra import version
        from hydra.core.utils import JobRuntime, run_job, setup_globals

        from fatebias import compose

        version.setbase(HYDRA_VERSION)
        setup_globals()
        compose.register()
        JobRuntime.instance().set("name", self.config.hydra.job.name)
        before, sys.argv = sys.argv, list(self.command)
        try:
            return run_job(
                task_function=self.task,
                config=self.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
                hydra_context=self.context,
            )
        finally:
            sys.argv = before


def error_of(result: JobReturn) -> BaseException | None:
    """Give what a run raised.

    Parameters
    ----------
    result
        What `Job.run` returned.

    Returns
    -------
    BaseException or None
        None for a run that completed.
    """
    from hydra.core.utils import JobStatus

    # Not the property without the underscore: it raises for a failed job.
    value: Any = result._return_value
    return value if result.status == JobStatus.FAILED else None


def first_line(error: BaseException) -> str:
    """Say an error in one line."""
    return (str(error) or type(error).__name__).partition("\n")[0]

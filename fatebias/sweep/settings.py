"""Settings of the launchers, ``hydra.launcher.*``: one dataclass a launcher, with its checks."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fatebias.errors import ConfigError

PLUGINS = "hydra_plugins.fatebias_launcher.launchers"
PREFIX = "hydra.launcher."


@dataclass
class LocalSettings:
    """Runs one after the other, in this process."""

    _target_: str = f"{PLUGINS}.LocalLauncher"
    only: list[int] | None = None  # numbers of the runs to start; null: all

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        if self.only is not None and any(number < 0 for number in self.only):
            raise _refuse("only", self.only, "numbers of runs, such as [0,3]; null for all")


@dataclass
class ParallelSettings(LocalSettings):
    """Several runs at once on this machine."""

    _target_: str = f"{PLUGINS}.ParallelLauncher"
    n_jobs: int = -1  # runs at once; -1: as many as there are cores

    def __post_init__(self) -> None:
        """Check the number of runs at once."""
        super().__post_init__()
        if self.n_jobs != -1 and self.n_jobs < 1:
            raise _refuse("n_jobs", self.n_jobs, "1 or more; -1 for as many as there are cores")


@dataclass
class SlurmSettings(LocalSettings):
    """One Slurm job a run, all of a sweep in one array."""

    _target_: str = f"{PLUGINS}.SlurmLauncher"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None  # nodes to stay away from
    gpus: int = 1  # a job
    cpus: int = 4  # a job
    mem_gb: float = 16.0  # a job
    timeout_min: int = 240
    python: Any = None  # a path, or a command as a list of words; None: the Python that submits
    srun_args: list[str] = field(default_factory=list)  # further arguments of srun, which starts Python
    setup: list[str] = field(default_factory=list)  # shell lines before Python starts
    sbatch: dict[str, Any] = field(default_factory=dict)  # any other option of sbatch, without its dashes
    name: str = "fatebias"
    at_once: int = 256  # jobs of the array that may run at the same time
    requeue: bool | None = None  # after preemption or a node's failure; null: as the cluster has it
    max_timeouts: int = 0  # how often a job that met its time limit is queued again
    signal_delay_s: int = 120  # seconds before the time limit at which a job is told
    wckey: str | None = None
    wait: bool = True  # false: return when the jobs are queued
    late_s: int = 60  # seconds after a job's end in which its files may not be seen yet

    def __post_init__(self) -> None:
        """Check sizes, and that no setting is given twice."""
        super().__post_init__()
        for name in ("cpus", "timeout_min", "at_once"):
            if getattr(self, name) < 1:
                raise _refuse(name, getattr(self, name), "a whole number, 1 or more")
        for name in ("gpus", "max_timeouts", "signal_delay_s", "late_s"):
            if getattr(self, name) < 0:
                raise _refuse(name, getattr(self, name), "a whole number, 0 or more")
        if self.signal_delay_s >= 60 * self.timeout_min:
            raise _refuse(
                "signal_delay_s", self.signal_delay_s,
                f"less than the time limit, {60 * self.timeout_min} s: a job would be told to stop at once",
                f"{PREFIX}signal_delay_s=30, or a longer {PREFIX}timeout_min",
            )  # fmt: skip
        if not self.mem_gb > 0:
            raise _refuse("mem_gb", self.mem_gb, "a number above zero, in GB")
        if not re.fullmatch(r"[\w.+-]+", self.name):
            raise _refuse("name", self.name, "letters, digits and . _ + -")
        self._check_start()
        twice = {"time": "timeout_min", "mem": "mem_gb", "cpus-per-task": "cpus", "job-name": "name"}
        twice |= {each.name: each.name for each in dataclasses.fields(self)}
        for option in self.sbatch:
            if own := twice.get(option.replace("_", "-").lstrip("-")):
                raise _refuse(
                    f"sbatch.{option}", self.sbatch[option], "options that have no setting of their own",
                    f"{PREFIX}{own}={self.sbatch[option]}",
                )  # fmt: skip

    @property
    def python_words(self) -> list[str] | None:
        """The words that start a job's Python; None: the Python that submits."""
        if self.python is None:
            return None
        first, *rest = [self.python] if isinstance(self.python, str) else self.python
        return [os.path.expanduser(first), *rest]  # the words are quoted for the shell, which then leaves ~

    def _check_start(self) -> None:
        """Check how a job's Python is started."""
        python = self.python
        if python is not None:
            words = [python] if isinstance(python, str) else python
            if not (isinstance(words, list) and words and all(map(_is_word, words))):
                raise _refuse(
                    "python", python,
                    "a path, or a command as a list such as [apptainer,exec,--nv,image.sif,python]; "
                    "null for the Python that submits",
                )  # fmt: skip
        if isinstance(python, str) and " " in python and not os.path.exists(os.path.expanduser(python)):
            raise _refuse(
                "python", python, "a path; of a command, a list of its words",
                f"{PREFIX}python=[{','.join(python.split())}]",
            )  # fmt: skip
        if any(re.match(r"--(output|error)(=|$)|-[oe]", word) for word in self.srun_args):
            raise _refuse(
                "srun_args", self.srun_args,
                "arguments of srun but --output and --error: status looks for a job's log where it is now",
            )  # fmt: skip


BY_NAME: dict[str, type[LocalSettings]] = {
    "local": LocalSettings,
    "local_parallel": ParallelSettings,
    "slurm": SlurmSettings,
}


def register(name: str) -> None:
    """Put the settings of a launcher into Hydra's ConfigStore, as the option of ``hydra/launcher``."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group="hydra/launcher", name=name, node=BY_NAME[name], provider="fatebias")


def launcher_settings(given: Any) -> LocalSettings | None:
    """Return the checked settings of ``hydra.launcher``; None for a launcher that is not ours."""
    if not isinstance(given, Mapping):
        return None
    for kind in BY_NAME.values():
        if given.get("_target_") == kind._target_:
            for key in given:
                if key not in keys_of(kind):
                    raise unknown_launcher_key(key, f"{PREFIX}{key}", kind)
            return kind(**given)
    return None


def keys_of(kind: type[LocalSettings]) -> list[str]:
    """Return the keys of a launcher's settings."""
    return [each.name for each in dataclasses.fields(kind)]


def unknown_launcher_key(key: str, where: str, kind: type[LocalSettings]) -> ConfigError:
    """Return the error for a key that a launcher does not have, with the nearest one that it has."""
    keys = [each for each in keys_of(kind) if each != "_target_"]
    near = difflib.get_close_matches(key, keys, n=1)
    fix = f"did you mean {PREFIX}{near[0]}?" if near else None
    if not near and kind is SlurmSettings:
        fix = f"an option of sbatch that has no setting of its own: +{PREFIX}sbatch.{key}=VALUE"
    elif not near and key in keys_of(SlurmSettings):
        fix = "it belongs to launcher=slurm, slurm_cpu, sherlock and sherlock_owners"
    return ConfigError(
        f"the launcher has no setting {key}", where=where, allowed=[PREFIX + each for each in keys], fix=fix
    )


def _is_word(word: object) -> bool:
    return isinstance(word, str) and bool(word.strip())


def _refuse(key: str, found: object, allowed: str, fix: str | None = None) -> ConfigError:
    return ConfigError(
        f"{PREFIX}{key} has a value that cannot be used",
        where=PREFIX + key,
        found=found,
        allowed=allowed,
        fix=fix,
    )

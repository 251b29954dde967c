"""A sweep on disk as it was submitted: sweep.json lists its runs, each run's folder holds its config.

A job runs such a folder: what is edited in conf/ after the submission does not reach its runs, however often
they are started.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.errors import ConfigError, OutputError
from fatebias.files.atomic import atomic_json, atomic_text
from fatebias.files.provenance import git_state, now
from fatebias.files.rights import check_rights, owner
from fatebias.tracking.password import without_password

if TYPE_CHECKING:
    from omegaconf import DictConfig

SWEEP_JSON = "sweep.json"
DIFF = "uncommitted.diff"
# Hydra's own files of a run; hydra.yaml comes last, so that a folder that has it is whole.
CONFIG, OVERRIDES, HYDRA = ".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml"
PLACES = ("launcher=", "out_dir=")
PACKAGE = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Member:
    """One run of a sweep."""

    number: int  # from 0
    overrides: tuple[str, ...]  # KEY=VALUE, without Hydra's own
    folder: Path  # its out_dir
    job_id: str | None = None  # of its latest Slurm job
    log: Path | None = None  # what Slurm has of its output
    submitted: str | None = None  # when it was started or queued; None: never

    @property
    def settings(self) -> tuple[str, ...]:
        """The words that decide what it computes, not where."""
        return tuple(word for word in self.overrides if not word.startswith(PLACES))


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What sweep.json says."""

    root: Path
    launcher: str  # hydra/launcher of the latest submission
    members: tuple[Member, ...]  # by number
    submissions: tuple[Mapping[str, Any], ...]  # command, working directory, commit and time, the first first
    id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def path(self) -> Path:
        """sweep.json."""
        return self.root / SWEEP_JSON

    def write(self) -> None:
        """Write sweep.json whole."""
        content = {
            "id": self.id,
            "launcher": self.launcher,
            "submissions": list(self.submissions),
            "members": [_plain(member, self.root) for member in self.members],
        }
        atomic_json(self.path, content)

    def label(self, number: int) -> str:
        """Return a run's number and what sets it apart from the others, such as ``#3 priors=weak``."""
        return f"#{number} {' '.join(self.differing(number))}".rstrip()

    def differing(self, number: int) -> tuple[str, ...]:
        """Return the settings of a run that not all runs have, as they were typed; of a sole run all."""
        settings = {member.number: member.settings for member in self.members}
        common = set.intersection(*map(set, settings.values())) if len(settings) > 1 else set()
        return tuple(word for word in settings[number] if word not in common)

    def chosen(self, numbers: Collection[int]) -> list[Member]:
        """Return the members with these numbers, in their order."""
        return [member for member in self.members if member.number in numbers]

    def with_members(self, changed: Iterable[Member]) -> Sweep:
        """Return a copy, not yet written, with members replaced by those of the same number, or added."""
        by_number = {member.number: member for member in (*self.members, *changed)}
        return dataclasses.replace(self, members=tuple(by_number[number] for number in sorted(by_number)))

    def submitted(self, launcher: str, numbers: Collection[int]) -> Sweep:
        """Write down that these members are started now, and return the sweep as written."""
        submission = describe_submission(self.root)
        fresh = {"submitted": submission["time"], "job_id": None, "log": None}
        stamped = [dataclasses.replace(member, **fresh) for member in self.chosen(numbers)]
        sweep = dataclasses.replace(
            self.with_members(stamped), launcher=launcher, submissions=(*self.submissions, submission)
        )
        sweep.write()
        return sweep


def read_sweep(root: Path) -> Sweep:
    """Read sweep.json; its paths become absolute."""
    root = Path(os.path.abspath(root))
    path = root / SWEEP_JSON
    above = "give the out_dir of a sweep: the folder above 0, 1, 2, ..."
    if root.exists() and not root.is_dir():
        raise OutputError("there is no sweep here: this is a file", where=root, fix=above)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        members = tuple(_member(each, root) for each in content["members"])
        return Sweep(root, content["launcher"], members, tuple(content["submissions"]), content["id"])
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(
            f"there is no sweep in this folder: it has no {SWEEP_JSON}",
            where=root,
            fix=above,
        ) from None
    except OSError as error:
        raise OutputError(
            f"{SWEEP_JSON} cannot be read",
            where=path,
            found=error.strerror or error,
            fix="let this user read it, and the folders above it",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{SWEEP_JSON} is torn, or was written by something else",
            where=path,
            found=f"{type(error).__name__}: {error}",
            allowed="what a sweep writes: its runs and how they were started",
            fix="type the sweep's command again with the same out_dir: runs that are done are kept",
        ) from error


def is_written(member: Member, chosen: Collection[int]) -> bool:
    """Whether a submission that starts the runs `chosen` writes this run's config."""
    return member.number in chosen or not (member.folder / HYDRA).is_file()


def check_folders(members: Iterable[Member]) -> None:
    """Refuse a sweep, before any of it is written, where runs' folders cannot be made or written to."""
    for member in members:
        for folder in (member.folder, (member.folder / HYDRA).parent):
            there = folder.is_symlink() or folder.exists()
            if there and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
                raise OutputError(
                    f"the folder of run {member.number} of the sweep cannot be used, none was started",
                    where=folder,
                    found=f"a folder of {owner(folder)} that this user may not write to"
                    if folder.is_dir()
                    else "a file",
                    allowed="a folder, or nothing",
                    fix="move it away, or give the sweep another out_dir",
                )
        if member.folder.is_dir():
            check_rights(member.folder)


def begin(
    root: Path,
    launcher: str,
    members: Sequence[Member],
    configs: Mapping[int, DictConfig],
    *,
    chosen: Collection[int],
) -> Sweep:
    """Write a submission to disk before anything starts: sweep.json, and each run's composed config.

    A sweep that is there already is continued when it has the same runs (or, for a later batch of a large
    sweep, none of these numbers); otherwise it is replaced. A run of an earlier submission that this one does
    not start keeps its config.
    """
    fresh = Sweep(root, launcher, (), ())
    try:
        old = read_sweep(root)
    except OutputError:
        old = fresh
    known = {member.number: member for member in old.members}
    continued = all(
        each.number not in known or known[each.number].settings == each.settings for each in members
    ) and (bool(min(each.number for each in members)) or len(known) == len(members))
    if not continued:
        old, known = fresh, {}
    for member in members:
        if member.number not in known or is_written(member, chosen):
            save_config(configs[member.number], member.folder)
    return old.with_members(known.get(each.number, each) for each in members).submitted(launcher, chosen)


def describe_submission(root: Path) -> dict[str, Any]:
    """Return what was typed, where, when and with which code; uncommitted changes go to a file in `root`."""
    git = git_state(PACKAGE)
    command = [os.path.abspath(sys.argv[0]), *map(without_password, sys.argv[1:])]
    described: dict[str, Any] = {"time": now(), "command": command, "cwd": os.getcwd()}
    described |= {"python": sys.executable, "git": git, "diff": None}
    if git["dirty"]:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), "diff", "HEAD"], capture_output=True, timeout=60, check=False
        )
        atomic_text(root / DIFF, without_password(done.stdout.decode("utf-8", "replace")))
        described["diff"] = DIFF
    return described


def save_config(config: DictConfig, folder: Path) -> None:
    """Write a run's composed config into its folder, interpolations as they are, in the files Hydra uses."""
    from omegaconf import OmegaConf

    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    (folder / HYDRA).parent.mkdir(parents=True, exist_ok=True)
    atomic_text(folder / CONFIG, OmegaConf.to_yaml(own))
    atomic_text(folder / OVERRIDES, OmegaConf.to_yaml(config.hydra.overrides.task))
    atomic_text(folder / HYDRA, OmegaConf.to_yaml(OmegaConf.masked_copy(config, ["hydra"])))


def load_config(folder: Path) -> DictConfig:
    """Return the config with which the run in this folder was submitted, Hydra's part included."""
    from hydra.conf import HydraConf
    from omegaconf import DictConfig, OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from fatebias.config import Config

    try:
        own, hydra = OmegaConf.load(folder / CONFIG), OmegaConf.load(folder / HYDRA)
    except (OSError, YAMLError) as error:
        found: object = error
    else:
        found = None if own and "hydra" in hydra else "an empty file"
    if found is not None:
        raise OutputError(
            "the settings with which this run was submitted were not kept",
            where=folder / CONFIG,
            found=found,
            fix="type the sweep's command again, with conf/ as it is now",
        )
    try:
        config = OmegaConf.merge(OmegaConf.structured(Config), own)
        hydras = OmegaConf.structured(HydraConf)
        with open_dict(hydras), open_dict(config):
            hydras.merge_with(hydra.hydra)  # it has groups, such as hydra.env, that are not in HydraConf
            config.hydra = hydras
    except OmegaConfBaseException as error:
        raise ConfigError(
            "the settings with which this run was submitted do not fit the code any more",
            where=folder / CONFIG,
            found=str(error).partition("\n")[0],
            fix="check out the commit of the submission (sweep.json names it), or start a new sweep",
        ) from error
    assert isinstance(config, DictConfig)
    # The sweep may have been moved or copied since: the run goes where its folder is now.
    config.hydra.sweep.dir = str(folder.parents[len(Path(config.hydra.sweep.subdir).parts) - 1])
    config.hydra.runtime.output_dir = str(folder)
    return config


def _plain(member: Member, root: Path) -> dict[str, Any]:
    return {
        **dataclasses.asdict(member),
        "folder": os.path.relpath(member.folder, root),
        "log": None if member.log is None else os.path.relpath(member.log, root),
    }


def _member(content: Mapping[str, Any], root: Path) -> Member:
    log = content["log"]
    paths = {"folder": root / content["folder"], "log": None if log is None else root / log}
    return Member(**{**content, **paths, "overrides": tuple(content["overrides"])})

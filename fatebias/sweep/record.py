"""sweep.json: the runs of a sweep, their overrides, folders and jobs, and the command that began them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fatebias.errors import OutputError
from fatebias.files.atomic import atomic_json, atomic_text
from fatebias.files.provenance import git_state, now

SWEEP_JSON = "sweep.json"
DIFF = "uncommitted.diff"
PLACES = ("launcher=", "out_dir=")
PACKAGE = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Attributes
    ----------
    number
        Its place in the sweep, from 0.
    overrides
        Its words, ``KEY=VALUE``, without Hydra's own.
    folder
        Its out_dir.
    job_id
        Of its latest Slurm job; None where it ran on the machine itself.
    log
        What Slurm has of its output.
    submitted
        When it was started or queued; None when it never was.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    job_id: str | None = None
    log: Path | None = None
    submitted: str | None = None

    @property
    def settings(self) -> tuple[str, ...]:
        """The words that decide what it computes, not where."""
        return tuple(word for word in self.overrides if not word.startswith(PLACES))


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep as written down when it was submitted.

    Attributes
    ----------
    root
        Its folder.
    launcher
        ``hydra/launcher`` of the latest submission.
    members
        In the order of their numbers.
    submissions
        Command line, working directory, commit and time of each, the first first.
    id
        The same for all submissions of the sweep.
    """

    root: Path
    launcher: str
    members: tuple[Member, ...]
    submissions: tuple[Mapping[str, Any], ...]
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
        """Name a run by its number and by what sets it apart from the others.

        Parameters
        ----------
        number
            The run's.

        Returns
        -------
        str
            For example ``#3 priors=weak``; the only run of a sweep with all its words.
        """
        settings = {member.number: member.settings for member in self.members}
        common = set.intersection(*map(set, settings.values())) if len(settings) > 1 else set()
        return f"#{number} {' '.join(w for w in settings[number] if w not in common)}".rstrip()

    def with_members(self, changed: Iterable[Member]) -> Sweep:
        """Give the sweep with some members replaced by those of the same number, or added.

        Parameters
        ----------
        changed
            The members as they are now.

        Returns
        -------
        Sweep
            A copy, not yet written.
        """
        by_number = {member.number: member for member in (*self.members, *changed)}
        return dataclasses.replace(self, members=tuple(by_number[number] for number in sorted(by_number)))


def read_sweep(root: Path) -> Sweep:
    """Read sweep.json.

    Parameters
    ----------
    root
        The sweep's folder.

    Returns
    -------
    Sweep
        Paths absolute.

    Raises
    ------
    OutputError
        When the folder holds no sweep or its record cannot be read.
    """
    root = Path(os.path.abspath(root))
    path = root / SWEEP_JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        members = tuple(_member(each, root) for each in content["members"])
        return Sweep(root, content["launcher"], members, tuple(content["submissions"]), content["id"])
    except FileNotFoundError:
        raise OutputError(
            f"there is no sweep in this folder: it has no {SWEEP_JSON}",
            where=root,
            fix="give the out_dir of a sweep: the folder above 0, 1, 2, ...",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{SWEEP_JSON} cannot be read", where=path, found=f"{type(error).__name__}: {error}"
        ) from error


def begin(root: Path, launcher: str, members: Sequence[Member], *, chosen: set[int]) -> Sweep:
    """Write down a submission, before anything starts.

    A sweep that is already there is continued when it has the same runs (or, for a later batch of a large
    sweep, none of these numbers); otherwise its record is replaced.

    Parameters
    ----------
    root
        The sweep's folder.
    launcher
        ``hydra/launcher``.
    members
        All runs of the sweep, or of one batch of it.
    chosen
        Numbers of those that this submission starts.

    Returns
    -------
    Sweep
        As written.
    """
    submission = describe_submission(root)
    fresh = Sweep(root, launcher, (), (submission,))
    try:
        old = read_sweep(root)
    except OutputError:
        old = fresh
    known = {member.number: member for member in old.members}
    continued = all(
        each.number not in known or known[each.number].settings == each.settings for each in members
    ) and (bool(min(each.number for each in members)) or len(known) == len(members))
    sweep = old if continued else fresh
    if old is not fresh and continued:
        sweep = dataclasses.replace(old, launcher=launcher, submissions=(*old.submissions, submission))
    kept = [known.get(each.number, each) for each in members] if continued else members
    stamped = [
        dataclasses.replace(each, submitted=submission["time"], job_id=None, log=None)
        if each.number in chosen
        else each
        for each in kept
    ]
    sweep = sweep.with_members(stamped)
    sweep.write()
    return sweep


def describe_submission(root: Path) -> dict[str, Any]:
    """Say what was typed, where, when, and with which code; uncommitted changes go to a file.

    Parameters
    ----------
    root
        The sweep's folder, where ``uncommitted.diff`` is written.

    Returns
    -------
    dict
        Plain content for sweep.json.
    """
    git = git_state(PACKAGE)
    described: dict[str, Any] = {
        "time": now(),
        "command": [os.path.abspath(sys.argv[0]), *sys.argv[1:]],
        "cwd": os.getcwd(),
    }
    described |= {"python": sys.executable, "git": git, "diff": None}
    if git["dirty"]:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), "diff", "HEAD"], capture_output=True, timeout=60, check=False
        )
        atomic_text(root / DIFF, done.stdout.decode("utf-8", "replace"))
        described["diff"] = DIFF
    return described


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

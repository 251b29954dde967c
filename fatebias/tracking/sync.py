"""From the files of runs to MLflow: finds them, writes one after another under a lock, says how it went."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import platform
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from fatebias import names
from fatebias.config import TrackingConfig
from fatebias.errors import FatebiasError, OutputError, explain
from fatebias.slurm_queue import cluster_name, gone
from fatebias.tracking.journal import JOURNAL, RUNNING, read_journal
from fatebias.tracking.place import ARTIFACTS, Place, resolve_place

log = logging.getLogger(__name__)

LOCK_WAIT_S = 300.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Attributes
    ----------
    root
        The run's folder.
    name, status
        As its journal says; empty when that could not be read.
    action
        ``created``, ``updated``, ``unchanged``, ``deleted in MLflow`` or ``not written``.
    mlflow_run_id
        None when not written.
    why
        The reason when not written.
    """

    root: Path
    name: str
    status: str
    action: str
    mlflow_run_id: str | None = None
    why: str | None = None


@dataclasses.dataclass(frozen=True)
class SyncReport:
    """What an import did.

    Attributes
    ----------
    place
        Where to; None with tracking=off.
    outcomes
        One a run, in the order of their folders.
    """

    place: Place | None
    outcomes: tuple[Outcome, ...] = ()

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The runs that are not in MLflow as they should be."""
        return tuple(each for each in self.outcomes if each.why is not None)

    def text(self) -> str:
        """Say it in a few lines.

        Returns
        -------
        str
            How many runs of which status, what was not written and why, and how to look at them.
        """
        if self.place is None:
            return "tracking is off"
        if not self.outcomes:
            return "no run found"
        written = [each for each in self.outcomes if each.why is None]
        lines = []
        if written:
            counts = f"{_counted(e.status for e in written)}; {_counted(e.action for e in written)}"
            lines.append(f"{_runs(len(written))} in {self.place.shown} ({counts})")
            lines.append(f"to compare them: {self.place.view}")
        for why, number in Counter(str(each.why) for each in self.failed).items():
            which = next(each.root for each in self.failed if str(each.why) == why)
            others = " and others" if number > 1 else ""
            lines.append(f"{_runs(number)} not written ({which}{others}): {why}")
        return "\n".join(lines)


def sync(
    folders: Sequence[Path],
    tracking: TrackingConfig,
    base: Path | None = None,
    *,
    lock_wait_s: float = LOCK_WAIT_S,
) -> SyncReport:
    """Write every run below some folders to MLflow; may be repeated, broken off and run twice at once.

    Parameters
    ----------
    folders
        Runs, sweeps or folders of them.
    tracking
        Where to; with backend ``off`` nothing is done and mlflow not imported. Each run keeps the
        experiment that it was started with.
    base
        Folder that ``mlflow.db`` is meant from; the working directory by default.
    lock_wait_s
        How long to wait for another import.

    Returns
    -------
    SyncReport
        Also when some or all could not be written.

    Raises
    ------
    OutputError
        When a folder is absent.
    ConfigError
        When tracking.uri cannot be used.
    """
    if tracking.backend == "off":
        return SyncReport(None)
    place = resolve_place(tracking, base)
    roots = [root for folder in folders for root in find_runs(folder)]
    if not roots:
        return SyncReport(place)
    return SyncReport(place, tuple(_import_all(sorted(set(roots)), place, lock_wait_s)))


def sync_run(
    out_dir: Path, tracking: TrackingConfig, base: Path | None = None, *, warn: bool = True
) -> SyncReport:
    """Write one run to MLflow and never raise: when that fails, one warning says so and how to do it later.

    Parameters
    ----------
    out_dir
        The run's folder.
    tracking
        Where to.
    base
        Folder that ``mlflow.db`` is meant from; the working directory by default.
    warn
        False when the failure was said before.

    Returns
    -------
    SyncReport
        What was done.
    """
    try:
        report = sync([out_dir], tracking, base)
    except Exception as error:
        report = SyncReport(None, (_not_written(out_dir, _in_words(error)),))
    if report.failed and warn:
        log.warning("%s", _warning(out_dir, report.failed[0], report.place))
    return report


def find_runs(folder: Path) -> list[Path]:
    """Find the folders of runs that have a journal.

    Parameters
    ----------
    folder
        A run, or a folder above some.

    Returns
    -------
    list of Path
        Their out_dirs, sorted.

    Raises
    ------
    OutputError
        When `folder` is absent.
    """
    if not folder.is_dir():
        raise OutputError(
            "there is no such folder", where=folder, fix="give the out_dir of a run or of a sweep"
        )
    found = []
    for here, below, files in os.walk(folder.resolve()):
        if Path(here).name == names.TRACKING_DIR and JOURNAL in files:
            found.append(Path(here).parent)
        below[:] = [name for name in below if name != ARTIFACTS and not name.startswith(".")]
    return sorted(found)


def _import_all(roots: Sequence[Path], place: Place, lock_wait_s: float) -> list[Outcome]:
    if not place.answers():
        return [_not_written(root, f"no answer from {place.shown}") for root in roots]
    from fatebias.tracking.store import Store, quiet

    ended = _ended_jobs(roots)  # before the journals are read for good: a job may end meanwhile
    outcomes: list[Outcome] = []
    with quiet():
        store: Store | None = None
        gone: str | None = None  # why there is no use in trying the next run
        for root in roots:
            if gone is not None:
                outcomes.append(_not_written(root, gone))
                continue
            try:
                with _lock(place, root, lock_wait_s):
                    store = store or Store(place)
                    for run in read_journal(root):
                        if run.status == RUNNING and run.slurm_job in ended:
                            run.end_without_word()
                        done = store.record(run)
                        outcomes.append(Outcome(root, run.name, run.status, done.action, done.mlflow_run_id))
            except Exception as error:  # MLflow, SQLite, HTTP and the disk each have their own kinds
                why = _in_words(error)
                outcomes.append(_not_written(root, why))
                if store is None or not place.answers():
                    gone = why
    return outcomes


def _ended_jobs(roots: Sequence[Path]) -> set[str | None]:
    """Ask Slurm about runs of other machines that have not said how they ended: a killed job cannot."""
    open_jobs: dict[str, str | None] = {}
    for root in roots:
        with contextlib.suppress(OSError, KeyError):
            for run in read_journal(root):
                if run.status == RUNNING and run.slurm_job and run.host != platform.node():
                    open_jobs[run.slurm_job] = run.tags.get("slurm_cluster_name")
    here = cluster_name() if open_jobs else None
    return set(gone([job for job, cluster in open_jobs.items() if cluster == here])) if here else set()


def _lock(place: Place, root: Path, wait_s: float) -> FileLock:
    """One writer at a time: a database knows no other, and a server would make the run twice."""
    if place.database is None:
        return FileLock(root / names.TRACKING_DIR / "sync.lock", timeout=wait_s)
    place.database.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(place.database.with_name(f"{place.database.name}.lock"), timeout=wait_s)


def _not_written(root: Path, why: str) -> Outcome:
    return Outcome(root, "", "", "not written", why=why)


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in Counter(words).items())


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _in_words(error: Exception) -> str:
    if isinstance(error, FatebiasError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed: pip install {error.name}"
    if isinstance(error, Timeout):
        return f"another import has held {error.lock_file} for too long"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 600 else text[:599] + '…'}"


def _warning(out_dir: Path, outcome: Outcome, place: Place | None) -> str:
    command = f"python -m fatebias.tracking sync {shlex.quote(str(out_dir))}"
    return explain(
        "this run could not be written to MLflow; its results are on disk and nothing is lost",
        where=place.shown if place else "tracking.uri",
        found=outcome.why,
        fix=f"import it later: {place.sync_command(out_dir) if place else command}",
    )

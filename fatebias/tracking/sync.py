"""From the folders of runs to MLflow: finds them, writes one after another under a lock, reports each."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import platform
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from fatebias.config import TrackingConfig
from fatebias.errors import FatebiasError, OutputError, explain
from fatebias.files.atomic import NO_LOCKS
from fatebias.files.outputs import PLACES
from fatebias.files.rights import whose
from fatebias.slurm_queue import cluster_name, gone
from fatebias.tracking.events import RUNNING, SWEEP_RUN, is_tracked, read_run, tracked_entry
from fatebias.tracking.password import without_password
from fatebias.tracking.place import ARTIFACTS, Place, resolve_place
from fatebias.tracking.view import ALL_RUNS, runs_page

log = logging.getLogger(__name__)

LOCK_WAIT_S = 300.0
MLFLOW_COPIES = re.compile(r"[0-9a-f]{32}/artifacts$")  # which hold each run's run.json


@dataclasses.dataclass(frozen=True)
class SyncedRun:
    """What the import did with one run."""

    root: Path
    name: str  # name and status are empty where the run was not written
    status: str
    action: str  # created, updated, unchanged, deleted in MLflow, or not written
    mlflow_run_id: str | None = None
    why: str | None = None  # it was not written
    experiment_id: str = ""
    view: str = ""  # key of the view that shows it beside others; empty where MLflow has none


@dataclasses.dataclass(frozen=True)
class SyncReport:
    """What an import did."""

    place: Place | None  # None with tracking=off
    runs: tuple[SyncedRun, ...] = ()

    @property
    def failed(self) -> tuple[SyncedRun, ...]:
        """The runs that could not be written."""
        return tuple(each for each in self.runs if each.why is not None)

    def how_to_see(self) -> str:
        """Return the address of the runs' page on a server, else the command that opens it; empty without."""
        if self.place is None or len(self.failed) == len(self.runs):
            return ""
        found = [each for each in self.runs if each.view]
        views = {each.view for each in found}
        together = views.pop() if len(views) == 1 else ALL_RUNS
        page = runs_page(found[0].experiment_id, together) if found else ""
        if (address := self.place.address(page)) is not None:
            return address
        sweeps = [each.root for each in found if tracked_entry(each.root, SWEEP_RUN)]
        return self.place.ui_command(*map(str, sweeps if len(sweeps) == 1 and together != ALL_RUNS else ()))

    def text(self) -> str:
        """Return how many runs were written, which were not and why, and how to see them, in a few lines."""
        if self.place is None:
            return "tracking is off"
        if not self.runs:
            return "no run found: those with tracking=off, and those whose run.json is damaged, do not count"
        written = [each for each in self.runs if each.why is None]
        lines = []
        if written:
            counts = f"{_counted(e.status for e in written)}; {_counted(e.action for e in written)}"
            lines.append(f"{_runs(len(written))} in {self.place.shown} ({counts})")
            lines.append(f"to compare them: {self.how_to_see()}")
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

    Each run keeps the experiment that it was started with. The default ``mlflow.db`` is that in `base`, by
    default the working directory. Runs that could not be written are in the report; only an absent folder
    and an address that cannot be used raise.
    """
    if tracking.backend == "off":
        return SyncReport(None)
    place = resolve_place(tracking, base)
    roots = [root for folder in folders for root in find_runs(folder)]
    if not roots:
        return SyncReport(place)
    # A sweep after its runs: they are told where it is.
    ordered = sorted(set(roots), key=lambda root: ((root / SWEEP_RUN).is_file(), root))
    return SyncReport(place, tuple(_import_all(ordered, place, lock_wait_s)))


def sync_run(
    out_dir: Path, tracking: TrackingConfig, base: Path | None = None, *, warn: bool = True
) -> SyncReport:
    """Write the runs below a folder to MLflow; never raises, but warns of a failure and of its remedy."""
    try:
        report = sync([out_dir], tracking, base)
    except Exception as error:
        report = SyncReport(None, (_not_written(out_dir, _reason(error)),))
    if report.failed and warn:
        log.warning("%s", _warning(out_dir, report.failed[0], report.place))
    return report


def make_ready(tracking: TrackingConfig) -> None:
    """Import MLflow and set up a local database, so that a later import finds both; never raises."""
    from fatebias.tracking.store import Store, quiet_mlflow

    with contextlib.suppress(Exception):  # the import itself says what is wrong
        place = resolve_place(tracking)
        assert place.database is not None
        with quiet_mlflow(), _alone(place, place.database.parent, LOCK_WAIT_S):
            Store(place)


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of tracked runs at or below a folder, sorted."""
    if not folder.is_dir():
        raise OutputError(
            "there is no such folder", where=folder, fix="give the out_dir of a run or of a sweep"
        )
    found = []
    for here, below, files in os.walk(folder.resolve()):
        told = PLACES["record"] in files or SWEEP_RUN in files
        if told and not MLFLOW_COPIES.search(here) and _may_be_tracked(Path(here)):
            found.append(Path(here))
        below[:] = [name for name in below if name != ARTIFACTS and not name.startswith(".")]
    return sorted(found)


def _may_be_tracked(root: Path) -> bool:
    try:
        return is_tracked(root)
    except OSError:  # which its import then tells
        return True


def _import_all(roots: Sequence[Path], place: Place, lock_wait_s: float) -> list[SyncedRun]:
    if not place.answers():
        return [_not_written(root, f"no answer from {place.shown}") for root in roots]
    from fatebias.tracking.store import Store, quiet_mlflow

    ended = _ended_jobs(roots)  # asked before the runs are read: one may end well meanwhile
    done: list[SyncedRun] = []
    with quiet_mlflow():
        store: Store | None = None
        unusable: str | None = None  # why no further run is tried
        for root in roots:
            if unusable is not None:
                done.append(_not_written(root, unusable))
                continue
            try:
                with _alone(place, root, lock_wait_s):
                    store = store or Store(place)
                    run = read_run(root)
                    if run is None:  # another run began there meanwhile and still reads its data
                        continue
                    if run.status == RUNNING and run.slurm_job in ended:
                        run.mark_killed()
                    run_id, action = store.record(run)
                    done.append(
                        SyncedRun(root, run.name, run.status, action, run_id, None, *store.seen_in(run))
                    )
            except Exception as error:  # MLflow, SQLite, HTTP and the disk each have their own kinds
                why = _reason(error)
                done.append(_not_written(root, why))
                if store is None or not place.answers():
                    unusable = why
    return done


def _ended_jobs(roots: Sequence[Path]) -> set[str | None]:
    """Return the Slurm jobs that have ended though their run.json says running, as a killed job leaves it."""
    open_jobs: dict[str, str | None] = {}
    for root in roots:
        with contextlib.suppress(Exception):  # a folder that cannot be read is reported when it is written
            run = read_run(root)
            if run and run.status == RUNNING and run.slurm_job and run.host != platform.node():
                open_jobs[run.slurm_job] = run.tags.get("slurm_cluster_name")
    here = cluster_name() if open_jobs else None
    return set(gone([job for job, cluster in open_jobs.items() if cluster == here])) if here else set()


@contextlib.contextmanager
def _alone(place: Place, root: Path, wait_s: float) -> Iterator[None]:
    """Be the one writer: SQLite allows no second, and a server would create the run twice."""
    database = place.database
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    path = root / ".sync.lock" if database is None else database.with_name(f"{database.name}.lock")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FileLock(path, timeout=wait_s, fallback_to_soft=False))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            if database is not None:
                raise OutputError(
                    "MLflow's store is on a file system without locks, which SQLite needs",
                    where=database,
                    fix="keep it on another disk: tracking.uri=sqlite:////PATH/mlflow.db, or tracking=off",
                ) from None
            log.info("%s has no locks: let no other import write this run meanwhile", root)
        yield


def _not_written(root: Path, why: str) -> SyncedRun:
    return SyncedRun(root, "", "", "not written", why=why)


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in Counter(words).items())


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _reason(error: Exception) -> str:
    if isinstance(error, FatebiasError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed: pip install {error.name}"
    if isinstance(error, PermissionError) and error.filename:
        return f"{error.filename} cannot be read: {error.strerror}; {whose(Path(error.filename))}"
    if isinstance(error, Timeout):
        return f"another import holds {error.lock_file}; try again when it has ended"
    text = without_password(" ".join(str(error).split()))  # MLflow names the address
    return f"{type(error).__name__}: {text if len(text) <= 600 else text[:599] + '…'}"


def _warning(out_dir: Path, failed: SyncedRun, place: Place | None) -> str:
    command = f"python -m fatebias.tracking sync {shlex.quote(str(out_dir))}"
    return explain(
        "this run could not be written to MLflow; its results are on disk and nothing is lost",
        where=place.shown if place else "tracking.uri",
        found=failed.why,
        fix=f"import it later: {place.sync_command(out_dir) if place else command}",
    )

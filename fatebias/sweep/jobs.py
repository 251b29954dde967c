"""Runs of a sweep, started from their folders: one after the other, several at once, or as Slurm jobs."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from fatebias.errors import FatebiasError, OutputError, SweepError
from fatebias.files.paths import RunPaths
from fatebias.files.record import RunRecord
from fatebias.sweep.settings import LocalSettings, ParallelSettings, SlurmSettings
from fatebias.sweep.snapshot import Member, Sweep, load_config, read_sweep
from fatebias.sweep.status import DONE, FAILED, KILLED, NOT_STARTED, MemberStatus, read_record, table
from fatebias.sweep.task import first_line, run_member

log = logging.getLogger(__name__)


def start(sweep: Sweep, numbers: Collection[int], settings: LocalSettings) -> list[MemberStatus] | None:
    """Start members where `settings` say; return their ends, None when they are queued and nobody waits."""
    members = sweep.chosen(numbers)
    if isinstance(settings, SlurmSettings):
        return _in_slurm(sweep, members, settings)
    if isinstance(settings, ParallelSettings):
        return _at_once(sweep, members, settings.n_jobs)
    return [_in_this_process(sweep, member) for member in members]


def end_of_sweep(sweep: Sweep, found: Sequence[MemberStatus]) -> None:
    """Print how the runs ended, compare those that finished, tell MLflow; a failure costs nothing else."""
    print(table(sweep, found))
    try:
        from fatebias.sweep.compare import compare

        for path in compare(sweep):
            print(path)
    except FatebiasError as error:
        log.warning("the runs could not be compared: %s", error)
    except Exception:
        log.warning("the runs could not be compared", exc_info=True)
    if report := _track(sweep):
        print(f"to compare them in MLflow: {report}")


def raise_failures(sweep: Sweep, found: Sequence[MemberStatus]) -> None:
    """Raise one SweepError that names every run that failed, with its reason and its log."""
    failed = [each for each in found if each.failed or each.state == NOT_STARTED]
    if failed:
        lines = [f"{len(failed)} of {len(found)} runs of the sweep failed"]
        lines += [f"{sweep.label(each.member.number)}: {each.reason}\n  log: {each.log}" for each in failed]
        raise SweepError("\n".join(lines))


def _in_this_process(sweep: Sweep, member: Member) -> MemberStatus:
    print(sweep.label(member.number), flush=True)
    error = run_member(member.folder)
    return _ended(member, None if error is None else first_line(error))


def _at_once(sweep: Sweep, members: Sequence[Member], n_jobs: int) -> list[MemberStatus]:
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    for member in members:
        print(sweep.label(member.number), flush=True)
    reasons: dict[int, str | None] = {}
    pool = joblib.Parallel(n_jobs, backend="loky", return_as="generator_unordered")
    try:
        for number, reason in pool(joblib.delayed(_reason)(each.number, each.folder) for each in members):
            reasons[number] = reason
    except TerminatedWorkerError:  # the pool loses what it had still to do
        pass
    return [_status(member, reasons) for member in members]


def _reason(number: int, folder: Path) -> tuple[int, str | None]:
    """Run in another process; exceptions, which may not be picklable, stay there."""
    error = run_member(folder)
    return number, None if error is None else first_line(error)


def _status(member: Member, reasons: Mapping[int, str | None]) -> MemberStatus:
    if member.number in reasons:
        return _ended(member, reasons[member.number])
    if read_record(member.folder).get("status") == DONE:
        return MemberStatus(member, DONE)
    return MemberStatus(member, KILLED, "its process died, or another's death stopped it")


def _ended(member: Member, reason: str | None) -> MemberStatus:
    return MemberStatus(member, DONE) if reason is None else MemberStatus(member, FAILED, reason)


def _in_slurm(sweep: Sweep, members: Sequence[Member], settings: SlurmSettings) -> list[MemberStatus] | None:
    from fatebias.sweep import slurm

    numbers = {member.number for member in members}
    sweep, refused = slurm.submit(sweep, members, settings)
    if refused is not None and not _queued(sweep, numbers):
        for member in members:
            RunRecord(RunPaths(member.folder)).fail("it could not be queued")
        raise refused
    _announce(sweep, numbers, refused)
    watch = f"python -m fatebias.sweep status {shlex.quote(str(sweep.root))}"
    print(f"to see their states: {watch}", flush=True)
    if not settings.wait:
        return None

    def more(room: int) -> Sweep:
        """Queue as many of the runs that have no job yet as others have ended."""
        now = read_sweep(sweep.root)
        left = [member for member in now.chosen(numbers) if member.job_id is None][:room]
        now, refused = slurm.submit(now, left, settings)
        _announce(now, {member.number for member in left}, refused)
        return now

    try:
        found = slurm.wait(sweep, numbers, more=more)
    except KeyboardInterrupt:
        queued = _queued(read_sweep(sweep.root), numbers)
        arrays = sorted({str(member.job_id).partition("_")[0] for member in queued})
        raise SystemExit(
            f"the jobs keep running: {watch}\nto stop them: scancel {' '.join(arrays)}"
        ) from None
    return found


def _queued(sweep: Sweep, numbers: Collection[int]) -> list[Member]:
    return [member for member in sweep.chosen(numbers) if member.job_id]


def _announce(sweep: Sweep, numbers: Collection[int], refused: OutputError | None) -> None:
    queued = _queued(sweep, numbers)
    for member in queued:
        print(f"{sweep.label(member.number)}  job {member.job_id}")
    print(f"{len(queued)} queued" + (f" of {len(numbers)}" if refused else ""), flush=True)
    if refused is not None:
        log.warning("%s", refused)


def _track(sweep: Sweep) -> str:
    """Bring the sweep to MLflow and return how to see it, empty where that failed or is not wanted.

    Runs of this process are there already, and found unchanged. Slurm's jobs only write files, so that no two
    open a database at once.
    """
    from omegaconf import OmegaConf

    from fatebias.config import TrackingConfig
    from fatebias.tracking.sync import sync_run

    try:
        tracking = OmegaConf.to_object(load_config(sweep.members[0].folder).tracking)
    except FatebiasError as error:
        log.warning("the sweep is not in MLflow: %s", error)
        return ""
    assert isinstance(tracking, TrackingConfig)
    return sync_run(sweep.root, tracking).how_to_see()

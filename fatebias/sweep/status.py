"""The state of each run of a sweep: from run.json, or from Slurm where a process died before it wrote one."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fatebias.errors import FatebiasError
from fatebias.files.lock import is_at_work
from fatebias.files.paths import RunPaths
from fatebias.files.record import STOPPED, sound
from fatebias.files.rights import whose
from fatebias.slurm_queue import RUNS, WAITS, Answer, Job, SlurmQueue
from fatebias.sweep.snapshot import Member, Sweep, load_config

QUEUED, RUNNING, DONE, FAILED, KILLED = "queued", "running", "done", "failed", "killed"
INCOMPLETE = "incomplete"  # it was done, and a file of it is gone
UNKNOWN = "unknown"  # Slurm gives no answer, or run.json may not be read
UNDER_WAY = (QUEUED, RUNNING, UNKNOWN)
NOT_STARTED = "not started"
AGAIN = "retry does it again"
LATE = "its job has ended; its files may be on their way"

# What a job's last state in Slurm means where the run itself wrote no reason.
SLURM_ENDS = {
    "CANCELLED": "cancelled: scancel, or the scheduler",
    "TIMEOUT": "met its time limit",
    "DEADLINE": "met its deadline",
    "OUT_OF_MEMORY": "ran out of memory",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not boot",
    "PREEMPTED": "preempted and not queued again",
    "FAILED": "its process died",
    "COMPLETED": "ended without a word",
}
STOPPED_BY_SLURM = ("CANCELLED", "TIMEOUT", "DEADLINE", "NODE_FAIL", "PREEMPTED")
FIXES = {
    "ran out of memory": "retry with more: hydra.launcher.mem_gb=64",
    "met its time limit": "retry with more: hydra.launcher.timeout_min=480",
    # submitit's own words, when it was told of the limit in time
    "Job not requeued because: timed-out too many times.": "retry with more: hydra.launcher.timeout_min=480",
}


@dataclasses.dataclass(frozen=True)
class MemberStatus:
    """A run and its state."""

    member: Member
    state: str  # queued, running, done, failed (it said why), killed (it could not), unknown, not started
    reason: str = ""  # why it is not done; for a queued run, Slurm's word for what it waits for

    @property
    def failed(self) -> bool:
        """Whether it ended without a result."""
        return self.state in (FAILED, KILLED, INCOMPLETE)

    @property
    def log(self) -> Path:
        """run.log, or Slurm's log where the run did not get so far."""
        own = self.member.folder / "run.log"
        slurm = self.member.log
        return slurm if slurm is not None and (self.state == KILLED or not os.path.isfile(own)) else own


def statuses(sweep: Sweep, queue: SlurmQueue | None = None) -> list[MemberStatus]:
    """Return the state of each run, in the order of the members."""
    records = {member.number: read_record(member.folder) for member in sweep.members}
    open_jobs = [
        member.job_id
        for member in sweep.members
        if member.job_id and records[member.number].get("status") != DONE
    ]
    slurm = Answer({})
    if open_jobs:
        slurm = (queue or SlurmQueue()).ask(open_jobs)
        # A job may have ended between the two looks.
        records = {member.number: read_record(member.folder) for member in sweep.members}
    return _with_reasons([_status(member, records[member.number], slurm) for member in sweep.members])


def _with_reasons(found: list[MemberStatus]) -> list[MemberStatus]:
    queued = [each.member.job_id for each in found if each.state == QUEUED and each.member.job_id]
    if not queued:
        return found
    from fatebias.slurm_queue import waiting_reasons

    reasons = waiting_reasons(queued)
    return [
        dataclasses.replace(each, reason=f"waits for: {reasons[each.member.job_id]}")
        if each.state == QUEUED and each.member.job_id in reasons
        else each
        for each in found
    ]


def _status(member: Member, record: Mapping[str, Any], slurm: Answer) -> MemberStatus:
    said = record.get("status")
    if not record and (why := _closed(member.folder)):
        return MemberStatus(member, UNKNOWN, why)
    if said == DONE:
        if gone := _gone(member.folder, record):
            return MemberStatus(member, INCOMPLETE, f"{gone} is gone; {AGAIN}")
        return MemberStatus(member, DONE)
    job = slurm.jobs.get(member.job_id) if member.job_id else None
    state = job.state if job else None
    if state in WAITS:  # also a job that was stopped and is queued again
        return MemberStatus(member, QUEUED)
    if state in RUNS:
        return MemberStatus(member, RUNNING)
    if said == FAILED and not (state in STOPPED_BY_SLURM and record.get("why") == STOPPED):
        return MemberStatus(member, FAILED, str(record.get("why")).partition("\n")[0])
    if member.job_id is not None:
        return _end_of_job(member, said, job, slurm.silent)
    if said is None and RunPaths(member.folder).hits.is_file():
        return MemberStatus(member, INCOMPLETE, f"run.json cannot be read, its results are there; {AGAIN}")
    if said is None and (member.submitted is None or record.get("why")):
        return MemberStatus(member, NOT_STARTED, record.get("why") or "")
    if is_at_work(RunPaths(member.folder).lock):
        return MemberStatus(member, RUNNING)
    return MemberStatus(member, KILLED, "its process died") if said else MemberStatus(member, NOT_STARTED)


def _gone(folder: Path, record: Mapping[str, Any]) -> str | None:
    """Return the name of a file that a finished run wrote and that is no longer there."""
    for stage in record.get("stages", {}).values():
        for name in stage.get("outputs", {}):
            if not (folder / name).exists():
                return str(name)
    return None


def _closed(folder: Path) -> str | None:
    """Return why this user cannot read a run's run.json, though it may be there."""
    try:
        RunPaths(folder).record.open("rb").close()
    except PermissionError as error:
        return f"run.json cannot be read: {error.strerror}; {whose(folder)}"
    except OSError:
        pass
    return None


def _end_of_job(member: Member, said: str | None, job: Job | None, silent: str | None) -> MemberStatus:
    if job is None and silent:
        return MemberStatus(member, UNKNOWN, f"Slurm says nothing of its job {member.job_id}: {silent}")
    if job is None:
        return MemberStatus(member, KILLED, f"Slurm no longer knows its job {member.job_id}")
    if job.ended is not None and time.time() - job.ended < _late_s(member):
        return MemberStatus(member, RUNNING, LATE)
    reason = SLURM_ENDS.get(job.state, f"Slurm says {job.state}")
    if said == QUEUED:
        reason += ", before the run began"
    return MemberStatus(member, KILLED, reason)


def _late_s(member: Member) -> float:
    """Return for how many seconds after its job's end a run may still be seen as it was (``late_s``)."""
    try:
        return float(load_config(member.folder).hydra.launcher.late_s)
    except (FatebiasError, AttributeError):  # submitted by an earlier version
        return 0.0


def read_record(folder: Path) -> dict[str, Any]:
    """Return the content of a run's run.json; empty when there is none that can be read."""
    try:
        content = json.loads(RunPaths(folder).record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return sound(content)


def table(sweep: Sweep, found: Sequence[MemberStatus]) -> str:
    """Return the runs as a text table: number, job, state, what sets it apart, log, reasons, and a count."""
    rows = [("run", "job", "state", "overrides", "log")]
    rows += [
        (
            str(each.member.number),
            each.member.job_id or "-",
            each.state,
            sweep.label(each.member.number).partition(" ")[2] or "-",
            str(each.log) if os.path.isfile(each.log) else "-",  # is_file raises where a folder is closed
        )
        for each in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row, each in zip(rows, [None, *found], strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[4]]).rstrip())
        if each is not None and each.reason:
            fix = FIXES.get(each.reason)
            lines.append(f"     {each.reason}" + (f"; {fix}" if fix else ""))
    counts = Counter(each.state for each in found)
    lines.append(", ".join(f"{number} {state}" for state, number in counts.items()))
    return "\n".join(lines)

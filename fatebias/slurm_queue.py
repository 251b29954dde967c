"""Slurm's states of jobs, from its accounting where there is one, else from its controller's memory."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

ASKED_S = 60
ACCOUNTING_EVERY_S = 60.0
WAITS = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
RUNS = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING",
              "STAGE_OUT")  # fmt: skip
# What Slurm says of a job that it has forgotten, and of accounting that it does not do.
FORGOTTEN = "Invalid job id"
NO_ACCOUNTING = "accounting storage is disabled"


@dataclass(frozen=True)
class Job:
    """What Slurm knows of a job."""

    state: str  # Slurm's word
    ended: float | None = None  # seconds since 1970; None while it lasts, or where Slurm does not say


@dataclass(frozen=True)
class Answer:
    """What Slurm knows of some jobs."""

    jobs: Mapping[str, Job]  # an array's are called ``123_4``, as submitit has them
    silent: str | None = None  # why it has not answered about the others; None: it does not know them


class SlurmQueue:
    """Asks Slurm about jobs, its accounting at most once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, tuple[float, str]] = {}  # by jobs asked for: when, and what accounting said

    def ask(self, job_ids: Sequence[str]) -> Answer:
        """Return what Slurm knows of these jobs."""
        silent = None
        found: dict[str, Job] = {}
        try:
            found = self._from_accounting(job_ids)
        except _NoAnswer as error:
            if not error.for_good:
                silent = str(error)
        for main in sorted({job.partition("_")[0] for job in job_ids if job not in found}):
            try:
                known = dict(_from_controller(main))
            except _NoAnswer as error:
                silent = str(error)
            else:
                found |= {job: each for job, each in known.items() if job not in found}
        return Answer({job: found[job] for job in job_ids if job in found}, silent)

    def _from_accounting(self, job_ids: Sequence[str]) -> dict[str, Job]:
        main = ",".join(sorted({job.partition("_")[0] for job in job_ids}))
        asked, text = self._told.get(main, (float("-inf"), ""))
        if self._clock() - asked < ACCOUNTING_EVERY_S:  # what had ended by then has ended
            return {job: each for job, each in _rows(text) if each.state not in (*WAITS, *RUNS)}
        columns = "--format=JobID,State,End"
        text = _run("sacct", "--allocations", "--noheader", "--parsable2", columns, f"--jobs={main}")
        self._told[main] = (self._clock(), text)
        return dict(_rows(text))


def ask_jobs(job_ids: Sequence[str]) -> Answer:
    """Return what Slurm knows of these jobs, asked once."""
    return SlurmQueue().ask(job_ids)


def cluster_name() -> str | None:
    """Return Slurm's name of this cluster, as SLURM_CLUSTER_NAME has it in a job; None where none answers."""
    return _setting("ClusterName")


def largest_array() -> int | None:
    """Return how many tasks an array may have; None where Slurm does not say."""
    said = _setting("MaxArraySize")  # one more than the greatest index
    return max(1, int(said) - 1) if said is not None and said.isdigit() else None


def own_job() -> str | None:
    """Return the job that this process is part of, an array's task as ``123_4``; None outside Slurm."""
    return job_name({name.lower(): value for name, value in os.environ.items() if name.startswith("SLURM_")})


def job_name(described: Mapping[str, str]) -> str | None:
    """Return a job as Slurm's commands name it, from its variables in lower case; None where it is none."""
    array, task = described.get("slurm_array_job_id"), described.get("slurm_array_task_id")
    return f"{array}_{task}" if array and task else described.get("slurm_job_id")


def gone(job_ids: Sequence[str]) -> set[str]:
    """Return the jobs that have ended by a Slurm that answers, and those that it no longer knows."""
    answer = ask_jobs(job_ids)
    ended = {job for job, each in answer.jobs.items() if each.state not in (*WAITS, *RUNS)}
    return ended if answer.silent else ended | (set(job_ids) - set(answer.jobs))


def waiting_reasons(job_ids: Sequence[str]) -> dict[str, str]:
    """Return why queued jobs wait, in Slurm's word, such as ``PartitionTimeLimit``."""
    main = ",".join(sorted({job.partition("_")[0] for job in job_ids}))
    try:
        text = _run("squeue", "--array", "--noheader", "--format=%i|%r", f"--jobs={main}")
    except _NoAnswer:
        return {}
    found = dict(line.strip().split("|", 1) for line in text.splitlines() if "|" in line)
    return {job: found[job] for job in job_ids if found.get(job, "None") != "None"}


class _NoAnswer(Exception):
    """Slurm did not answer; its message says why."""

    @property
    def for_good(self) -> bool:
        """Whether there is no accounting here to wait for."""
        return NO_ACCOUNTING in str(self) or isinstance(self.__cause__, FileNotFoundError)


def _setting(name: str) -> str | None:
    try:
        found = re.search(rf"^{name}\s*=\s*(\S+)", _run("scontrol", "show", "config"), re.M)
    except _NoAnswer:
        return None
    return found[1] if found else None


def _rows(text: str) -> Iterator[tuple[str, Job]]:
    # A task's own row may come before that of the tasks that wait together, which still names it.
    rows = [[*line.split("|"), "", ""] for line in text.splitlines()]
    for job, state, end, *_ in sorted(rows, key=lambda row: "[" not in row[0]):
        if state.strip():
            for each in expand(job.strip()):
                yield each, Job(_word(state), _time(end))


def _from_controller(main: str) -> Iterator[tuple[str, Job]]:
    try:
        text = _run("scontrol", "--oneliner", "show", "job", main)
    except _NoAnswer as error:
        if FORGOTTEN in str(error):
            return
        raise
    for line in text.splitlines():
        fields = dict(re.findall(r"\b(JobId|ArrayJobId|ArrayTaskId|JobState|EndTime)=(\S+)", line))
        if "JobState" not in fields:
            continue
        job = fields["JobId"]
        if "ArrayTaskId" in fields:
            tasks = fields["ArrayTaskId"]
            job = f"{fields['ArrayJobId']}_" + (tasks if tasks.isdigit() else f"[{tasks}]")
        state = _word(fields["JobState"])
        lasts = state in (*WAITS, *RUNS)  # for which EndTime is that of the time limit
        for each in expand(job):
            yield each, Job(state, None if lasts else _time(fields.get("EndTime", "")))


def _run(*words: str) -> str:
    standard = os.environ | {"SLURM_TIME_FORMAT": "standard"}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=ASKED_S, check=False, env=standard
        )
    except FileNotFoundError as error:
        raise _NoAnswer(f"this machine has no {words[0]}") from error
    except subprocess.TimeoutExpired:
        raise _NoAnswer(f"{words[0]} gave no answer within {ASKED_S} s") from None
    except OSError as error:
        raise _NoAnswer(f"{words[0]}: {error}") from None
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise _NoAnswer(said[-1] if said else f"{words[0]} ended with exit status {done.returncode}")
    return done.stdout


def _word(state: str) -> str:
    return state.split()[0].rstrip("+")  # "CANCELLED by 1000"


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:  # Unknown, None
        return None


def expand(job: str) -> list[str]:
    """Return the tasks that Slurm writes as one word: ``12_[0-1,5%256]`` is ``12_0``, ``12_1``, ``12_5``."""
    matched = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", job)
    if not matched:
        return [job]
    tasks: list[str] = []
    for part in matched[2].split(","):
        first, _, last = part.partition("-")
        tasks += [f"{matched[1]}_{number}" for number in range(int(first), int(last or first) + 1)]
    return tasks

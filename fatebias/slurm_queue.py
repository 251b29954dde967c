"""Slurm's states of jobs, from its accounting where there is one, else from its controller's memory."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence

ASKED_S = 60
WAITS = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
RUNS = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING",
              "STAGE_OUT")  # fmt: skip


def cluster_name() -> str | None:
    """Return Slurm's name of this cluster, as SLURM_CLUSTER_NAME has it in a job; None where none answers."""
    found = re.search(r"^ClusterName\s*=\s*(\S+)", _ask("scontrol", "show", "config"), re.M)
    return found[1] if found else None


def gone(job_ids: Sequence[str]) -> set[str]:
    """Return the jobs that have ended by a Slurm that answers, and those that it no longer knows."""
    states = job_states(job_ids)
    return {job for job in job_ids if states.get(job) not in (*WAITS, *RUNS)}


def job_states(job_ids: Sequence[str]) -> dict[str, str]:
    """Return Slurm's word for each job it knows; an array's are called ``123_4``, as submitit has them."""
    wanted = set(job_ids)
    found = dict(_from_accounting(wanted))
    for main in sorted({job.partition("_")[0] for job in wanted - set(found)}):
        found |= dict(_from_controller(main))
    return {job: found[job] for job in job_ids if job in found}


def waiting_reasons(job_ids: Sequence[str]) -> dict[str, str]:
    """Return why queued jobs wait, in Slurm's word, such as ``PartitionTimeLimit``."""
    main = ",".join(sorted({job.partition("_")[0] for job in job_ids}))
    text = _ask("squeue", "--array", "--noheader", "--format=%i|%r", f"--jobs={main}")
    found = dict(line.strip().split("|", 1) for line in text.splitlines() if "|" in line)
    return {job: found[job] for job in job_ids if found.get(job, "None") != "None"}


def _from_accounting(job_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    main = ",".join(sorted({job.partition("_")[0] for job in job_ids}))
    text = _ask(
        "sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID,State", f"--jobs={main}"
    )
    for line in text.splitlines():
        job, _, state = line.partition("|")
        for each in expand(job.strip()):
            if state.strip():
                yield each, _word(state)


def _from_controller(main: str) -> Iterator[tuple[str, str]]:
    for line in _ask("scontrol", "--oneliner", "show", "job", main).splitlines():
        fields = dict(re.findall(r"\b(JobId|ArrayJobId|ArrayTaskId|JobState)=(\S+)", line))
        if "JobState" not in fields:
            continue
        job = fields["JobId"]
        if "ArrayTaskId" in fields:
            tasks = fields["ArrayTaskId"]
            job = f"{fields['ArrayJobId']}_" + (tasks if tasks.isdigit() else f"[{tasks}]")
        for each in expand(job):
            yield each, _word(fields["JobState"])


def _ask(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=ASKED_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # no accounting, or no such job any more
        return ""


def _word(state: str) -> str:
    return state.split()[0].rstrip("+")  # "CANCELLED by 1000"


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

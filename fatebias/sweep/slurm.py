"""One Slurm job a run, queued as an array through submitit, and what happens inside such a job."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.errors import OutputError
from fatebias.files.paths import RunPaths
from fatebias.files.record import RunRecord
from fatebias.slurm_queue import SlurmQueue, largest_array
from fatebias.sweep.settings import SlurmSettings
from fatebias.sweep.snapshot import PACKAGE, Member, Sweep, load_config
from fatebias.sweep.status import NOT_STARTED, QUEUED, UNDER_WAY, UNKNOWN, MemberStatus, statuses
from fatebias.sweep.task import run_member
from fatebias.tracking.describe import code_version

if TYPE_CHECKING:
    import submitit

FOLDER = "slurm"
# Slurm's words where a user, an account or a partition has as many jobs as it may have.
LIMIT = re.compile(r"limit|MaxSubmit|MaxArraySize|Invalid job array|temporarily unable", re.IGNORECASE)
# And where each job by itself asks for too much, however few there are.
TOO_LARGE = re.compile(
    r"PerJob(?!s)|Wall|time limit is invalid|MaxMem|MaxCpu|MaxNode|MaxTRES|MaxGRES", re.IGNORECASE
)
ARRAY_SIZE = 1000  # Slurm's own default of MaxArraySize is 1001
FIRST_LOOK_S, LONGEST_REST_S = 1.0, 30.0


@dataclasses.dataclass(frozen=True)
class SlurmJob:
    """What submitit pickles and a compute node calls."""

    folder: Path  # of the run
    wants_gpu: bool  # its GPU is checked first
    code: str  # version of the code at submission

    def __call__(self) -> None:
        """Run; a failure ends the process with its traceback, which makes the Slurm job FAILED."""
        paths = RunPaths(self.folder)
        if code_version() != self.code:
            print(f"the code has changed since the submission, when it was {self.code}", file=sys.stderr)
        try:
            if self.wants_gpu:
                from fatebias.sweep.gpu import check_gpu

                print(check_gpu())
            error = run_member(self.folder)
        except BaseException as failure:
            error = failure
        if error is not None:
            record = RunRecord(paths)
            if record.content.get("status") == QUEUED:  # the run itself has not begun
                record.fail(str(error) or type(error).__name__)
            raise error

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Return what submitit queues again when the job is stopped: the same run, from its checkpoint on."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(
    sweep: Sweep, members: Sequence[Member], settings: SlurmSettings
) -> tuple[Sweep, OutputError | None]:
    """Queue members; return the sweep with their jobs and logs, and why Slurm did not take all of them.

    Each array is in sweep.json as soon as it is queued. Where a limit on jobs refuses an array, half of it is
    tried, and so on. Members that Slurm did not take have no job and count as not started; their run.json
    says why. Raises OutputError where there is no Slurm.
    """
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    refused = None
    with outside_of_jobs():
        try:
            executor = submitit.SlurmExecutor(
                sweep.root / FOLDER, max_num_timeout=settings.max_timeouts, python=python_command(settings)
            )
        except RuntimeError:
            raise OutputError(
                "there is no Slurm here: neither sbatch nor srun can be found",
                where="PATH",
                found=os.environ.get("PATH"),
                fix="submit from a login node of the cluster, or take launcher=local",
            ) from None
        executor.update_parameters(**sbatch_parameters(settings))
        code = code_version()
        done, size = 0, min(ARRAY_SIZE, largest_array() or ARRAY_SIZE)
        while done < len(members):
            batch = members[done : done + size]
            calls = [_job(member, settings, code) for member in batch]
            try:
                sent = executor.submit_array(calls)
            except (FailedJobError, FailedSubmissionError) as error:
                words = _sbatch_words(error)
                if is_full(words) and len(batch) > 1:
                    size = len(batch) // 2
                    continue
                refused = _refusal(words, done, len(members), sweep.root)
                for member in members[done:]:
                    why = f"Slurm took no more jobs: {words}"
                    RunRecord(RunPaths(member.folder)).update(status=None, why=why)
                break
            done += len(batch)
            sweep = sweep.with_members(
                dataclasses.replace(member, job_id=each.job_id, log=each.paths.stdout)
                for member, each in zip(batch, sent, strict=True)
            )
            sweep.write()
    return sweep, refused


def _job(member: Member, settings: SlurmSettings, code: str) -> SlurmJob:
    RunRecord(RunPaths(member.folder)).update(status=QUEUED, why=None)
    wants_gpu = settings.gpus > 0 and load_config(member.folder).device != "cpu"
    return SlurmJob(member.folder, wants_gpu, code)


def is_full(words: str) -> bool:
    """Say whether Slurm has refused jobs for their number, by its words, so that fewer may be taken."""
    return bool(LIMIT.search(words)) and not TOO_LARGE.search(words)


def _refusal(words: str, done: int, number: int, root: Path) -> OutputError:
    fix = "python run.py launcher=slurm --cfg hydra -p hydra.launcher lists the settings"
    if TOO_LARGE.search(words):
        keys = ", ".join(f"hydra.launcher.{key}" for key in ("timeout_min", "mem_gb", "cpus", "gpus"))
        fix = f"ask for less, or for another partition or qos: {keys}; sacctmgr show qos lists the limits"
    elif is_full(words):
        later = f"python -m fatebias.sweep submit {shlex.quote(str(root))}"
        fix = f"{later}, when jobs of yours have ended; a command that waits for its jobs does this itself"
    return OutputError(
        "Slurm has refused the jobs", found=words, where=f"{done} of {number} were queued before", fix=fix
    )


def python_command(settings: SlurmSettings) -> str | None:
    """Return what starts a job's Python, quoted for the shell; None: the Python of this process."""
    words = settings.python_words
    return None if words is None else shlex.join(words)


def sbatch_parameters(settings: SlurmSettings) -> dict[str, Any]:
    """Return settings as parameters of submitit's Slurm executor."""
    free: dict[str, Any] = {}
    if settings.gpus:
        free["gpus"] = settings.gpus
    if settings.requeue is not None:
        free["requeue" if settings.requeue else "no-requeue"] = True
    free |= {key.lstrip("-"): value for key, value in settings.sbatch.items()}
    return {
        "job_name": settings.name,
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "exclude": settings.exclude,
        "cpus_per_task": settings.cpus,
        "mem": f"{round(settings.mem_gb * 1024)}MB",
        "time": settings.timeout_min,
        "signal_delay_s": settings.signal_delay_s,
        "array_parallelism": settings.at_once,
        "wckey": settings.wckey,  # submitit's own default, "submitit", is refused where keys are tracked
        "stderr_to_stdout": True,
        "setup": [*_environment(), *settings.setup],
        "srun_args": settings.srun_args,
        "additional_parameters": free,
    }


def _environment() -> list[str]:
    lines = [
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",  # which srun does not inherit since Slurm 22.05
        "export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SLURM_CPUS_PER_TASK}",
    ]
    checkout = PACKAGE.parent
    if (checkout / "run.py").is_file():  # found from any folder, installed or not
        lines.append(f"export PYTHONPATH={shlex.quote(str(checkout))}${{PYTHONPATH:+:$PYTHONPATH}}")
    return lines


def _sbatch_words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("sbatch:")]
    return "; ".join(said) or lines[-1]


@contextlib.contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Hide an enclosing Slurm job's variables, which would decide over the new jobs' resources."""
    hidden: dict[str, str] = {}
    if "SLURM_JOB_ID" in os.environ:
        ours = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
        hidden = {key: os.environ.pop(key) for key in list(os.environ)
                  if key.startswith(ours) and key != "SLURM_CONF"}  # fmt: skip
    try:
        yield
    finally:
        os.environ.update(hidden)


def wait(
    sweep: Sweep,
    numbers: set[int],
    *,
    look: Callable[[Sweep], list[MemberStatus]] | None = None,
    rest: Callable[[float], None] = time.sleep,
    more: Callable[[int], Sweep] | None = None,
) -> list[MemberStatus]:
    """Wait until these runs have ended, asking Slurm ever more rarely, and return their states.

    While Slurm does not answer it keeps waiting, and says so. ``more`` is given the number of jobs that have
    ended since it was called last, submits members for which there was no room, and returns the sweep.
    """
    look = look or partial(statuses, queue=SlurmQueue())
    pause, silent, ended = FIRST_LOOK_S, "", 0
    while True:
        found = [each for each in look(sweep) if each.member.number in numbers]
        over = sum(each.state not in (*UNDER_WAY, NOT_STARTED) for each in found)
        if more is not None and over > ended and any(each.state == NOT_STARTED for each in found):
            sweep, ended = more(over - ended), over
            continue
        if not any(each.state in UNDER_WAY for each in found):
            return found
        why = next((each.reason for each in found if each.state == UNKNOWN), "")
        if bool(why) != bool(silent):
            at = time.strftime("%H:%M:%S")
            print(f"{at} {why}; still waiting" if why else f"{at} Slurm answers again", flush=True)
        silent = why
        rest(pause)
        pause = min(LONGEST_REST_S, pause * 1.2)

"""One Slurm job a run, queued as an array through submitit, and what happens inside such a job."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.errors import OutputError
from fatebias.files.paths import RunPaths
from fatebias.files.record import RunRecord
from fatebias.sweep.settings import SlurmSettings
from fatebias.sweep.snapshot import PACKAGE, Member, Sweep, load_config
from fatebias.sweep.status import QUEUED, UNDER_WAY, MemberStatus, statuses
from fatebias.sweep.task import run_member
from fatebias.tracking.describe import code_version

if TYPE_CHECKING:
    import submitit

FOLDER = "slurm"
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


def submit(sweep: Sweep, members: Sequence[Member], settings: SlurmSettings) -> list[Member]:
    """Queue members and return them with their Slurm jobs and logs."""
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    with outside_of_jobs():
        try:
            executor = submitit.SlurmExecutor(sweep.root / FOLDER, max_num_timeout=settings.max_timeouts)
        except RuntimeError:
            raise OutputError(
                "there is no Slurm here: neither sbatch nor srun can be found",
                where="PATH",
                found=os.environ.get("PATH"),
                fix="submit from a login node of the cluster, or take launcher=local",
            ) from None
        executor.update_parameters(**sbatch_parameters(settings))
        code = code_version()
        queued: list[Member] = []
        for start in range(0, len(members), ARRAY_SIZE):
            batch = members[start : start + ARRAY_SIZE]
            calls = []
            for member in batch:
                RunRecord(RunPaths(member.folder)).update(status=QUEUED, why=None)
                wants_gpu = settings.gpus > 0 and load_config(member.folder).device != "cpu"
                calls.append(SlurmJob(member.folder, wants_gpu, code))
            try:
                sent = executor.submit_array(calls)
            except (FailedJobError, FailedSubmissionError) as error:
                for member in members[start:]:
                    RunRecord(RunPaths(member.folder)).fail("it could not be queued")
                raise OutputError(
                    "Slurm has refused the jobs",
                    found=_sbatch_words(error),
                    where=f"{len(queued)} of {len(members)} were queued before",
                    fix="python run.py launcher=slurm --cfg hydra -p hydra.launcher lists the settings",
                ) from error
            queued += [
                dataclasses.replace(member, job_id=each.job_id, log=each.paths.stdout)
                for member, each in zip(batch, sent, strict=True)
            ]
    return queued


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
    look: Callable[[Sweep], list[MemberStatus]] = statuses,
    rest: Callable[[float], None] = time.sleep,
) -> list[MemberStatus]:
    """Wait until these runs have ended, asking Slurm ever more rarely, and return their states."""
    pause = FIRST_LOOK_S
    while True:
        found = [each for each in look(sweep) if each.member.number in numbers]
        if not any(each.state in UNDER_WAY for each in found):
            return found
        rest(pause)
        pause = min(LONGEST_REST_S, pause * 1.2)

"""One Slurm job a run, queued as an array through submitit, and what happens inside such a job."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fatebias.errors import OutputError
from fatebias.files.record import RunRecord
from fatebias.sweep.job import Job, error_of
from fatebias.sweep.record import PACKAGE, Member, Sweep
from fatebias.sweep.settings import SlurmSettings
from fatebias.sweep.status import QUEUED, UNDER_WAY, MemberStatus, statuses
from fatebias.tracking.describe import code_version

if TYPE_CHECKING:
    import submitit

FOLDER = "slurm"
ARRAY_SIZE = 1000  # Slurm's own default of MaxArraySize is 1001
FIRST_LOOK_S, LONGEST_REST_S = 1.0, 30.0


@dataclasses.dataclass(frozen=True)
class SlurmJob:
    """What submitit pickles and a compute node calls.

    Attributes
    ----------
    job
        The run.
    wants_gpu
        Whether its GPU is to be checked first.
    code
        Version of the code at submission.
    """

    job: Job
    wants_gpu: bool
    code: str

    def __call__(self) -> None:
        """Run; a failure ends the process with its traceback and so makes the Slurm job FAILED."""
        record = RunRecord(self.job.paths)
        if code_version() != self.code:
            print(f"the code is no longer that of the submission: {self.code}", file=sys.stderr)
        try:
            if self.wants_gpu:
                from fatebias.sweep.gpu import check_gpu

                print(check_gpu())
            error = error_of(self.job.run())
        except BaseException as failure:
            if RunRecord(self.job.paths).content.get("status") == QUEUED:  # the run itself has not begun
                record.fail(str(failure) or type(failure).__name__)
            raise
        if error is not None:
            raise error

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Tell submitit what to queue again when the job is stopped: the same run, which goes on by itself.

        Returns
        -------
        DelayedSubmission
            This job.
        """
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(jobs: Sequence[Job], sweep: Sweep, settings: SlurmSettings) -> list[Member]:
    """Queue jobs.

    Parameters
    ----------
    jobs
        The runs.
    sweep
        As written in sweep.json.
    settings
        ``hydra.launcher``.

    Returns
    -------
    list of Member
        The runs with their Slurm jobs and logs.

    Raises
    ------
    OutputError
        When there is no Slurm here, or it refuses the jobs; none is queued then that was not before.
    """
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
        members = {member.number: member for member in sweep.members}
        code = code_version()
        queued: list[Member] = []
        for start in range(0, len(jobs), ARRAY_SIZE):
            batch = jobs[start : start + ARRAY_SIZE]
            for job in batch:
                job.folder.mkdir(parents=True, exist_ok=True)
                RunRecord(job.paths).update(status=QUEUED, why=None)
            wants_gpu = [settings.gpus > 0 and job.config.device != "cpu" for job in batch]
            calls = [SlurmJob(job, wants, code) for job, wants in zip(batch, wants_gpu, strict=True)]
            try:
                sent = executor.submit_array(calls)
            except (FailedJobError, FailedSubmissionError) as error:
                for job in jobs[start:]:
                    RunRecord(job.paths).fail("it could not be queued")
                raise OutputError(
                    "Slurm has refused the jobs",
                    found=_sbatch_words(error),
                    where=f"{len(queued)} of {len(jobs)} were queued before",
                    fix="python run.py launcher=slurm --cfg hydra -p hydra.launcher lists the settings",
                ) from error
            queued += [
                dataclasses.replace(members[job.number], job_id=each.job_id, log=each.paths.stdout)
                for job, each in zip(batch, sent, strict=True)
            ]
    return queued


def sbatch_parameters(settings: SlurmSettings) -> dict[str, Any]:
    """Translate settings into what submitit's Slurm executor takes.

    Parameters
    ----------
    settings
        ``hydra.launcher``.

    Returns
    -------
    dict
        Parameters of ``SlurmExecutor.update_parameters``.
    """
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
    """Hide an enclosing Slurm job's variables, which would decide over the new jobs' resources.

    Yields
    ------
    None
        With the environment of a login node; what configures Slurm's commands (SLURM_CONF, SBATCH_*) stays.
    """
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
    """Wait until runs have ended, asking Slurm ever more rarely.

    Parameters
    ----------
    sweep
        The sweep, with its jobs.
    numbers
        The runs to wait for.
    look, rest
        How to find out and how to pass the time.

    Returns
    -------
    list of MemberStatus
        What became of them.
    """
    pause = FIRST_LOOK_S
    while True:
        found = [each for each in look(sweep) if each.member.number in numbers]
        if not any(each.state in UNDER_WAY for each in found):
            return found
        rest(pause)
        pause = min(LONGEST_REST_S, pause * 1.2)

"""Several sweep members at once on this machine, each in a process of its own (joblib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fatebias.sweep.job import Job, error_of, first_line
from fatebias.sweep.record import Member, Sweep
from fatebias.sweep.settings import LocalSettings, ParallelSettings, register
from fatebias.sweep.status import DONE, FAILED, KILLED, MemberStatus, read_record
from hydra_plugins.fatebias_launcher.base import SweepLauncher

register("local_parallel")


class ParallelLauncher(SweepLauncher):
    """Selected by ``launcher=local_parallel``."""

    NAME = "local_parallel"

    def start(self, jobs: Sequence[Job], sweep: Sweep, settings: LocalSettings) -> list[MemberStatus]:
        """Run jobs in as many processes as `settings` allow.

        Parameters
        ----------
        jobs
            What to run.
        sweep
            As written in sweep.json.
        settings
            Of this launcher.

        Returns
        -------
        list of MemberStatus
            What became of each.
        """
        import joblib
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        assert isinstance(settings, ParallelSettings)
        members = {member.number: member for member in sweep.members}
        for job in jobs:
            print(sweep.label(job.number), flush=True)
        reasons: dict[int, str | None] = {}
        pool = joblib.Parallel(settings.n_jobs, backend="loky", return_as="generator_unordered")
        try:
            for number, reason in pool(joblib.delayed(_reason)(job) for job in jobs):
                reasons[number] = reason
        except TerminatedWorkerError:  # what the pool had still to do is lost with it
            pass
        return [_status(members[job.number], reasons) for job in jobs]


def _reason(job: Job) -> tuple[int, str | None]:
    """Run in another process; exceptions, which may not be picklable, stay there."""
    error = error_of(job.run())
    return job.number, None if error is None else first_line(error)


def _status(member: Member, reasons: Mapping[int, str | None]) -> MemberStatus:
    if member.number not in reasons:
        if read_record(member.folder).get("status") == DONE:
            return MemberStatus(member, DONE)
        return MemberStatus(member, KILLED, "its process died, or another's death stopped it")
    reason = reasons[member.number]
    return MemberStatus(member, DONE) if reason is None else MemberStatus(member, FAILED, reason)

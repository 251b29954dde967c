"""Sweep members one after the other in this process; no failure hides another."""

from __future__ import annotations

from collections.abc import Sequence

from fatebias.sweep.job import Job, error_of, first_line
from fatebias.sweep.record import Sweep
from fatebias.sweep.settings import LocalSettings, register
from fatebias.sweep.status import DONE, FAILED, MemberStatus
from hydra_plugins.fatebias_launcher.base import SweepLauncher

register("local")


class LocalLauncher(SweepLauncher):
    """Selected by ``launcher=local``, which is the default."""

    NAME = "local"

    def start(self, jobs: Sequence[Job], sweep: Sweep, settings: LocalSettings) -> list[MemberStatus]:
        """Run jobs one after the other.

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
        members = {member.number: member for member in sweep.members}
        found = []
        for job in jobs:
            print(sweep.label(job.number), flush=True)
            error = error_of(job.run())
            state, reason = (DONE, "") if error is None else (FAILED, first_line(error))
            found.append(MemberStatus(members[job.number], state, reason))
        return found

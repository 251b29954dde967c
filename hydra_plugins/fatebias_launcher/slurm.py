"""Sweep members as Slurm jobs: queued together, each judged by itself."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from fatebias.config import TrackingConfig
from fatebias.sweep.job import Job
from fatebias.sweep.record import Sweep
from fatebias.sweep.settings import LocalSettings, SlurmSettings, register
from fatebias.sweep.status import MemberStatus
from hydra_plugins.fatebias_launcher.base import SweepLauncher

register("slurm")


class SlurmLauncher(SweepLauncher):
    """Selected by ``launcher=slurm``, ``slurm_cpu``, ``sherlock`` and ``sherlock_owners``."""

    NAME = "slurm"

    def start(self, jobs: Sequence[Job], sweep: Sweep, settings: LocalSettings) -> list[MemberStatus] | None:
        """Queue jobs, and wait for them where `settings` say so.

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
            What became of each; None when nobody waits.

        Raises
        ------
        SystemExit
            When the wait is interrupted; the jobs go on.
        """
        from fatebias.sweep import slurm

        assert isinstance(settings, SlurmSettings)
        members = slurm.submit(jobs, sweep, settings)
        sweep = sweep.with_members(members)
        sweep.write()
        for member in members:
            print(f"{sweep.label(member.number)}  job {member.job_id}")
        watch = f"python -m fatebias.sweep status {shlex.quote(str(sweep.root))}"
        print(f"{len(members)} queued; to see how they do: {watch}", flush=True)
        if not settings.wait:
            return None
        try:
            found = slurm.wait(sweep, {member.number for member in members})
        except KeyboardInterrupt:
            jobs_alone = sorted({str(member.job_id).partition("_")[0] for member in members})
            raise SystemExit(
                f"the jobs go on: {watch}\nto stop them: scancel {' '.join(jobs_alone)}"
            ) from None
        _track(sweep.root, jobs[0])
        return found


def _track(root: Path, job: Job) -> None:
    """Bring the runs to MLflow from here: jobs only write files, so that no two open a database at once."""
    from fatebias.tracking.sync import sync_run

    tracking = OmegaConf.to_object(job.config.tracking)
    assert isinstance(tracking, TrackingConfig)
    if tracking.backend == "local":
        sync_run(root, tracking)

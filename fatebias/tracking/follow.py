"""A run's news brought to an MLflow server while the run goes on; a failure is said once."""

from __future__ import annotations

import time
from pathlib import Path

from fatebias.config import TrackingConfig
from fatebias.tracking.sync import SyncReport, sync_run

SERVER = "server"


class Follower:
    """Imports one run now and then (``tracking=server``) and at its end (every backend but ``off``).

    Parameters
    ----------
    out_dir
        The run's folder.
    tracking
        Where to.
    base
        Folder that ``mlflow.db`` is meant from; the working directory by default.
    every_s
        Seconds from the end of one import to the next.
    """

    def __init__(
        self, out_dir: Path, tracking: TrackingConfig, base: Path | None = None, *, every_s: float = 30.0
    ) -> None:
        self.out_dir = out_dir
        self.tracking = tracking
        self.base = Path.cwd() if base is None else base
        self.every_s = every_s
        self._said = False
        self._due = float("-inf")

    def tick(self) -> None:
        """Import when the time has come; cheap to call at every step.

        Only to a server: a local database is written once, at the end. After a failure it rests until then.
        """
        if self.tracking.backend == SERVER and not self._said and time.monotonic() >= self._due:
            self._import()
            self._due = time.monotonic() + self.every_s

    def finish(self) -> SyncReport:
        """Import the whole run; to be called when the spool is finished.

        Returns
        -------
        SyncReport
            What was done; its `failed` is empty when the run is in MLflow.
        """
        return self._import()

    def _import(self) -> SyncReport:
        report = sync_run(self.out_dir, self.tracking, self.base, warn=not self._said)
        self._said = self._said or bool(report.failed)
        return report

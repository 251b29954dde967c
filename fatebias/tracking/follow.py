"""A run brought to an MLflow server while it goes on, by a process of its own beside the fit.

The fit only appends to its files. Another process, of lowest priority, imports them now and then: neither
MLflow's import nor a slow, hung or dead server can slow the fit or make it fail.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from fatebias.config import TrackingConfig
from fatebias.tracking.place import is_left_for_later
from fatebias.tracking.sync import SyncReport, sync_run

log = logging.getLogger(__name__)

SERVER = "server"
PACKAGE = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0


class Follower:
    """Imports one run in batches (``tracking=server``), and whole at its end.

    Parameters
    ----------
    out_dir
        The run's folder, which has a journal.
    tracking
        Where to; ``tracking.every_s`` is the time from one batch to the next.
    base
        Folder that ``mlflow.db`` is meant from; the working directory by default.
    """

    def __init__(self, out_dir: Path, tracking: TrackingConfig, base: Path | None = None) -> None:
        self.out_dir = out_dir.resolve()
        self.tracking = tracking
        self.base = Path.cwd() if base is None else base
        self._importer: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        """Begin to import, for a server alone: a local database is written once, at the end. Never raises."""
        if self.tracking.backend != SERVER or self._importer is not None:
            return
        command = [sys.executable, "-P", "-m", "fatebias.tracking.live", str(self.out_dir)]
        try:
            self._importer = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # Ctrl-C and Slurm's signals are for the fit
            )
            assert self._importer.stdin is not None
            assert self._importer.stdout is not None
            settings = {"uri": self.tracking.uri, "every_s": self.tracking.every_s}
            self._importer.stdin.write(json.dumps(settings).encode() + b"\n")  # a password is not for `ps`
            self._importer.stdin.flush()
        except OSError as error:
            log.debug("the run is not followed while it goes on: %s", error)
            self.stop(0)
            return
        self._listener = threading.Thread(target=_listen, args=(self._importer.stdout,), daemon=True)
        self._listener.start()

    def stop(self, patience_s: float = PATIENCE_S) -> None:
        """End the process that imports, when it has ended the batch it is at.

        Parameters
        ----------
        patience_s
            How long to wait for that, in seconds; then it is killed.
        """
        importer, self._importer = self._importer, None
        if importer is None:
            return
        assert importer.stdin is not None
        with contextlib.suppress(OSError):
            importer.stdin.write(b"end\n")
        with contextlib.suppress(OSError):
            importer.stdin.close()
        try:
            importer.wait(patience_s)
        except subprocess.TimeoutExpired:
            importer.kill()
            importer.wait()
        if self._listener is not None:
            self._listener.join()
        assert importer.stdout is not None
        importer.stdout.close()

    def finish(self, patience_s: float = PATIENCE_S) -> SyncReport:
        """Import the whole run; to be called when the spool is finished. Never raises.

        Parameters
        ----------
        patience_s
            As of `stop`.

        Returns
        -------
        SyncReport
            What was done; its `failed` is empty when the run is in MLflow, or is left for later.
        """
        self.stop(patience_s)
        if is_left_for_later(self.tracking):
            return SyncReport(None)
        return sync_run(self.out_dir, self.tracking, self.base)


def _environment() -> dict[str, str]:
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "CUDA_VISIBLE_DEVICES": "",  # a GPU may be for one process alone
        "OMP_NUM_THREADS": "1",
    }


def _listen(told: IO[bytes]) -> None:
    """Say in the run's log what the importer has to tell."""
    for line in told:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            words = json.loads(line)
            log.log(logging.WARNING if words["warning"] else logging.INFO, "%s", words["text"])

"""A run brought to MLflow by a process beside the fit: a server sees it while it is at work.

It is a process of its own, so that neither MLflow's import, which takes seconds, nor a slow or hung server
can slow the fit or make it fail, and so that a run that was killed is still reported. A local database is
made ready meanwhile and written at the end.

``python -m fatebias.tracking.live DIR BACKEND EVERY_S`` ends when its standard input is closed, by the run or
by the run's death, and imports once more. What a user should know goes to standard output, one JSON object a
line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from fatebias.config import TrackingConfig
from fatebias.tracking.describe import SWEEP_TAG
from fatebias.tracking.events import RUNNING, read_run
from fatebias.tracking.place import is_left_for_later, resolve_place
from fatebias.tracking.sync import SyncReport, make_ready, sync_run

log = logging.getLogger(__name__)

URI = "MLFLOW_TRACKING_URI"
PACKAGE = Path(__file__).resolve().parents[1]
SEEN = "beside other runs, in MLflow: %s"
PATIENCE_S = 60.0
LONGEST_REST_S = 300.0
DEATH_S = 1.0  # a killed process closes its files before it leaves the process list
FOR_THE_FIT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Follower:
    """The process beside one run."""

    _used = False  # in this process; a further run, as of a sweep, imports MLflow here, once for all of them

    def __init__(self, out_dir: Path, tracking: TrackingConfig) -> None:
        self.out_dir, self.tracking = out_dir.resolve(), tracking
        self._importer: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        """Start the process, where it saves time or shows the run; never raises."""
        if self._importer is not None or not self._pays():
            return
        Follower._used = True
        module = ["-P", "-m", "fatebias.tracking.live"]  # -P: nothing in the user's folder is imported
        words = [str(self.out_dir), self.tracking.backend, str(self.tracking.every_s)]
        try:
            self._importer = subprocess.Popen(
                [sys.executable, *module, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C and Slurm's signals are for the fit
                text=True,
            )
        except OSError as error:
            log.debug("the run is not shown while it is at work: %s", error)
            return
        self._listener = threading.Thread(target=_log_messages, args=(self._importer.stdout,), daemon=True)
        self._listener.start()

    def _pays(self) -> bool:
        if self.tracking.backend == "local":
            return not (Follower._used or _is_imported() or is_left_for_later(self.tracking))
        return self.tracking.backend == "server"

    def finish(self, patience_s: float = PATIENCE_S) -> bool:
        """End the process after one more import; return whether the whole run is in MLflow now."""
        importer, self._importer = self._importer, None
        if importer is None or self._listener is None:
            return False
        assert importer.stdin is not None
        assert importer.stdout is not None
        with contextlib.suppress(OSError):
            importer.stdin.close()
        try:
            importer.wait(patience_s)
        except subprocess.TimeoutExpired:
            importer.kill()
            importer.wait()
        self._listener.join()
        importer.stdout.close()
        return importer.returncode == 0

    def _environment(self) -> dict[str, str]:
        paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "CUDA_VISIBLE_DEVICES": "",  # a GPU may be for one process alone
            "OMP_NUM_THREADS": "1",
            URI: self.tracking.uri or "",  # may hold a password, which `ps` would show as an argument
        }


def _is_imported() -> bool:
    return "mlflow" in sys.modules


def _log_messages(told: IO[str]) -> None:
    """Write the messages of the process to the run's log."""
    for line in told:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(line)
            log.log(logging.WARNING if said["warning"] else logging.INFO, "%s", said["text"])


def follow(
    root: Path,
    tracking: TrackingConfig,
    ended: Callable[[float], bool],
    say: Callable[[str, bool], None],
    bring: Callable[..., SyncReport] = sync_run,
) -> None:
    """Import a run, wait by `ended(seconds)`, and again; the waits grow while the server is away."""
    place = resolve_place(tracking)
    rest, away = tracking.every_s, False
    while True:
        report = bring(root, tracking, warn=False)
        if report.failed and not away:
            why = report.failed[0].why
            say(
                f"this run cannot be shown on the MLflow server now ({why}); the run continues, and the "
                "server is tried again until the end",
                True,
            )
        elif away and not report.failed:
            say(f"the MLflow server has the run now: {place.shown}", False)
        away = bool(report.failed)
        rest = min(2 * rest, max(LONGEST_REST_S, tracking.every_s)) if away else tracking.every_s
        if ended(rest):
            return


def main() -> int:
    """Run the command; return 0 when MLflow has all that the run's folder holds."""
    for number in FOR_THE_FIT:
        signal.signal(number, signal.SIG_IGN)
    root, backend, every_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    tracking = TrackingConfig(backend=backend, uri=os.environ[URI] or None, every_s=every_s)

    def ended(seconds: float | None) -> bool:
        return bool(select.select([0], [], [], seconds)[0])  # nothing is ever written there

    def say(text: str, warning: bool) -> None:
        with contextlib.suppress(OSError):  # the run that listened is dead
            print(json.dumps({"text": text, "warning": warning}), flush=True)

    if backend == "server":
        os.nice(19)
        follow(root, tracking, ended, say)
    else:
        make_ready(tracking)
        ended(None)
    run = read_run(root)
    if run is not None and run.status == RUNNING:
        time.sleep(DEATH_S)
    report = sync_run(root, tracking, warn=False)
    if (seen := report.how_to_see()) and run is not None and SWEEP_TAG not in run.tags:
        say(SEEN % seen, False)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())

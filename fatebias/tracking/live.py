"""``python -m fatebias.tracking.live DIR``, started by a run: imports it in batches until told to end.

Its standard input brings the settings in one line; the word ``end``, or its closing when the run has died,
ends it. What a user should know goes to standard output, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fatebias.config import TrackingConfig
from fatebias.tracking.place import resolve_place
from fatebias.tracking.sync import SyncReport, sync_run

LONGEST_REST_S = 300.0
DEATH_S = 1.0
FOR_THE_FIT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def follow(
    root: Path,
    tracking: TrackingConfig,
    ended: Callable[[float], bool],
    say: Callable[[str, bool], None],
    bring: Callable[..., SyncReport] = sync_run,
) -> None:
    """Import a run again and again.

    Parameters
    ----------
    root
        The run's folder.
    tracking
        A server, and ``every_s``; while the server is away the rests grow, to five minutes at most.
    ended
        Waits so many seconds and tells whether this is to end.
    say
        Takes a text and whether it is a warning.
    bring
        What imports.
    """
    place = resolve_place(tracking)
    rest, away = tracking.every_s, False
    while True:
        report = bring(root, tracking, warn=False)
        if report.failed and not away:
            why = report.failed[0].why
            say(
                f"this run cannot be shown on the MLflow server now ({why}); it goes on and keeps its files, "
                "and the server is tried again until the end",
                True,
            )
        elif away and not report.failed:
            say(f"the MLflow server has the run now: {place.shown}", False)
        away = bool(report.failed)
        rest = min(2 * rest, max(LONGEST_REST_S, tracking.every_s)) if away else tracking.every_s
        if ended(rest):
            return


def main() -> None:
    """Run the command."""
    for number in FOR_THE_FIT:
        signal.signal(number, signal.SIG_IGN)
    os.nice(19)
    root = Path(sys.argv[1])
    settings = json.loads(_line())
    tracking = TrackingConfig(backend="server", uri=settings["uri"], every_s=settings["every_s"])
    last_word: list[str] = []

    def ended(seconds: float) -> bool:
        if select.select([0], [], [], seconds)[0]:
            last_word.append(_line())
        return bool(last_word)

    def say(text: str, warning: bool) -> None:
        print(json.dumps({"text": text, "warning": warning}), flush=True)

    follow(root, tracking, ended, say)
    if last_word[0] != "end\n":  # the run was killed and can no longer say so itself
        time.sleep(DEATH_S)
        sync_run(root, tracking, warn=False)


def _line() -> str:
    """Read a line byte by byte, so that nothing is left where `select` does not look."""
    found = b""
    while not found.endswith(b"\n") and (byte := os.read(0, 1)):
        found += byte
    return found.decode()


if __name__ == "__main__":
    main()

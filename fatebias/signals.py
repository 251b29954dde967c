"""Signals that end this process, as exceptions that let it tidy up."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator

log = logging.getLogger(__name__)

ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def as_exceptions(*, everywhere: bool = False) -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit with the shell's exit code, 128 plus their number.

    Only where nobody else handles them, unless `everywhere`; only the main thread may change that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: object) -> None:
        log.warning("stopping on %s", signal.Signals(number).name)
        raise SystemExit(128 + number)

    before = {}
    for number in ENDING:
        if everywhere or signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The state of an optimisation on disk, so that a killed fit resumes where it was.

A checkpoint is written every minute and at the first step boundary after SIGTERM or SIGUSR2, the signals
that Slurm sends before it stops a job. It holds tensors, numbers and names only and is read with
``weights_only=True``: nothing in it is executed. Its first bytes are the digest of the others: torch does not
see a number that a bad disk has changed.
"""

from __future__ import annotations

import hashlib
import io
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from fatebias.files.atomic import atomic_path

log = logging.getLogger(__name__)

FORMAT = 3
DIGEST_BYTES = 32
TERMINATED = 143  # what a shell reports for SIGTERM; Slurm then requeues the job


class Checkpoint:
    """One file that holds the newest state of one fit; a checkpoint of another fit is set aside."""

    def __init__(self, path: Path, key: str, every_s: float) -> None:
        self.path, self.key, self.every_s = path, key, every_s
        self.written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state that `save` was given; None when there is none for this fit."""
        if not self.path.exists():
            return None
        try:
            content = self.path.read_bytes()
        except OSError as error:
            self._set_aside(f"it cannot be read ({error.strerror})")
            return None
        whole = memoryview(content)[DIGEST_BYTES:]
        if hashlib.sha256(whole).digest() != content[:DIGEST_BYTES]:
            self._set_aside("it is not as it was written: cut off, changed since, or of an earlier version")
            return None
        try:
            found = torch.load(io.BytesIO(whole), weights_only=True, map_location="cpu")
            known = (found["format"], found["key"]) == (FORMAT, self.key)
            state: dict[str, Any] = found["state"]
            step = int(state["step"])
        except Exception as error:
            # a foreign file makes torch raise almost anything
            self._set_aside(f"it cannot be read ({type(error).__name__})")
            return None
        if not known:
            self._set_aside("it belongs to a fit of other data, settings or code")
            return None
        log.info("resuming from step %d of %s", step, self.path.name)
        return state

    def _set_aside(self, why: str) -> None:
        aside = self.path.with_suffix(".unused")
        self.path.replace(aside)
        log.warning("the checkpoint is not used: %s; it is kept as %s", why, aside.name)

    def due(self) -> bool:
        """Return whether it is time for the next one."""
        return time.monotonic() - self.written >= self.every_s

    def save(self, state: dict[str, Any]) -> None:
        """Write a state of tensors, numbers, texts, lists and dicts of them, whole or not at all."""
        whole = io.BytesIO()  # torch itself does not say why a file could not be written
        torch.save({"format": FORMAT, "key": self.key, "state": state}, whole)
        with atomic_path(self.path) as draft, draft.open("wb") as file:
            file.write(hashlib.sha256(whole.getbuffer()).digest())
            file.write(whole.getbuffer())
        self.written = time.monotonic()

    def clear(self) -> None:
        """Remove the file of a fit that is done."""
        self.path.unlink(missing_ok=True)


class StopSignals:
    """Notes SIGTERM, SIGUSR2 and Ctrl-C while a fit runs; handlers only set a flag.

    The fit asks `pending` at each step boundary, saves its state and calls `leave`. A second Ctrl-C does not
    wait for that.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        """Install the handlers; only a process's main thread can. A signal that nohup ignores stays so."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.pending == number:
            raise KeyboardInterrupt
        self.pending = number

    def leave(self, *, saved: bool) -> None:
        """Act on the signal once the state is on disk, where it is `saved`.

        SIGUSR2 is passed to the handler that was there before (submitit's, which requeues the job); without
        one, and after SIGTERM, the process exits with 143.
        """
        number = self.pending
        assert number is not None
        self.pending = None
        before: Callable[[int, FrameType | None], Any] | Any = self.before.get(number)
        if number == signal.SIGUSR2 and callable(before):
            log.warning("stopping on %s; the state is saved", signal.Signals(number).name)
            before(number, None)
            return
        name = signal.Signals(number).name
        if saved:
            log.warning("stopping on %s; the state is saved: run the same command again to resume", name)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(TERMINATED)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the earlier handlers back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

"""loss_trace.csv: the loss of every step, appended while the fit runs."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import TextIO

from fatebias.errors import OutputError

COLUMNS = ("step", "loss", "timestamp_ms")
FLUSH_EVERY_S = 1.0


class LossLog:
    """Writes one line per step, flushed every second: a killed fit loses at most that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle: TextIO | None = None
        self.flushed = time.monotonic()

    def __enter__(self) -> LossLog:
        """Open the file and write its header."""
        try:
            self.handle = self.path.open("w", encoding="utf-8")
            self.handle.write(",".join(COLUMNS) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def add(self, step: int, loss: float, timestamp_ms: int) -> None:
        """Append one step."""
        assert self.handle is not None
        try:
            self.handle.write(f"{step},{loss!r},{timestamp_ms}\n")
            if time.monotonic() - self.flushed > FLUSH_EVERY_S:
                self.handle.flush()
                self.flushed = time.monotonic()
        except OSError as error:
            raise self._unwritable(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        assert self.handle is not None
        try:
            self.handle.close()
        except OSError as failure:
            if error is None:
                raise self._unwritable(failure) from failure

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            "the loss trace cannot be written",
            where=self.path,
            found=error.strerror or error,
            fix="free some room or give another out_dir, then run the same command again",
        )

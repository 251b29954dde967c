"""The progress of a fit: a bar on a terminal or in a notebook, a line every 15 s in a log."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

LINE_EVERY_S = 15.0


class Progress:
    """Steps, loss and time left."""

    def __init__(self, total: int, what: str, *, shown: bool = True) -> None:
        self.total, self.what, self.shown = total, what, shown
        self.bar: Any = None
        self.begun = self.last = time.monotonic()

    def __enter__(self) -> Progress:
        """Open the bar on a terminal or in a notebook."""
        if self.shown and (sys.stderr.isatty() or "ipykernel" in sys.modules):
            from tqdm.auto import tqdm

            self.bar = tqdm(total=self.total, desc=self.what, unit="step", dynamic_ncols=True, leave=False)
        return self

    def step(self, number: int, loss: float) -> None:
        """Show one step, given the number of steps done so far and its loss."""
        if self.bar is not None:
            self.bar.update(number - self.bar.n)
            if number % 10 == 0:
                self.bar.set_postfix_str(f"loss {loss:,.1f}", refresh=False)
            return
        moment = time.monotonic()
        if self.shown and moment - self.last >= LINE_EVERY_S:
            self.last = moment
            left = (moment - self.begun) / number * (self.total - number)
            log.info(
                "%s: step %d of %d, loss %.1f, about %.0f s left", self.what, number, self.total, loss, left
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

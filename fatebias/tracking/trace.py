"""loss_trace.csv thinned for MLflow: at most 2,000 points, the same ones whenever it is read."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
from pathlib import Path

from fatebias.errors import OutputError
from fatebias.files.loss_trace import COLUMNS
from fatebias.tracking.events import Point

MOST_POINTS = 2000
LOSS = "loss"


@dataclasses.dataclass(frozen=True)
class ThinTrace:
    """A loss trace for display."""

    points: list[Point]  # first, evenly spaced, and of a finished fit the last; finite values only
    n_nonfinite: int  # steps of the whole trace with NaN or infinite loss, which MLflow would draw as 1.8e308
    last_ms: int | None  # time of the last step; None for an empty trace


def thin_trace(path: Path, *, finished: bool, planned_steps: int | None) -> ThinTrace:
    """Read a loss trace and keep every 2^k-th row.

    Spacings are powers of two, so the rows that a running fit shows (spaced for the steps it plans) are among
    those of the finished one (spaced for the steps it took): importing both adds up to the second. Of a
    running fit whose planned steps are unknown no points are shown. A last line that is being written waits.
    """
    rows = _read(path)
    n_nonfinite = sum(not math.isfinite(loss) for _, loss, _ in rows)
    last_ms = rows[-1][2] if rows else None
    if not finished and planned_steps is None:
        return ThinTrace([], n_nonfinite, last_ms)
    steps = len(rows) if finished else max(len(rows), planned_steps or 0)
    spacing = 1
    while math.ceil((steps - 1) / spacing) + 1 > MOST_POINTS:  # 0, spacing, 2 spacing, ... and the last
        spacing *= 2
    kept = rows[::spacing]
    if finished and rows and kept[-1] != rows[-1]:
        kept.append(rows[-1])
    points = [Point(LOSS, loss, step, time_ms) for step, loss, time_ms in kept if math.isfinite(loss)]
    return ThinTrace(points, n_nonfinite, last_ms)


def _read(path: Path) -> list[tuple[int, float, int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = text[: text.rfind("\n") + 1].splitlines()
    if not lines:
        return []
    if tuple(next(csv.reader(lines[:1]))) != COLUMNS:
        raise OutputError(
            "the loss trace has other columns",
            where=path,
            found=lines[0],
            allowed=",".join(COLUMNS),
            fix="run the fit again: resume=false",
        )
    rows = []
    for line in csv.reader(lines[1:]):
        with contextlib.suppress(ValueError):  # what a killed process left half written
            step, loss, time_ms = line
            rows.append((int(step), float(loss), int(time_ms)))
    return rows

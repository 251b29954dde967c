"""Calibration and convergence: z scores of pseudo-genes, weights, power by size, the loss, guides a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from fatebias.report.charts.frame import Axis, Frame, linear, logarithmic
from fatebias.report.content import Array
from fatebias.report.text import plain

MOST_POINTS = 400  # of a line; more are not seen
GOAL = 0.8


def quantiles(z: Array) -> Markup:
    """Return z scores against normal quantiles, with the band that holds 95 % of each order statistic."""
    from scipy.special import betaincinv, ndtri

    found = np.sort(np.asarray(z, dtype=float), axis=None)
    n = len(found)
    rank = np.arange(1, n + 1)
    expected = ndtri((rank - 0.5) / n)
    low, high = (ndtri(betaincinv(rank, n - rank + 1, at)) for at in (0.025, 0.975))
    widest = float(np.abs([*found, *low, *high]).max())
    axis = linear(-widest, widest, "z found")
    frame = Frame(linear(-widest, widest, "z expected of no effect"), axis, title="NTC pseudo-genes")
    frame.area(expected, low, high, "band")
    frame.segment((axis.low, axis.low), (axis.high, axis.high), "zero")
    for x, y in zip(expected, found, strict=True):
        frame.point(x, y, "own", tip=f"z {y:.2f}", radius=2.4)
    return frame.svg()


def weights(calibration: Mapping[str, Any], used: float | None) -> Markup:
    """Return the weight by each method, with its interval, and by day; a line marks the weight used."""
    rows: list[tuple[str, float, float | None, float | None]] = [
        (name, found["weight"], found.get("low"), found.get("high"))
        for name, found in calibration.get("estimates", {}).items()
        if found.get("weight")
    ]
    rows += [(str(day), weight, None, None) for day, weight in (calibration.get("by_day") or {}).items()]
    values = [value for row in rows for value in row[1:] if value] + ([used] if used else [])
    places = tuple((float(-i), f"{name}: {plain(weight)}") for i, (name, weight, *_) in enumerate(rows))
    frame = Frame(
        logarithmic(min(values), max(values), "weight of a soft label"),
        Axis(-len(rows) + 0.5, 0.5, places, ""),
        title="Weight that the data suggest",
        width=340,
        height=66 + 22 * len(rows),
        left=120,
    )
    if used:
        frame.segment((used, -len(rows) + 0.5), (used, 0.5), "used")
    for (at, _), (name, weight, low, high) in zip(places, rows, strict=True):
        interval = f" ({plain(low)} to {plain(high)})" if low and high else ""
        if low and high:
            frame.segment((low, at), (high, at), "whisker")
        frame.point(weight, at, "own", tip=f"{name}: {plain(weight)}{interval}", radius=4)
    return frame.svg()


def power(by_size: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Return the share of known effects that is called, by size: effects on one day, and on all days."""
    sizes = [float(row["size"]) for row in by_size]
    x = logarithmic(min(sizes), max(sizes), "size of the effect (logit)")
    panels = []
    for days, title in (("one", "On one day"), ("all", "On all days: called on any")):
        rows = [row for row in by_size if row["days"] == days]
        if not rows:
            continue
        frame = Frame(x, linear(0, 1, "share called, right sign"), title=title)
        frame.segment((x.low, GOAL), (x.high, GOAL), "used")
        frame.line([row["size"] for row in rows], [row["power"] for row in rows], "own")
        for row in rows:
            size, found = float(row["size"]), float(row["power"])
            frame.segment((size, row["power_low"]), (size, row["power_high"]), "whisker")
            frame.point(size, found, "own", tip=f"{plain(size)}: {found:.0%}", radius=4)
        panels.append(frame.svg())
    return panels


def loss(steps: Array, values: Array) -> list[Markup]:
    """Return the loss of all steps, and of the second half with its running mean."""
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(steps) < 2:
        return []
    half = len(steps) // 2
    window = max(1, (len(steps) - half) // 20)
    mean = np.convolve(values[half:], np.ones(window) / window, mode="valid")
    return [
        _line(steps, [(steps, values, "own")], "Loss"),
        _line(
            steps[half:],
            [(steps[half:], values[half:], "faint"), (steps[half + window - 1 :], mean, "own")],
            f"Second half, mean over {window} steps" if window > 1 else "Second half",
        ),
    ]


def _line(steps: Array, lines: Sequence[tuple[Array, Array, str]], title: str) -> Markup:
    drawn = [(*_thinned(x, y), kind) for x, y, kind in lines]
    low = min(float(y.min()) for _, y, _ in drawn)
    high = max(float(y.max()) for _, y, _ in drawn)
    # Losses are large and move little: their distance from the least one is what can be read.
    y_axis = linear(0, high - low or 1.0, f"loss above {low:,.0f}")
    x_axis = linear(float(steps[0]), float(steps[-1]), "step", about=4, tight=True)
    frame = Frame(x_axis, y_axis, title=title, width=340)
    for x, y, kind in drawn:
        frame.line(x.tolist(), (y - low).tolist(), kind)
    return frame.svg()


def _thinned(x: Array, y: Array) -> tuple[Array, Array]:
    every = max(1, len(x) // MOST_POINTS)
    return x[::every], y[::every]


def bars(counts: Mapping[str, int], *, title: str, x_label: str, y_label: str) -> Markup:
    """Return one bar for each entry."""
    every = max(1, len(counts) // 10)
    ticks = tuple((float(i), name) for i, name in enumerate(counts) if i % every == 0)
    x = Axis(-0.6, len(counts) - 0.4, ticks, x_label)
    frame = Frame(x, linear(0, max(counts.values(), default=1), y_label), title=title, width=340)
    for i, (name, number) in enumerate(counts.items()):
        frame.bar(i, 0.8, number, "own", tip=f"{name}: {number:,}")
    return frame.svg()


def thresholds(counts: Mapping[str, Any]) -> Markup:
    """Return how many entries of the guide matrix have each count, and the threshold."""
    starts, entries = counts["from"], counts["entries"]
    ends = [*starts[1:], starts[-1] * 1.25]
    x = logarithmic(0.9, ends[-1], "count of the guide in the cell")
    frame = Frame(x, logarithmic(1, max(2, *entries), "entries"), title="Guide counts", width=340)
    for start, end, number in zip(starts, ends, entries, strict=True):
        if number:
            left, right = start / (start / max(start - 1, 0.9)) ** 0.5, (end * max(end - 1, 1)) ** 0.5
            frame.span(
                left, right, number, "own", tip=f"{start:,} to {max(start, int(end) - 1):,}: {number:,}"
            )
    if counts["threshold"] >= 1:
        at = float(counts["threshold"]) + 0.5
        frame.segment((at, frame.y.low), (at, frame.y.high), "used")
    return frame.svg()

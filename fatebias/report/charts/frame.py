"""The frame of a chart: scales, axes with ticks, and shapes at places in data units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 38
Tick = tuple[float, str]


@dataclass(frozen=True)
class Axis:
    """From data to a share of the axis: its ends, its ticks, and how values are spread on it."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    label: str
    spread: Callable[[float], float] = field(default=float, repr=False)

    def share(self, value: float) -> float:
        """Return 0 at the low end and 1 at the high end."""
        low, high = self.spread(self.low), self.spread(self.high)
        return (self.spread(value) - low) / (high - low or 1.0)


def linear(low: float, high: float, label: str, *, about: int = 5) -> Axis:
    """Return an axis with round ticks that covers the values given."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / about)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    places = range(round(low / step), round(high / step) + 1)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple((place * step, _minus(f"{place * step + 0.0:,.{decimals}f}")) for place in places)
    return Axis(low, high, ticks, label)


def logarithmic(low: float, high: float, label: str) -> Axis:
    """Return a logarithmic axis with ticks at 1, 2 and 5 times powers of ten, fewer over a wide range."""
    low, high = low / 1.15, high * 1.15
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    ticks = [step * 10.0**power for power in decades for step in steps]
    return Axis(low, high, tuple((t, f"{t:,.12g}") for t in ticks if low <= t <= high), label, math.log)


class Frame:
    """A chart that is being drawn."""

    def __init__(self, x: Axis, y: Axis, *, title: str, width: int = 270, height: int = 230) -> None:
        self.x, self.y, self.title = x, y, title
        self.width, self.height = width, height
        self.parts: list[Markup] = []
        self._axes()

    def px(self, value: float) -> float:
        """Return the place of an x value in pixels."""
        return LEFT + self.x.share(value) * (self.width - LEFT - RIGHT)

    def py(self, value: float) -> float:
        """Return the place of a y value in pixels."""
        return self.height - BOTTOM - self.y.share(value) * (self.height - TOP - BOTTOM)

    def add(self, pattern: str, *values: object) -> None:
        """Add an element; values are escaped."""
        self.parts.append(Markup(pattern).format(*values))

    def point(self, x: float, y: float, kind: str, *, tip: str, radius: float = 3.2, gene: str = "") -> None:
        """Add a dot that says what it is when pointed at, and opens the card `gene` when clicked."""
        where = _card(gene)
        self.add(
            '<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"{}><title>{}</title></circle>',
            self.px(x), self.py(y), f"{radius:g}", kind, where, tip,
        )  # fmt: skip

    def segment(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        """Add a line between two places."""
        self.add(
            '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>',
            self.px(start[0]), self.py(start[1]), self.px(end[0]), self.py(end[1]), kind,
        )  # fmt: skip

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> None:
        """Add a line through places."""
        points = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in zip(xs, ys, strict=True))
        self.add('<polyline points="{}" class="{}"/>', points, kind)

    def area(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], kind: str) -> None:
        """Fill between two lines."""
        there = [(self.px(x), self.py(y)) for x, y in zip(xs, low, strict=True)]
        back = [(self.px(x), self.py(y)) for x, y in zip(xs, high, strict=True)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*there, *back[::-1]])
        self.add('<polygon points="{}" class="{}"/>', points, kind)

    def bar(self, x: float, width: float, y: float, kind: str, *, tip: str) -> None:
        """Add a bar from the axis up to y; width in x units."""
        left, right, top = self.px(x - width / 2), self.px(x + width / 2), self.py(y)
        self.add(
            '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"><title>{}</title></rect>',
            left, top, right - left, self.height - BOTTOM - top, kind, tip,
        )  # fmt: skip

    def label(self, x: float, y: float, text: str, *, anchor: str = "start", up: float = 5) -> None:
        """Write beside a place."""
        away = {"start": 5, "middle": 0, "end": -5}[anchor]
        self.add(
            '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="tag">{}</text>',
            self.px(x) + away, self.py(y) - up, anchor, text,
        )  # fmt: skip

    def svg(self) -> Markup:
        """Return the chart."""
        return Markup(
            '<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">{3}</svg>'
        ).format(self.width, self.height, self.title, Markup("").join(self.parts))

    def _axes(self) -> None:
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        self.add('<text x="{}" y="14" class="title">{}</text>', LEFT, self.title)
        for value, text in self.y.ticks:
            at = self.py(value)
            self.add('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" class="grid"/>', LEFT, right, at, at)
            self.add('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>', LEFT - 5, at + 4, text)
        for value, text in self.x.ticks:
            at = self.px(value)
            self.add('<line x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}" class="grid"/>', at, at, TOP, bottom)
            self.add('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>', at, bottom + 14, text)
        self.add(
            '<text x="{}" y="{}" text-anchor="middle">{}</text>',
            (LEFT + right) / 2, self.height - 6, self.x.label,
        )  # fmt: skip
        self.add(
            '<text x="12" y="{0}" text-anchor="middle" transform="rotate(-90 12 {0})">{1}</text>',
            (TOP + bottom) / 2, self.y.label,
        )  # fmt: skip


def _card(gene: str) -> Markup:
    """Return the attribute by which page.js opens a card."""
    return Markup(' data-card="{}"').format(gene) if gene else Markup("")


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")

"""The frame of a chart: scales, axes with ticks, and shapes at places in data units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from fatebias.names import LONGEST, short, versus

LEFT, RIGHT, TOP, BOTTOM = 64, 10, 24, 38
LETTER = 6.8  # width of a letter of a label in pixels: most genes are in capitals
BOLD = 7.4  # and of a title
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


def linear(low: float, high: float, label: str, *, about: int = 5, tight: bool = False) -> Axis:
    """Return an axis with round ticks; it ends at round values too unless it is `tight`."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = [
        (place * step, _minus(f"{place * step + 0.0:,.{decimals}f}")) for place in range(first, last + 1)
    ]
    if not tight:
        low, high = first * step, last * step
    slack = 1e-6 * step
    return Axis(low, high, tuple(each for each in ticks if low - slack <= each[0] <= high + slack), label)


def logarithmic(low: float, high: float, label: str) -> Axis:
    """Return a logarithmic axis with a handful of round ticks."""
    low, high = low / 1.15, high * 1.15
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [step * 10.0**power for power in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            break
    if len(ticks) < 2:  # a narrow range has no two round ratios
        ticks = [value for value, _ in linear(low, high, "", about=3, tight=True).ticks]
    return Axis(low, high, tuple((tick, f"{tick:,.6g}") for tick in ticks), label, math.log)


class Frame:
    """A chart that is being drawn."""

    def __init__(
        self, x: Axis, y: Axis, *, title: str, width: int = 280, height: int = 230, left: int = LEFT
    ) -> None:
        self.x, self.y, self.title = x, y, title
        self.width, self.height, self.left = width, height, left
        self.labels: list[tuple[float, float, float]] = []  # left, right and height of those written
        self.marks: list[tuple[float, float]] = []
        self.parts: list[Markup] = []
        self._axes()

    def px(self, value: float) -> float:
        """Return the place of an x value in pixels."""
        return self.left + self.x.share(value) * (self.width - self.left - RIGHT)

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
        self.span(x - width / 2, x + width / 2, y, kind, tip=tip)

    def span(self, start: float, end: float, y: float, kind: str, *, tip: str) -> None:
        """Add a bar from the axis up to y, from one x value to another."""
        left, right, top = self.px(start), self.px(end), self.py(y)
        self.add(
            '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"><title>{}</title></rect>',
            left, top, right - left, self.height - BOTTOM - top, kind, tip,
        )  # fmt: skip

    def label(self, x: float, y: float, text: str, *, flip: bool = False) -> None:
        """Write beside a place, to its left with `flip`; the other way, or not at all, where it is taken.

        Long names are cut: the dot has the whole one.
        """
        text = short(text)
        length = LETTER * len(text)
        for left_of in (flip, not flip):
            at, height = self.px(x) + (-5 if left_of else 5), self.py(y) + 4
            start, end = (at - length, at) if left_of else (at, at + length)
            if start > self.left and end < self.width and not self._taken(start, end, height):
                self.labels.append((start, end, height))
                anchor = "end" if left_of else "start"
                self.add(
                    '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="tag">{}</text>',
                    at, height, anchor, text,
                )  # fmt: skip
                return

    def _taken(self, start: float, end: float, height: float) -> bool:
        labels = any(start < r and end > left and abs(height - y) < 11 for left, r, y in self.labels)
        return labels or any(start < x + 3 and end > x - 3 and abs(height - 4 - y) < 7 for x, y in self.marks)

    def avoid(self, x: float, y: float) -> None:
        """Keep labels off a place."""
        self.marks.append((self.px(x), self.py(y)))

    def svg(self) -> Markup:
        """Return the chart."""
        return Markup(
            '<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">{3}</svg>'
        ).format(self.width, self.height, self.title, Markup("").join(self.parts))

    def _axes(self) -> None:
        left, right, bottom = self.left, self.width - RIGHT, self.height - BOTTOM
        start = max(4.0, min(left, self.width - BOLD * len(self.title)))
        self.parts.append(text_at(start, 14, self.title, "start", "title", most=int(self.width / BOLD)))
        for value, text in self.y.ticks:
            at = self.py(value)
            self.add('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" class="grid"/>', left, right, at, at)
            self.parts.append(text_at(left - 5, at + 4, text, "end", most=LONGEST + 12))
        for value, text in self.x.ticks:
            at = self.px(value)
            self.add('<line x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}" class="grid"/>', at, at, TOP, bottom)
            self.add('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>', at, bottom + 14, text)
        self.add(
            '<text x="{}" y="{}" text-anchor="middle">{}</text>',
            (left + right) / 2, self.height - 6, self.x.label,
        )  # fmt: skip
        self.add(
            '<text x="12" y="{0}" text-anchor="middle" transform="rotate(-90 12 {0})">{1}</text>',
            (TOP + bottom) / 2, self.y.label,
        )  # fmt: skip


def text_at(x: float, y: float, text: str, anchor: str, kind: str = "", *, most: int = LONGEST) -> Markup:
    """Return a text of at most `most` letters; one that is cut says all of it when pointed at.

    Of two fates (``FATE against FATE``) each keeps its beginning and its end.
    """
    one, middle, other = text.partition(" against ")
    shown = versus(one, other, most) if middle else short(text, most)
    tip = Markup("<title>{}</title>").format(text) if shown != text else ""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}{}</text>').format(
        x, y, anchor, kind, shown, tip
    )


def _card(gene: str) -> Markup:
    """Return the attribute by which page.js opens a card."""
    return Markup(' data-card="{}"').format(gene) if gene else Markup("")


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")

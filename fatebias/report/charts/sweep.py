"""Charts of a sweep: hits by setting, effects under two priors, what the weight did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from fatebias.names import short
from fatebias.pl._ranking import sureness
from fatebias.pl._sweep import reverses, strongest
from fatebias.report.charts.frame import Frame, linear, logarithmic, text_at
from fatebias.report.text import lfsr, signed

if TYPE_CHECKING:
    import pandas as pd

CELL, ROW, LONGEST = 22, 17, 180  # a cell's width, a row's height, names; pixels
FULL = 1e-30  # colours of surer effects are no darker
GAINED = "gained"


def hits_by_setting(genes: Sequence[str], ranked: Mapping[str, pd.DataFrame]) -> Markup:
    """Return genes (rows) by settings (columns, by their numbers); split cells are sure of both ways."""
    up, down, hit = strongest(genes, ranked)
    both = reverses(up, down)
    left = min(14 + 7.6 * max((len(short(gene)) for gene in genes), default=4), LONGEST)
    width, height = left + CELL * len(ranked) + 8, 24 + ROW * len(genes)
    parts = []
    for column, label in enumerate(ranked):
        x = left + column * CELL
        number = label.partition(" ")[0]
        parts.append(
            Markup('<text x="{:.1f}" y="16" text-anchor="middle">{}<title>{}</title></text>').format(
                x + CELL / 2 - 1, number, label
            )
        )
        for row in range(len(genes)):
            if not np.isnan(up[row, column]):
                tip = (
                    f"{genes[row]}, {label}: lfsr up {lfsr(up[row, column])}, down {lfsr(down[row, column])}"
                )
                at = (x, 24 + row * ROW)
                parts.append(_cell(at, up[row, column], down[row, column], bool(both[row, column]), tip))
                if hit[row, column]:
                    parts.append(
                        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.6" class="mark"/>').format(
                            at[0] + CELL / 2 - 1, at[1] + ROW / 2 - 1
                        )
                    )
    parts += [text_at(left - 6, 36 + row * ROW, gene, "end") for row, gene in enumerate(genes)]
    return Markup(
        '<svg viewBox="0 0 {0:.0f} {1}" width="{0:.0f}" height="{1}" role="img" '
        'aria-label="Hits by setting">{2}</svg>'
    ).format(width, height, Markup("").join(parts))


FEWEST_HITS = 5  # on the axis: with fewer its ticks would be parts of a hit


def _cell(at: tuple[float, float], up: float, down: float, both: bool, tip: str) -> Markup:
    x, y = at
    right, bottom = x + CELL - 2, y + ROW - 2
    if not both:
        kind, rate = ("up", up) if up <= down else ("down", down)
        return Markup(
            '<rect x="{:.1f}" y="{}" width="{}" height="{}" class="cell {}" fill-opacity="{:.2f}">'
            "<title>{}</title></rect>"
        ).format(x, y, CELL - 2, ROW - 2, kind, _opacity(rate), tip)
    halves = (("up", up, f"{x:.1f},{y}"), ("down", down, f"{right:.1f},{bottom}"))
    return Markup("").join(
        Markup(
            '<polygon points="{:.1f},{} {:.1f},{} {}" class="{}" fill-opacity="{:.2f}">'
            "<title>{}</title></polygon>"
        ).format(x, bottom, right, y, corner, kind, _opacity(rate), tip)
        for kind, rate, corner in halves
    )


def _opacity(rate: float) -> float:
    return float(np.clip(sureness(rate) / sureness(FULL), 0.04, 1))


def against(
    title: str,
    genes: Sequence[str],
    base: Sequence[float],
    other: Sequence[float],
    changed: Mapping[str, str],
    *,
    limit: float,
) -> Markup:
    """Return each gene's effect under two settings; `changed` says of which genes a call came or went."""
    frame = Frame(
        linear(-limit, limit, "effect under the default", tight=True),
        linear(-limit, limit, "effect here", tight=True),
        title=title,
        width=290,
        height=280,
    )
    frame.segment((-limit, -limit), (limit, limit), "zero")
    for g in sorted(range(len(genes)), key=lambda g: genes[g] in changed):
        what = changed.get(genes[g], "")
        kind = "up" if what == GAINED else "down" if what else "miss"
        tip = f"{genes[g]}: {signed(base[g])} and {signed(other[g])}" + (f", {what}" if what else "")
        frame.point(base[g], other[g], kind, tip=tip)
    return frame.svg()


def hits_by_weight(title: str, points: Sequence[tuple[float, int, str]], *, most: int) -> Markup:
    """Return hits against the likelihood weight, from (weight, hits, what run), up to `most` hits."""
    weights = [each[0] for each in points]
    x = logarithmic(min(weights), max(weights), "likelihood weight")
    frame = Frame(x, linear(0, max(most * 1.05, FEWEST_HITS), "hits"), title=title)
    frame.line(weights, [each[1] for each in points], "faint")
    for weight, hits, tip in points:
        frame.point(weight, hits, "own", tip=f"{tip}: {hits}", radius=4)
    return frame.svg()

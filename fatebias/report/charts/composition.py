"""Mean fate probabilities of each gene's cells in a triangle, and guides around their gene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from fatebias.names import short
from fatebias.pl._composition import CORNERS, Compositions, beside, in_triangle
from fatebias.report.charts.frame import Axis, Frame, linear, text_at
from fatebias.report.content import Array, ContrastResults, Estimate, Gene, Guide
from fatebias.report.text import signed

SIDE, LEFT, TOP = 400, 70, 40  # of the triangle, pixels
NAMED = 14
LETTER = 6.8  # width of a letter in pixels: most genes are in capitals
INTERVAL, INACTIVE = 1.96, 0.5
ROW, NAME_WIDTH = 18, 190


def triangle(found: Compositions, hits: Sequence[str], cards: Mapping[str, str]) -> Markup:
    """Return the part of the triangle of three fates that holds all genes; `hits`: the surest first."""
    least, side = found.corner(np.vstack([found.share, found.everyone]))
    parts = [*_grid(found.fates, least, side)]
    places = _pixels(in_triangle(found.share, least, side))
    called = set(hits)
    order = sorted(range(len(found.genes)), key=lambda g: found.genes[g] in called)
    for g in order:  # hits on top
        gene = found.genes[g]
        shares = ", ".join(
            f"{fate} {share:.0%}" for fate, share in zip(found.fates, found.share[g], strict=True)
        )
        radius = min(2 + 0.22 * found.cells[g] ** 0.5, 9)
        parts.append(
            Markup(
                '<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" class="{}" data-card="{}"><title>{}</title>'
                "</circle>"
            ).format(
                *places[g], radius, "up" if gene in called else "miss", cards.get(gene, ""),
                f"{gene}: {shares}; {found.cells[g]:,} cells",
            )
        )  # fmt: skip
    [(x, y)] = _pixels(in_triangle(found.everyone, least, side))
    parts.append(
        Markup('<path d="M{0:.1f} {1:.1f}h14m-7 -7v14" class="cross"><title>all cells</title></path>').format(
            x - 7, y
        )
    )
    far = np.abs(found.share - found.everyone).sum(axis=1)
    named = [int(g) for g in np.argsort(-far) if found.genes[g] in called][:NAMED]
    dots = [(x, y), *places[[g for g in order if found.genes[g] in called and g not in named]]]
    parts += _names(named, found.genes, places, dots)
    width, height = SIDE + 2 * LEFT, SIDE * CORNERS[2, 1] + 2 * TOP + 10
    return Markup(
        '<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img" '
        'aria-label="Mean fate probabilities by gene">{2}</svg>'
    ).format(width, height, Markup("").join(parts))


def _pixels(places: Array) -> Array:
    """Return places of the triangle, (n, 2), in pixels."""
    top = TOP + SIDE * CORNERS[2, 1]
    return np.column_stack([LEFT + SIDE * places[:, 0], top - SIDE * places[:, 1]])


def _grid(fates: Sequence[str], least: Array, side: float) -> list[Markup]:
    """Return lines of equal share with their percent, the outline and the fates at the corners."""
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2) if side / each <= 7)
    parts = []
    for f in range(3):
        one, other = (f + 1) % 3, (f + 2) % 3
        for level in np.arange(np.ceil(least[f] / step) * step, least[f] + side - 1e-9, step):
            ends = np.tile(least, (2, 1))
            ends[:, f] = level
            ends[0, one] += side - (level - least[f])
            ends[1, other] += side - (level - least[f])
            start, end = _pixels(in_triangle(ends, least, side))
            away = (CORNERS[one] - CORNERS[other]) * (1, -1) * 15
            parts.append(
                Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="grid"/>').format(
                    *start, *end
                )
            )
            parts.append(text_at(start[0] + away[0], start[1] + away[1] + 4, f"{100 * level:.0f}%", "middle"))
    corners = _pixels(CORNERS)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    parts.append(Markup('<polygon points="{}" class="outline"/>').format(points))
    # Below the shares of the lower edge, from its ends inwards: long names fit, and lie on no share.
    places = ((-LEFT + 4, 38, "start"), (LEFT - 4, 38, "end"), (0, -20, "middle"))
    for fate, (x, y), (dx, dy, anchor) in zip(fates, corners, places, strict=True):
        parts.append(text_at(x + dx, y + dy, fate, anchor, "title"))
    return parts


def _names(
    shown: Sequence[int], genes: Sequence[str], places: Array, others: Iterable[tuple[float, float]]
) -> list[Markup]:
    """Return names beside their dots, left or right, but for those that would be written over others.

    `others` are places besides that are kept free.
    """
    x, y = places[list(shown)].T
    lengths = [LETTER * len(short(genes[g])) for g in shown]
    edge = LEFT + SIDE - (TOP + SIDE * CORNERS[2, 1] - y) / 3**0.5  # beyond it are the labels of an edge
    inside = (x + 9 + np.array(lengths) < edge) | (x > edge - 9)
    sides = beside(places[list(shown)], lengths, 9, 11, others, inside.tolist())
    return [
        text_at(places[g][0] + 9 * side, places[g][1] + 4, genes[g], "start" if side > 0 else "end", "tag")
        for g, side in zip(shown, sides, strict=True)
        if side
    ]


def guides(
    contrast: ContrastResults, genes: Mapping[str, Gene], shown: Sequence[int], day_labels: Sequence[str]
) -> Markup:
    """Return the guides of some genes around their gene's own interval, on its surest day."""
    ends = [0.1]
    for g in shown:
        d = contrast.best_day[g]
        ends.append(abs(contrast.betahat[g, d]) + INTERVAL * contrast.se[g, d])
        ends += [abs(found.betahat[d]) for _, found in _of(contrast, genes[contrast.genes[g]])]
    limit = 1.05 * max(ends)
    names = tuple(
        (float(-row), f"{short(contrast.genes[g])}, {day_labels[contrast.best_day[g]]}")
        for row, g in enumerate(shown)
    )
    left = min(16 + int(LETTER * max(len(name) for _, name in names)), NAME_WIDTH)
    y = Axis(-len(shown) + 0.4, 0.6, names, "")
    x = linear(-limit, limit, "effect (logit) on the surest day", about=6, tight=True)
    frame = Frame(x, y, title=contrast.title, width=400, height=70 + ROW * len(shown), left=left)
    frame.segment((0, y.low), (0, y.high), "zero")
    for row, g in enumerate(shown):
        name, d = contrast.genes[g], contrast.best_day[g]
        own, error = float(contrast.betahat[g, d]), INTERVAL * float(contrast.se[g, d])
        frame.segment((max(own - error, -limit), -row), (min(own + error, limit), -row), "range")
        for guide, found in _of(contrast, genes[name]):
            effect = found.betahat[d]
            idle = guide.p_inactive is not None and guide.p_inactive > INACTIVE
            kind = "before" if idle else "up" if effect * own < 0 else "own"
            tip = f"{guide.name}: {signed(effect)}, {guide.cells:,} cells"
            frame.point(effect, -row, kind, tip=tip, radius=4, gene=f"0-{g}")
    return frame.svg()


def _of(contrast: ContrastResults, gene: Gene) -> list[tuple[Guide, Estimate]]:
    """Return a gene's guides with their estimates of a contrast."""
    found = [(guide, guide.of(contrast)) for guide in gene.guides]
    return [(guide, each) for guide, each in found if each is not None]

"""Effects of all genes: volcano by day, heatmap of genes by days, evidence against cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from fatebias.names import short
from fatebias.pl._ranking import LEAST_LFSR, LFSR_LEVELS, sureness
from fatebias.report.charts.frame import BOLD, Axis, Frame, linear, logarithmic, text_at
from fatebias.report.content import ContrastResults, Gene
from fatebias.report.text import chance, lfsr, plain, signed

NAMED = 10  # genes with their name in each panel of the volcano
CELL, ROW, GAP, LONGEST = 26, 17, 14, 180  # of the heatmap: a cell, a row, between contrasts, names; pixels
MOST_HEAD = 170  # of the fates above a contrast, pixels


def volcano(contrasts: Sequence[ContrastResults], day_labels: Sequence[str]) -> list[list[Markup]]:
    """Return for each contrast one panel a day: effect against sureness, the same scales in all panels."""
    limit = 1.05 * max(float(np.abs(each.postmean).max(initial=0.1)) for each in contrasts)
    least = max(min(float(each.lfsr.min(initial=0.01)) for each in contrasts), LEAST_LFSR)
    x = linear(-limit, limit, "effect (logit)", about=4, tight=True)
    ticks = tuple((tick, plain(tick)) for tick in LFSR_LEVELS if tick >= least)
    y = Axis(1.0, least / 10, ticks, "lfsr (surer upwards)", lambda rate: float(sureness(rate)))
    return [
        [_volcano_of_day(each, place, d, label, x, y) for d, label in enumerate(day_labels)]
        for place, each in enumerate(contrasts)
    ]


def _volcano_of_day(contrast: ContrastResults, place: int, d: int, label: str, x: Axis, y: Axis) -> Markup:
    frame = Frame(x, y, title=label)
    effect, rate, called = contrast.postmean[:, d], contrast.lfsr[:, d], contrast.called[:, d]
    for g in np.argsort(called, kind="stable"):  # calls on top
        kind = ("up" if effect[g] > 0 else "down") if called[g] else "miss"
        tip = f"{contrast.genes[g]}: {signed(effect[g])}, lfsr {lfsr(rate[g])}"
        frame.point(effect[g], max(rate[g], LEAST_LFSR), kind, tip=tip, gene=f"{place}-{g}")
    for g in np.flatnonzero(called):
        frame.avoid(effect[g], max(rate[g], LEAST_LFSR))
    for g in np.flatnonzero(called)[np.argsort(rate[called])][:NAMED]:
        frame.label(effect[g], max(rate[g], LEAST_LFSR), contrast.genes[g], flip=effect[g] > x.high / 2)
    return frame.svg()


def heatmap(
    contrasts: Sequence[ContrastResults], day_labels: Sequence[str], shown: Sequence[str], limit: float
) -> Markup:
    """Return genes (rows) by days, one block of columns a contrast; colour is full at `limit` logits."""
    left = min(14 + 7.6 * max((len(short(gene)) for gene in shown), default=4), LONGEST)
    heads = [head for each in contrasts for head in (each.fate, f"against {each.against}")]
    head_width = min(BOLD * max(map(len, heads)), MOST_HEAD)
    block = max(CELL * len(day_labels), head_width) + GAP
    letters = int((block - GAP) / BOLD)
    width, height = left + block * len(contrasts) + 8, 44 + ROW * len(shown)
    parts: list[Markup] = []
    for c, contrast in enumerate(contrasts):
        start = left + c * block
        against = f"against {short(contrast.against, letters - len('against '))}"
        parts.append(text_at(start, 13, contrast.fate, "start", "title", most=letters))
        parts.append(text_at(start, 25, against, "start", most=letters))
        every = max(1, math.ceil(max(map(len, day_labels)) * 7 / CELL))
        for d, label in enumerate(day_labels):
            if d % every == 0:
                parts.append(text_at(start + (d + 0.5) * CELL, 38, label, "middle"))
        row_of = {gene: g for g, gene in enumerate(contrast.genes)}
        for row, gene in enumerate(shown):
            g = row_of[gene]
            parts += [
                _cell(contrast, c, g, d, start + d * CELL, 44 + row * ROW, limit)
                for d in range(len(day_labels))
            ]
    parts += [text_at(left - 6, 44 + row * ROW + 12, gene, "end") for row, gene in enumerate(shown)]
    return Markup(
        '<svg viewBox="0 0 {0:.0f} {1}" width="{0:.0f}" height="{1}" role="img" '
        'aria-label="Effects of genes by day">{2}</svg>'
    ).format(width, height, Markup("").join(parts))


def _cell(contrast: ContrastResults, c: int, g: int, d: int, x: float, y: float, limit: float) -> Markup:
    effect = float(contrast.postmean[g, d])
    tip = f"{contrast.genes[g]}: {signed(effect)}, lfsr {lfsr(contrast.lfsr[g, d])}"
    cell = Markup(
        '<rect x="{:.0f}" y="{}" width="{}" height="{}" class="cell {}" fill-opacity="{:.2f}" '
        'data-card="{}"><title>{}</title></rect>'
    ).format(
        x, y, CELL - 2, ROW - 2, "up" if effect > 0 else "down", min(abs(effect) / limit, 1), f"{c}-{g}", tip
    )  # fmt: skip
    if not contrast.called[g, d]:
        return cell
    return cell + Markup('<circle cx="{:.0f}" cy="{:.1f}" r="2.6" class="mark"/>').format(
        x + CELL / 2 - 1, y + ROW / 2 - 1
    )


def evidence(contrast: ContrastResults, genes: Mapping[str, Gene]) -> Markup | None:
    """Return the probability of any effect against the gene's cells; None where cells were not counted."""
    cells = [genes[name].cells for name in contrast.genes]
    known = [(g, n) for g, n in enumerate(cells) if n]
    if not known:
        return None
    counts = [n for _, n in known]
    x = logarithmic(min(counts), max(counts), "cells with the gene")
    frame = Frame(x, linear(0, 1, "probability of an effect"), title=contrast.title, width=340)
    for g, n in known:
        kind = "up" if contrast.hits[g] else "miss"
        tip = f"{contrast.genes[g]}: {n:,} cells, probability {chance(contrast.p_any[g])}"
        frame.point(n, contrast.p_any[g], kind, tip=tip, gene=f"0-{g}")
    return frame.svg()

"""Which fates the cells of each gene have, on average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.names import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

NAMED = 12
LETTER, HEIGHT, GAP = 0.0152, 0.03, 0.02  # of a name, and between it and its dot, of the triangle's side
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # of the triangle, one a fate
LEVELS = (10, 100, 1000)  # cells in the legend
MOST_ROWS = 40
FATE_COLUMN = 12  # letters of a line of a fate's name above its column
FEWEST_CELLS = 10  # of a gene: with fewer the mean is chance, and would stretch the picture


@dataclass(frozen=True, eq=False)
class Compositions:
    """Mean fate probabilities, L genes by F fates."""

    fates: tuple[str, ...]
    genes: tuple[str, ...]
    cells: NDArray[np.int64]  # (L,) that carry a guide of the gene
    share: Array  # (L, F) over these cells
    everyone: Array  # (F,) over all cells

    def corner(self, share: Array) -> tuple[Array, float]:
        """Return the least share of each fate, (F,), and the side of the triangle that then holds `share`."""
        least = np.maximum(share.min(axis=0) - 0.02, 0)
        return least, float(1 - least.sum())


def compositions(summary: Mapping[str, Any]) -> Compositions | None:
    """Return what ``screen_summary.json`` says of mean compositions; None for one that lacks them.

    Genes with hardly any cells are left out.
    """
    fates = tuple(summary["fates"]["mean_probability"])
    genes, cells, share = [], [], []
    for gene, entry in summary["genes"]["guides_and_cells"].items():
        by_fate = entry.get("mean_probability")
        if by_fate is None or entry["cells"] < FEWEST_CELLS:
            continue
        number = np.array(entry["cells_by_day"], dtype=float)  # (D,)
        means = np.array([by_fate[fate] for fate in fates], dtype=float)  # (F, D), NaN on days without cells
        genes.append(gene)
        cells.append(int(number.sum()))
        share.append(np.nansum(means * number, axis=1) / number.sum())
    if not genes:
        return None
    everyone = np.array([summary["fates"]["mean_probability"][fate] for fate in fates])
    return Compositions(fates, tuple(genes), np.array(cells), np.array(share), everyone)


def in_triangle(share: Array, least: Array, side: float) -> Array:
    """Return places of shares of three fates, (n, 2), in the triangle with these least shares."""
    return np.asarray((np.atleast_2d(share) - least) / side @ CORNERS)


def beside(
    places: Array,
    lengths: Sequence[float],
    gap: float,
    height: float,
    others: Iterable[Array | tuple[float, float]],
    right_free: Sequence[bool] | None = None,
) -> list[int]:
    """Return where each name is written beside its dot: 1 at the right, -1 at the left, 0 nowhere.

    Names stay off the dots of `places` (n, 2), off `others` and off the names before them.
    """
    taken = [(x - 0.8 * gap, x + 0.8 * gap, y) for x, y in [*places, *others]]
    sides = []
    for k, ((x, y), length) in enumerate(zip(places, lengths, strict=True)):
        found = 0
        for side, start in ((1, x + gap), (-1, x - gap - length)):
            end = start + length
            if side > 0 and right_free is not None and not right_free[k]:
                continue
            if all(abs(y - at) > height or start > right or end < left for left, right, at in taken):
                taken.append((start, end, y))
                found = side
                break
        sides.append(found)
    return sides


def size(cells: Any) -> Array:
    """Return the area of a gene's dot in square points: a mean over few cells says little."""
    return np.asarray(np.clip(2.2 * np.sqrt(np.asarray(cells, dtype=float)), 4, 160))


def composition(
    summary: Mapping[str, Any], hits: Any = None, *, named: int = NAMED, ax: Axes | None = None
) -> Axes:
    """Draw the mean fate probabilities of each gene's cells and return the Axes.

    The means are as they are: other guides in the same cells, days and replicates are not taken out, as the
    model does. Genes with fewer than 10 cells are left out.

    Parameters
    ----------
    summary
        ``screen_summary.json``, ``screen.summary`` or ``fit.summary``.
    hits
        What `fatebias.pl.hits` takes, or names of genes, the surest first: hits are coloured, and
        those that differ most from all cells carry their names.
    named
        How many.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With three fates the part of the triangle that holds all genes; its corners are the fates, the cross
        is the mean of all cells. With two or more than three, a row for each hit (the genes with the most
        cells where nothing is a hit) and a column for each fate: its mean share in percent, coloured by the
        difference from all cells.

    Raises
    ------
    ValueError
        When the summary was written by an earlier version, without compositions.

    Examples
    --------
    >>> from fatebias import pl
    >>> gene = {"cells": 20, "cells_by_day": [20], "mean_probability": {"A": [0.2], "B": [0.3], "C": [0.5]}}
    >>> fates = {"mean_probability": {"A": 0.3, "B": 0.3, "C": 0.4}}
    >>> ax = pl.composition({"fates": fates, "genes": {"guides_and_cells": {"PAX6": gene}}})
    >>> [text.get_text() for text in ax.texts if text.get_text() in "ABC"]
    ['A', 'B', 'C']
    """
    found = compositions(summary)
    if found is None:
        raise ValueError("the summary has no mean probabilities by gene: read the screen again")
    order = _hit_order(found, hits)
    draw = _triangle if len(found.fates) == 3 else _rows
    return draw(found, order, named, ax)


def _hit_order(found: Compositions, hits: Any) -> list[int]:
    """Return the places of the hits among the genes, the surest first."""
    from fatebias import names
    from fatebias.pl._ranking import ranking

    called = hits or [] if hits is None or isinstance(hits, (list, tuple)) else None
    if called is None:
        table = ranking(hits, "composition").table
        called = list(table.loc[table[names.HIT_ANYDAY].astype(bool), names.GENE].astype(str))
    place = {gene: g for g, gene in enumerate(found.genes)}
    return [place[gene] for gene in called if gene in place]


def _triangle(found: Compositions, order: list[int], named: int, ax: Axes | None) -> Axes:
    from fatebias.pl._ranking import MISS, UP
    from fatebias.pl.save import named as shown_name
    from fatebias.pl.save import new_axes

    ax = new_axes(5.4, 4.9) if ax is None else ax
    least, side = found.corner(np.vstack([found.share, found.everyone]))
    _grid(ax, found.fates, least, side)
    places = in_triangle(found.share, least, side)
    hit = np.zeros(len(places), dtype=bool)
    hit[order] = True
    for kind, colour, order_z in ((~hit, MISS, 2), (hit, UP, 3)):
        x, y = places[kind].T
        ax.scatter(x, y, s=size(found.cells[kind]), color=colour, lw=0, alpha=0.75, zorder=order_z)
    [middle] = in_triangle(found.everyone, least, side)
    ax.plot(*middle, "+", color="black", ms=12, mew=1.6, zorder=4)
    far = np.abs(found.share - found.everyone).sum(axis=1)
    shown = sorted(order, key=lambda g: -far[g])[:named]
    words = [shown_name(found.genes[g]) for g in shown]
    sides = beside(
        places[shown],
        [LETTER * len(word) for word in words],
        GAP,
        HEIGHT,
        [middle, *places[[g for g in order if g not in shown]]],
    )
    for g, word, side_of in zip(shown, words, sides, strict=True):
        if side_of:
            ax.annotate(
                word, places[g], xytext=(5 * side_of, 0), textcoords="offset points", fontsize=7,
                va="center", ha="left" if side_of > 0 else "right", zorder=5,
            )  # fmt: skip
    for level in (each for each in LEVELS if each <= 3 * found.cells.max()):
        ax.scatter([], [], s=float(size(level)), color=MISS, label=f"{level:,}")
    ax.legend(title="cells", frameon=False, fontsize=7, title_fontsize=7, loc="upper right")
    title = "Mean fate probabilities of each gene's cells\ncross: all cells; coloured: hits"
    ax.set_title(title, fontsize=9, pad=14, loc="left")
    return ax


def _grid(ax: Axes, fates: tuple[str, ...], least: Array, side: float) -> None:
    """Draw the triangle with lines of equal share in percent; each fate's labels are on one edge."""
    from fatebias.pl.save import named

    ax.set_aspect("equal")
    ax.axis("off")
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color="#56606b", lw=1)
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2) if side / each <= 7)
    turn = (60, -60, 0)
    for f in range(3):
        one, other = (f + 1) % 3, (f + 2) % 3
        for level in np.arange(np.ceil(least[f] / step) * step, least[f] + side - 1e-9, step):
            if level - least[f] < 1e-9:
                continue
            ends = np.tile(least, (2, 1))
            ends[:, f] = level
            rest = side - (level - least[f])
            ends[0, one] += rest
            ends[1, other] += rest
            (x0, y0), (x1, y1) = in_triangle(ends, least, side)
            ax.plot([x0, x1], [y0, y1], color="#e3e6ea", lw=0.7, zorder=1)
            away = (CORNERS[one] - CORNERS[other]) * 0.035
            ax.text(
                x0 + away[0], y0 + away[1], f"{100 * level:.0f} %", fontsize=6, color="#56606b", ha="center",
                va="center", rotation=turn[f] if f < 2 else 0,
            )  # fmt: skip
    # Below the shares of the lower edge, from its ends inwards: long names fit, and lie on no share.
    for fate, (x, y), side_of in zip(
        fates, ((-0.08, -0.1), (1.08, -0.1), (0.5, 0.91)), ("left", "right", "center"), strict=True
    ):
        ax.text(x, y, named(fate), ha=side_of, va="center", fontsize=10, fontweight="bold")


def _rows(found: Compositions, order: list[int], named: int, ax: Axes | None) -> Axes:
    from fatebias.pl.save import literal, new_axes
    from fatebias.pl.save import named as shown_name

    shown = order[:MOST_ROWS] or list(np.argsort(-found.cells, kind="stable")[:named])
    share = np.vstack([found.everyone, found.share[shown]])
    apart = 100 * (share - found.everyone)
    limit = float(np.abs(apart).max(initial=0)) or 1.0
    ax = new_axes(2.4 + 0.8 * len(found.fates), 1.3 + 0.24 * len(share)) if ax is None else ax
    image = ax.imshow(apart, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(100 * share):
        dark = abs(apart[row, column]) > 0.65 * limit
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7,
                color="white" if dark else "black")  # fmt: skip
    columns = [literal(fill(short(fate), FATE_COLUMN)) for fate in found.fates]
    ax.set_xticks(range(len(found.fates)), columns, fontsize=8)
    labels = ["all cells", *(shown_name(found.genes[g]) for g in shown)]
    ax.set_yticks(range(len(labels)), labels, fontsize=7)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title("Mean fate probabilities, percent", fontsize=9, loc="left")
    bar = ax.figure.colorbar(image, ax=ax, aspect=20)
    bar.set_label("percentage points from all cells", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return ax

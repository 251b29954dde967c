"""The runs of a sweep side by side: genes by settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MOST_GENES, WITHOUT_HITS = 40, 10
SURE = 0.05  # lfsr below which a direction counts where a gene has both


def sweep(stability: pd.DataFrame, ranked: Mapping[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw how sure each gene's effect is under each setting of a sweep and return the Axes.

    Colour is the direction of the surest effect, full where the lfsr is least; a dot marks a hit. A cell
    is split where the gene is sure of both directions, on different days. Drawn are the genes that are
    hits under any setting, at most 40; the first 10 where there are none.

    Parameters
    ----------
    stability
        ``hit_stability.csv``: ``gene`` and ``hit_share``, in the order of the rows to draw.
    ranked
        The name of each setting and its ``hits_ranked.csv``, in the order of the columns to draw.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Genes from top to bottom, settings from left to right; white where a run did not test the gene.

    Examples
    --------
    >>> import pandas as pd
    >>> from fatebias import pl
    >>> run = pd.DataFrame(
    ...     {
    ...         "gene": ["PAX6", "SOX2"],
    ...         "postmean_d0": [-1.0, 0.1],
    ...         "lfsr_d0": [1e-6, 0.6],
    ...         "hit_anyday": [True, False],
    ...     }
    ... )
    >>> stability = pd.DataFrame({"gene": ["PAX6", "SOX2"], "hit_share": [1.0, 0.0]})
    >>> ax = pl.sweep(stability, {"seed=0": run, "seed=1": run})
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['seed=0', 'seed=1']
    """
    import numpy as np

    from fatebias.pl.save import literal, named, new_axes

    any_hit = stability["hit_share"] > 0
    genes = list(stability["gene"][any_hit].head(MOST_GENES)) or list(stability["gene"].head(WITHOUT_HITS))
    up, down, hit = strongest(genes, ranked)
    if ax is None:
        longest = max(map(len, ranked))
        ax = new_axes(3.0 + 0.34 * len(ranked), 0.8 + 0.22 * len(genes) + 0.065 * longest)
    image = _draw_cells(ax, up, down)
    rows, columns = np.nonzero(hit)
    # A white ring, which is seen on the darkest cells.
    ax.scatter(columns, rows, s=12, color="black", edgecolors="white", linewidths=0.8, zorder=3)
    ax.set_yticks(range(len(genes)), [named(gene) for gene in genes], fontsize=7)
    ax.set_xticks(range(len(ranked)), [literal(name) for name in ranked], rotation=90, fontsize=7)
    ax.set_title(_title(int(any_hit.sum()), len(genes)), fontsize=9, loc="left")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _colour_bar(ax, image, len(genes))
    return ax


def strongest(
    genes: Sequence[str], ranked: Mapping[str, pd.DataFrame]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return the least lfsr over days of an effect up and of one down, and which genes are hits.

    Each (genes, settings). 1 where a gene has no effect of that direction, NaN where a run did not test it.
    """
    import numpy as np

    from fatebias import names

    up = np.full((len(genes), len(ranked)), np.nan)
    down = up.copy()
    hit = np.zeros(up.shape, dtype=bool)
    for column, ranking in enumerate(ranked.values()):
        n_days = sum(str(name).removeprefix(names.LFSR).isdigit() for name in ranking)
        by_gene = ranking.set_index(names.GENE)
        rows = [row for row, gene in enumerate(genes) if gene in by_gene.index]
        found = by_gene.loc[[genes[row] for row in rows]]
        mean = found[names.day_columns(names.POSTMEAN, n_days)].to_numpy(dtype=float)
        lfsr = found[names.day_columns(names.LFSR, n_days)].to_numpy(dtype=float)
        for side, sign in ((up, 1), (down, -1)):
            side[rows, column] = np.where(sign * mean > 0, lfsr, 1.0).min(axis=1)
        hit[rows, column] = found[names.HIT_ANYDAY].to_numpy(dtype=bool)
    return up, down, hit


def reverses(up: Array, down: Array) -> NDArray[np.bool_]:
    """Return where both directions are sure, from `strongest`."""
    import numpy as np

    return np.fmax(up, down) < SURE


def _draw_cells(ax: Axes, up: Array, down: Array) -> AxesImage:
    """Draw cells in the colour of their surer direction, those of both split from corner to corner."""
    import numpy as np
    from matplotlib.collections import PolyCollection

    from fatebias.pl._ranking import sureness

    signed = np.where(up <= down, sureness(up), -sureness(down))
    signed[np.isnan(up)] = np.nan
    limit = max(float(np.nanmax(np.abs(signed), initial=0.0)), float(sureness(SURE)))
    image = ax.imshow(signed, cmap=_colours(), vmin=-limit, vmax=limit, aspect="auto")
    rows, columns = np.nonzero(reverses(up, down))
    for value, corner in ((sureness(up), -0.5), (-sureness(down), 0.5)):
        halves = [
            [(x - 0.5, y + 0.5), (x + 0.5, y - 0.5), (x + corner, y + corner)]
            for y, x in zip(rows, columns, strict=True)
        ]
        colours = image.cmap(image.norm(value[rows, columns]))
        ax.add_collection(PolyCollection(halves, facecolors=colours, edgecolors="white", linewidths=0.5))
    return image


def _colours() -> Any:
    """Return the colours from away to towards, told apart by all eyes."""
    from matplotlib.colors import LinearSegmentedColormap

    from fatebias.pl._ranking import DOWN, UP

    return LinearSegmentedColormap.from_list("away to towards", [DOWN, "#ffffff", UP])


def _colour_bar(ax: Axes, image: AxesImage, rows: int) -> None:
    from fatebias.pl._ranking import LFSR_LEVELS, sureness

    _, high = image.get_clim()
    levels = [level for level in LFSR_LEVELS if float(sureness(level)) <= high]
    ticks = [-float(sureness(level)) for level in levels[::-1]] + [float(sureness(level)) for level in levels]
    bar = ax.figure.colorbar(image, ax=ax, shrink=min(1.0, 10 / (rows + 1)), anchor=(0, 1), pad=0.03)
    bar.set_ticks(ticks, labels=[f"{level:g}" for level in (*levels[::-1], *levels)])
    bar.set_label("lfsr; above: towards the contrast fate", fontsize=7)
    bar.ax.tick_params(labelsize=6)


def _title(n_hits: int, shown: int) -> str:
    if not n_hits:
        return "No hits under any setting"
    more = f", the first {shown} of {n_hits} genes" if n_hits > shown else ""
    return f"Hits (dots) by setting{more}; split: both directions"

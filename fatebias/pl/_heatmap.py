"""Effects of the hits: genes by days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GENES = 60
FULL_COLOUR = 0.95  # this share of the effects has a paler colour than the fullest


def heatmap(
    hits: Any,
    *,
    ax: Axes | None = None,
    top: int = MOST_GENES,
    genes: Sequence[str] | None = None,
    limit: float | None = None,
    bar: bool = True,
    **keywords: Any,
) -> Axes:
    """Draw the effects of the hits by day, genes from top to bottom, and return the Axes.

    Parameters
    ----------
    hits
        What `fatebias.pl.hits` takes: a ranked table, the surest gene first, or a result that has one.
    ax
        Where to draw; a new figure by default, tall enough for the genes.
    top
        How many genes to draw at most: the hits, or the first ten where fewer are hits.
    genes
        These genes in this order, in place of the hits: to set several contrasts side by side.
    limit
        Effect in logits at which the colour is full; by default from the effects.
    bar
        Draw the colour bar beside it.
    **keywords
        ``day_labels``, ``contrast``, ``rule``, ``rule_text`` as in `fatebias.pl.hits`.

    Returns
    -------
    matplotlib.axes.Axes
        Colour is the effect (posterior mean, logits), a dot marks a gene called on that day.

    Raises
    ------
    ValueError
        When the ranking lacks one of `genes`.
    TypeError
        When it is given something else than a ranking.

    Examples
    --------
    >>> import pandas as pd
    >>> from fatebias import pl
    >>> table = pd.DataFrame(
    ...     {
    ...         "gene": ["PAX6", "SOX2"],
    ...         "postmean_d0": [-1.0, 0.1],
    ...         "lfsr_d0": [1e-6, 0.6],
    ...         "hit_anyday": [True, False],
    ...     }
    ... )
    >>> ax = pl.heatmap(table)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['PAX6', 'SOX2']
    """
    import numpy as np

    from fatebias import names
    from fatebias.pl._ranking import ranking
    from fatebias.pl.save import named, new_axes

    all_genes = ranking(hits, "heatmap", **keywords)
    found = all_genes.first_hits(top) if genes is None else all_genes.of(genes)
    effect = found.values(names.POSTMEAN)  # (rows, D)
    rows = len(effect)
    if limit is None:
        limit = float(np.quantile(np.abs(effect), FULL_COLOUR)) if effect.size else 1.0
    limit = limit or float(np.abs(effect).max(initial=0)) or 1.0
    least_height = 3.2 if bar and "\n" in found.effect_label() else 0.0  # of the label beside the bar
    ax = new_axes(2.6 + 0.5 * found.n_days, max(1.0 + 0.2 * rows, least_height)) if ax is None else ax
    image = ax.imshow(effect, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    row, day = np.nonzero(found.called())
    ax.scatter(day, row, s=10, color="black", edgecolors="white", linewidths=0.6)
    ax.set_xticks(range(found.n_days), [named(label) for label in found.day_labels])
    ax.set_yticks(range(rows), [named(gene) for gene in found.table[names.GENE]], fontsize=7)
    ax.set_title(f"Dot: {found.rule_text}", fontsize=9, loc="left", wrap=True)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if bar:
        shrink = min(1.0, 8 / (rows + 1))
        drawn = ax.figure.colorbar(image, ax=ax, shrink=shrink, aspect=14, anchor=(0, 1), extend="both")
        drawn.set_label(found.effect_label(), fontsize=8)
        drawn.ax.tick_params(labelsize=8)
    return ax

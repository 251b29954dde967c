"""Each CRISPR guide's own estimate around its gene's, which shows whether the guides of a hit agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INTERVAL = 1.96  # SDs to either side: 95 %
INACTIVE = 0.5  # a guide whose probability of doing nothing is above is drawn hollow


def guides(
    hits: Any, guides: pd.DataFrame, *, top: int = 25, ax: Axes | None = None, **keywords: Any
) -> Axes:
    """Draw the estimate of each guide of the hits around its gene's, on the gene's surest day.

    Parameters
    ----------
    hits
        What `fatebias.pl.hits` takes, with ``betahat_d*``, ``se_d*`` and ``best_day``.
    guides
        ``guide_summary.csv`` or ``fit.guides``: ``guide``, ``gene``, ``betahat_d*``, and ``p_inactive``
        where guides may do nothing.
    top
        How many genes to draw at most: the hits, or the first ten where fewer are hits.
    ax
        Where to draw; a new figure by default, tall enough for the genes.
    **keywords
        ``day_labels``, ``contrast``, ``rule``, ``rule_text`` as in `fatebias.pl.hits`.

    Returns
    -------
    matplotlib.axes.Axes
        A row a gene: a bar for its own 95 % interval before days share strength, a dot for each guide with
        the gene's direction, a diamond for one against it, hollow where the guide probably does nothing.

    Raises
    ------
    TypeError
        When `hits` is something else than a ranking.

    Examples
    --------
    >>> import pandas as pd
    >>> from fatebias import pl
    >>> effects = {"betahat_d0": [1.0], "se_d0": 0.2, "postmean_d0": 0.9, "lfsr_d0": 1e-6}
    >>> table = pd.DataFrame({"gene": "PAX6", "best_day": 0, "hit_anyday": True, **effects})
    >>> of_guides = pd.DataFrame({"guide": ["P1", "P2"], "gene": "PAX6", "betahat_d0": [1.2, -0.3]})
    >>> ax = pl.guides(table, of_guides)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['PAX6']
    """
    import numpy as np

    from fatebias import names
    from fatebias.pl._ranking import DOWN, UP, ranking
    from fatebias.pl.save import named, new_axes, without_frame

    found = ranking(hits, "guides", **keywords).first_hits(top)
    genes, day = found.table[names.GENE].astype(str).to_numpy(), found.best_day()
    own, se = (found.values(prefix)[np.arange(len(genes)), day] for prefix in (names.BETAHAT, names.SE))
    ax = new_axes(4.8, 1.5 + 0.24 * len(genes)) if ax is None else ax
    ax.axvline(0, color="#888888", lw=0.8)
    rows = np.arange(len(genes))
    ax.barh(rows, 2 * INTERVAL * se, left=own - INTERVAL * se, height=0.55, color="#d9dde2")
    ax.plot(own, rows, "|", color="#56606b", ms=9)
    place = {gene: row for row, gene in enumerate(genes)}
    shown = guides[guides[names.GENE].astype(str).isin(place)]
    row = np.array([place[gene] for gene in shown[names.GENE].astype(str)], dtype=np.int64)  # (guides,)
    by_day = shown[names.day_columns(names.BETAHAT, found.n_days)].to_numpy(dtype=float)
    effect = by_day[np.arange(len(row)), day[row]]
    against = effect * own[row] < 0
    inactive = np.zeros(len(row), dtype=bool)
    if names.P_INACTIVE in shown:
        inactive = shown[names.P_INACTIVE].to_numpy(dtype=float) > INACTIVE
    for kind, marker, colour in ((~against, "o", DOWN), (against, "D", UP)):
        for hollow in (False, True):
            drawn = kind & (inactive == hollow)
            face = "white" if hollow else colour
            ax.scatter(
                effect[drawn], row[drawn], s=18, marker=marker, facecolors=face, edgecolors=colour,
                linewidths=1, zorder=3,
            )  # fmt: skip
    ax.use_sticky_edges = False  # bars that touch the edge look cut
    ax.autoscale_view()
    ax.set_yticks(rows, [named(gene) for gene in genes], fontsize=7)
    ax.set(ylim=(len(genes) - 0.4, -0.6), xlabel=found.effect_label())
    ax.set_title(
        "bar: the gene, 95 %; dots: its guides; diamond: other direction;\nhollow: probably does nothing",
        fontsize=8, loc="left", wrap=True,
    )  # fmt: skip
    without_frame(ax)
    return ax

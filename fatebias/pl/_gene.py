"""One gene: its effect by day, before and after days share strength, and its guides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INTERVAL = 1.96  # SDs to either side: 95 %


def gene(
    hits: Any,
    name: str,
    *,
    guides: pd.DataFrame | None = None,
    replicates: pd.DataFrame | None = None,
    ax: Axes | None = None,
    **keywords: Any,
) -> Axes:
    """Draw a gene's effect by day, with 95 % intervals, and return the Axes.

    Parameters
    ----------
    hits
        What `fatebias.pl.hits` takes: a ranked table, or a result that has one; with ``betahat_d*``,
        ``se_d*``, ``postmean_d*``, ``postsd_d*`` and ``lfsr_d*``.
    name
        The gene.
    guides
        ``guide_summary.csv`` or ``fit.guides``: the estimates of its guides are drawn as short lines.
    replicates
        ``replicate_effects.csv`` or ``fit.replicates``: each replicate's own estimate is a small triangle.
    ax
        Where to draw; a new figure by default.
    **keywords
        ``day_labels``, ``contrast``, ``rule``, ``rule_text`` as in `fatebias.pl.hits`.

    Returns
    -------
    matplotlib.axes.Axes
        Open circles before sharing between days, filled ones after, coloured where the gene is called.

    Raises
    ------
    ValueError
        When the ranking has no such gene.
    TypeError
        When it is given something else than a ranking.

    Examples
    --------
    >>> import pandas as pd
    >>> from fatebias import pl
    >>> table = pd.DataFrame(
    ...     {
    ...         "gene": ["PAX6"],
    ...         "betahat_d0": [-1.1],
    ...         "se_d0": [0.2],
    ...         "postmean_d0": [-1.0],
    ...         "postsd_d0": [0.15],
    ...         "lfsr_d0": [1e-6],
    ...     }
    ... )
    >>> pl.gene(table, "PAX6").get_title(loc="left")
    'PAX6'
    """
    import numpy as np

    from fatebias import names
    from fatebias.pl._ranking import DOWN, MISS, UP, ranking
    from fatebias.pl.save import named, new_axes, without_frame

    found = ranking(hits, "gene", **keywords)
    places = np.flatnonzero(found.table[names.GENE].astype(str).to_numpy() == name)
    if not len(places):
        raise ValueError(f"the ranking has no gene {name!r}")
    at, n_days = int(places[0]), found.n_days
    ax = new_axes(2.2 + 0.7 * n_days, 3.2) if ax is None else ax
    days = np.arange(n_days)
    ax.axhline(0, color="#888888", lw=0.8)
    before, se, after, sd = (
        found.values(prefix)[at] for prefix in (names.BETAHAT, names.SE, names.POSTMEAN, names.POSTSD)
    )
    ax.errorbar(
        days - 0.12, before, INTERVAL * se, fmt="o", mfc="white", color="#56606b", lw=1, ms=5, label="before"
    )
    colours = np.where(found.called()[at], np.where(after > 0, UP, DOWN), MISS)
    for d in days:
        label = "after sharing between days" if d == 0 else None
        ax.errorbar(d + 0.12, after[d], INTERVAL * sd[d], fmt="o", color=colours[d], lw=1, ms=5, label=label)
    for table, what, aside, marker, size in (
        (guides, "guides", -0.32, "_", 8),
        (replicates, "replicates", 0.32, "<", 3),
    ):
        if table is None:
            continue
        of_gene = table[table[names.GENE].astype(str) == name]
        estimates = of_gene[names.day_columns(names.BETAHAT, n_days)].to_numpy(dtype=float)  # (rows, D)
        for d in days:
            label = what if d == 0 else None
            place = np.full(len(estimates), d + aside)
            ax.plot(place, estimates[:, d], marker, color="#56606b", ms=size, label=label)
    ax.set_xticks(days, [named(label) for label in found.day_labels])
    ax.set(xlim=(-0.6, n_days - 0.4), ylabel=found.effect_label())
    ax.set_title(named(name), fontsize=10, loc="left")
    ax.legend(frameon=False, fontsize=8)
    without_frame(ax)
    return ax

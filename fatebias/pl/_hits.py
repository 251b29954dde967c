"""The top of the ranking: genes by days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fatebias.discovery.ranking import CallRule


def hits(
    hits: Any,
    *,
    ax: Axes | None = None,
    top: int = 25,
    day_labels: Sequence[str] | None = None,
    contrast: tuple[str | None, str | None] | None = None,
    rule: CallRule | None = None,
    rule_text: str | None = None,
    settings: str | None = None,
) -> Axes:
    """Draw the hits of a ranking by day and return the Axes.

    The colour of a dot is the effect (posterior mean, logits), its size the certainty (lfsr), a black ring
    marks a gene called on that day.

    Parameters
    ----------
    hits
        A ranked table: ``gene``, ``postmean_d0``, ... and ``lfsr_d0``, ... (one column a day) and
        ``hit_anyday``, the surest gene first; or a result whose ``ranked`` or ``table`` is one. Attributes of
        such a result named like the keywords below are used where the keyword is not given.
    ax
        Where to draw; a new figure by default, tall enough for `top` genes.
    top
        How many genes to draw at most: the hits, or the first ten where fewer are hits.
    day_labels
        One label a day; ``d0``, ``d1``, ... by default.
    contrast
        The fate that the effects are about and the one it is set against, for the colour bar.
    rule
        What makes a call, for the rings; lfsr below 0.05 by default.
    rule_text
        The rule as the title says it; that of `rule` by default.
    settings
        For a line below the title, such as the preset and the weight of soft labels; the contrast is put
        before it.

    Returns
    -------
    matplotlib.axes.Axes
        Genes from top to bottom, days from left to right.

    Raises
    ------
    DiscoveryError
        When the table lacks a column that the rule asks for.
    TypeError
        When it is given something else, such as a fit.

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
    >>> ax = pl.hits(table, contrast=("neuron", "progenitor"))
    >>> ax.get_title(loc="left")
    '1 of 2 genes are hits (lfsr < 0.05 on a day)'
    """
    import numpy as np

    from fatebias import names
    from fatebias.pl._ranking import ranking
    from fatebias.pl.save import literal, named, new_axes, without_frame

    all_genes = ranking(
        hits, "hits", day_labels=day_labels, contrast=contrast, rule=rule, rule_text=rule_text
    )
    n_hits, n_genes = int(all_genes.table[names.HIT_ANYDAY].sum()), len(all_genes.table)
    found = all_genes.first_hits(top)
    shown, n_days = found.table, found.n_days
    lfsr, effect = (found.values(prefix).ravel() for prefix in (names.LFSR, names.POSTMEAN))
    own = ax is None
    least_height = 4.2 if "\n" in found.effect_label() else 0.0  # of the label beside the colour bar
    if ax is None:
        ax = new_axes(3.6 + 0.62 * n_days, max(1.6 + 0.27 * len(shown), least_height))
    day, row = (each.ravel() for each in np.meshgrid(np.arange(n_days), np.arange(len(shown))))
    limit = float(np.abs(effect).max(initial=0)) or 1.0
    dots = ax.scatter(
        day,
        row,
        s=_area(lfsr),
        c=effect,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        edgecolors="#bbbbbb",
        linewidths=0.4,
        zorder=2,
    )
    called = found.called().ravel()
    ax.scatter(
        day[called],
        row[called],
        s=_area(lfsr[called]),
        facecolors="none",
        edgecolors="black",
        linewidths=0.9,
        zorder=3,
    )
    title = f"{n_hits} of {n_genes} genes are hits ({found.rule_text} on a day)"
    if settings:
        about = [" against ".join(map(str, found.contrast))] if found.contrast[0] else []
        title += "\n" + literal(", ".join([*about, settings]))
    ax.set_title(title, fontsize=10, loc="left", wrap=True)
    ax.set_xticks(np.arange(n_days), [named(label) for label in found.day_labels])
    ax.set_yticks(np.arange(len(shown)), [named(gene) for gene in shown[names.GENE]], fontsize=8)
    ax.set(xlim=(-0.6, n_days - 0.4), ylim=(len(shown) - 0.4, -0.6))
    ax.grid(color="#eeeeee", zorder=0)
    ax.set_axisbelow(True)
    without_frame(ax)
    bar = ax.figure.colorbar(
        dots, ax=ax, shrink=min(1.0, 8 / (len(shown) + 1)), aspect=14, anchor=(0, 1), pad=0.03
    )
    bar.set_label(found.effect_label(), fontsize=8)
    bar.ax.tick_params(labelsize=8)
    _size_legend(ax, own, float(lfsr.min(initial=1.0)))
    return ax


def _area(lfsr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of a dot in square points; it grows with certainty however sure an effect is."""
    from fatebias.pl._ranking import sureness

    return 8 + 42 * sureness(lfsr)


def _size_legend(ax: Axes, own: bool, least: float) -> None:
    """Show which size means which lfsr: below the figure where it is ours, else below the Axes."""
    import numpy as np

    from fatebias.pl._ranking import LFSR_LEVELS

    levels = [level for level in LFSR_LEVELS if level >= least] or [LFSR_LEVELS[0]]
    sizes = [
        ax.scatter([], [], s=float(_area(np.array(level))), color="#888888", label=f"{level:g}")
        for level in levels
    ]
    style: dict[str, Any] = {
        "handles": sizes,
        "title": "lfsr; ring: called",
        "title_fontsize": 8,
        "fontsize": 8,
        "frameon": False,
        "ncols": min(len(levels), 4),
        "columnspacing": 0.8,
        "handletextpad": 0.2,
    }
    if own:
        ax.figure.legend(**style, loc="outside lower left")
    else:
        ax.legend(**style, loc="upper left", bbox_to_anchor=(0, -0.06))

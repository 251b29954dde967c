"""The top of the ranking: genes by days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fatebias.discovery.ranking import CallRule

LEAST_LFSR = 1e-10  # dots of surer effects are no larger
SHOWN_LFSR = (0.5, 0.05, 1e-3, 1e-6)


def hits(
    hits: Any,
    *,
    ax: Axes | None = None,
    top: int = 25,
    day_labels: Sequence[str] | None = None,
    contrast: tuple[str | None, str | None] | None = None,
    rule: CallRule | None = None,
    rule_text: str | None = None,
) -> Axes:
    """Draw the first genes of a ranking by day and return the Axes.

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
        How many genes to draw.
    day_labels
        One label a day; ``d0``, ``d1``, ... by default.
    contrast
        The fate that the effects are about and the one it is set against, for the colour bar.
    rule
        What makes a call, for the rings; lfsr below 0.05 by default.
    rule_text
        The rule as the title says it; that of `rule` by default.

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
    from fatebias.discovery.ranking import CallRule, active
    from fatebias.pl.save import literal, new_axes, without_frame

    ranked: pd.DataFrame = getattr(hits, "ranked", getattr(hits, "table", hits))
    if not hasattr(ranked, "columns"):
        raise TypeError(
            f"hits takes a ranking, not {type(hits).__name__}: "
            "fatebias.pl.hits(fatebias.discover(fit)), or a table such as hits_ranked.csv"
        )
    n_days = sum(str(column).startswith(names.LFSR) for column in ranked.columns)
    day_labels = day_labels or getattr(hits, "day_labels", None) or [f"d{d}" for d in range(n_days)]
    fate, against = contrast or getattr(hits, "contrast", None) or (None, None)
    rule = rule or getattr(hits, "rule", None) or CallRule()
    rule_text = rule_text or getattr(hits, "rule_text", None) or rule.summary_line(n_days)

    shown = ranked.head(top)
    lfsr = shown[names.day_columns(names.LFSR, n_days)].to_numpy(dtype=float).ravel()
    effect = shown[names.day_columns(names.POSTMEAN, n_days)].to_numpy(dtype=float).ravel()
    own = ax is None
    ax = new_axes(3.6 + 0.62 * n_days, 1.6 + 0.27 * len(shown)) if ax is None else ax
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
    called = active(shown, rule).ravel()
    ax.scatter(
        day[called],
        row[called],
        s=_area(lfsr[called]),
        facecolors="none",
        edgecolors="black",
        linewidths=0.9,
        zorder=3,
    )
    n_hits = int(ranked[names.HIT_ANYDAY].sum())
    ax.set_title(f"{n_hits} of {len(ranked)} genes are hits ({rule_text} on a day)", fontsize=10, loc="left")
    ax.set_xticks(np.arange(n_days), [literal(label) for label in day_labels])
    ax.set_yticks(np.arange(len(shown)), [literal(gene) for gene in shown[names.GENE]], fontsize=8)
    ax.set(xlim=(-0.6, n_days - 0.4), ylim=(len(shown) - 0.4, -0.6))
    ax.grid(color="#eeeeee", zorder=0)
    ax.set_axisbelow(True)
    without_frame(ax)
    bar = ax.figure.colorbar(
        dots, ax=ax, shrink=min(1.0, 8 / (len(shown) + 1)), aspect=14, anchor=(0, 1), pad=0.03
    )
    bar.set_label(literal(f"effect, logit {fate} against {against}") if fate else "effect, logit", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    _size_legend(ax, own)
    return ax


def _area(lfsr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of a dot in square points."""
    import numpy as np

    return 8 + 20 * -np.log10(np.maximum(lfsr, LEAST_LFSR))


def _size_legend(ax: Axes, own: bool) -> None:
    """Show which size means which lfsr: below the figure where it is ours, else below the Axes."""
    import numpy as np

    sizes = [
        ax.scatter([], [], s=float(_area(np.array(level))), color="#888888", label=f"{level:g}")
        for level in SHOWN_LFSR
    ]
    style: dict[str, Any] = {
        "handles": sizes,
        "title": "lfsr; ring: called",
        "title_fontsize": 8,
        "fontsize": 8,
        "frameon": False,
        "ncols": len(SHOWN_LFSR),
        "columnspacing": 0.8,
        "handletextpad": 0.2,
    }
    if own:
        ax.figure.legend(**style, loc="outside lower left")
    else:
        ax.legend(**style, loc="upper left", bbox_to_anchor=(0, -0.06))

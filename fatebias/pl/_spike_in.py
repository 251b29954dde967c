"""The power check: the share of known effects that is called, by size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

GOAL = 0.8  # the power that the dashed line marks


def spike_in(by_size: pd.DataFrame | Sequence[Mapping[str, Any]], *, ax: Axes | None = None) -> Axes:
    """Draw the share of known effects that is called, by size, and return the Axes.

    Parameters
    ----------
    by_size
        One row (or mapping) for each size and pattern: ``size`` in logits, ``days`` (``one`` or ``all``),
        ``power`` and its interval ``power_low``, ``power_high``; ``by_size`` of the stage ``spike_in`` in
        run.json.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With a curve for effects on one day and one for effects on all days, where there are such.

    Examples
    --------
    >>> from fatebias import pl
    >>> interval = {"power_low": 0.1, "power_high": 0.9}
    >>> ax = pl.spike_in([{"size": s, "days": "all", "power": s, **interval} for s in (0.2, 0.4, 0.8)])
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['0.2', '0.4', '0.8']
    """
    import pandas as pd

    from fatebias.pl.save import new_axes, without_frame

    own = ax is None
    ax = new_axes(4.6, 3.4) if ax is None else ax
    table = pd.DataFrame(by_size)
    ax.axhline(GOAL, color="#bbbbbb", lw=0.8, ls="--")
    for days, label, colour, shift in (  # shifted a little, so that the intervals do not hide one another
        ("one", "on one day", "#4477aa", 0.98),
        ("all", "on all days: called on any", "#cc6677", 1.02),
    ):
        curve = table[table["days"] == days]
        if curve.empty:
            continue
        size, power, low, high = (
            curve[key].to_numpy(dtype=float) for key in ("size", "power", "power_low", "power_high")
        )
        ax.errorbar(
            size * shift, power, [power - low, high - power], fmt="o-", ms=4, lw=1, color=colour, label=label
        )
    sizes = sorted(set(table["size"]))
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.minorticks_off()
    ax.set(
        title="Known effects in NTC pseudo-genes",
        xlabel="|effect|, logit",
        ylabel="share called, right sign",
        ylim=(-0.02, 1.02),
    )
    if own:  # below the Axes, clear of the intervals
        ax.figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    else:
        ax.legend(frameon=False, fontsize=8)
    without_frame(ax)
    return ax

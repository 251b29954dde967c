"""The weight of a soft label that the data suggest, by each way to find it and by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def weight(calibration: Mapping[str, Any], used: float | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the weights that the scatter of labels suggests and the one that was used; return the Axes.

    Parameters
    ----------
    calibration
        ``calibration.json`` or ``fit.weight``: ``estimates`` with ``weight``, ``low`` and ``high`` of each
        way, and ``by_day``.
    used
        The weight of the fit (``fit.likelihood_weight``), a dashed line.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        One row for each way, with its interval where it has one, then one for each day; logarithmic.

    Raises
    ------
    ValueError
        When there is no weight to draw.

    Examples
    --------
    >>> from fatebias import pl
    >>> ways = {"dispersion": {"weight": 20.0, "low": 18.0, "high": 22.0}}
    >>> ax = pl.weight({"estimates": ways, "by_day": {"d0": 19.0}}, used=1.0)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['dispersion', 'd0']
    """
    from fatebias.pl._ranking import DOWN
    from fatebias.pl.save import literal, new_axes, without_frame

    ways = [
        (name, found["weight"], found.get("low"), found.get("high"))
        for name, found in (calibration.get("estimates") or {}).items()
        if found.get("weight")
    ]
    days = [(str(day), found, None, None) for day, found in (calibration.get("by_day") or {}).items()]
    rows = [*ways, *days]
    if not rows:
        raise ValueError("the calibration has no weight: it needs estimates or by_day")
    ax = new_axes(4.8, 1.2 + 0.3 * len(rows)) if ax is None else ax
    for at, (_, found, low, high) in enumerate(rows):
        if low and high:
            ax.plot([low, high], [at, at], color="#56606b", lw=1.2)
        ax.plot(found, at, "o" if at < len(ways) else "s", color=DOWN, ms=5)
    if used:
        ax.axvline(used, color="#333333", lw=1, ls="--", label=f"used: {used:.3g}")
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    ax.set_xscale("log")
    values = [each for row in rows for each in row[1:] if each] + ([used] if used else [])
    ax.set_xlim(min(values) / 1.3, max(values) * 1.3)
    ax.xaxis.set_major_locator(_few_ticks(min(values), max(values)))
    ax.xaxis.set_minor_formatter("")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_yticks(range(len(rows)), [literal(name) for name, *_ in rows], fontsize=8)
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="weight of a soft label")
    ax.set_title("Weight that the data suggest", fontsize=10, loc="left")
    without_frame(ax)
    return ax


def _few_ticks(low: float, high: float) -> Any:
    """Return places for ticks: decades, and steps between where there are hardly any."""
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1.0,) if high / low > 300 else (1.0, 2.0, 5.0))

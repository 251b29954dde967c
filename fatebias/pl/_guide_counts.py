"""Counts of guides, with the threshold above which one is present, and how many each cell holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

BLUE, RED, GREY = "#4477aa", "#cc3311", "#bbbbbb"


def guides_figure(counts: ArrayLike, held: ArrayLike, threshold: float | None = None) -> Figure:
    """Return a figure of how often each positive count (E,) occurs, and of the guides that cells (N,) hold.

    A guide is present above `threshold`, None where guides are called; over the counts is the mixture of
    ambient ones and guides that offers a threshold, where the two part.
    """
    import numpy as np

    from fatebias.pl.save import new_figure, without_frame

    entries, per_cell = np.asarray(counts, dtype=np.float64), np.asarray(held, dtype=np.int64)
    counted = entries.size > 0 and entries.max() > 1
    figure = new_figure(9 if counted else 4.5, 3.2)
    axes = figure.subplots(1, 2 if counted else 1, squeeze=False)[0]
    if counted:
        left = axes[0]
        value, number = np.unique(entries, return_counts=True)
        left.plot(value, number, "o", ms=3, color=GREY, label="entries")
        if threshold is not None and threshold > 0:
            _draw_mixture(left, value, number)
            left.axvline(threshold + 0.5, color="black", lw=1, ls="--")
            left.set_title(f"a guide is present above {threshold:g}")
        left.set(xscale="log", yscale="log", xlabel="UMIs of a guide in a cell", ylabel="entries")
        left.set_ylim(0.5, 3 * number.max())
        left.legend(frameon=False, fontsize=8)
    right = axes[-1]
    cells = np.bincount(per_cell)
    right.bar(np.arange(cells.size), cells, color=BLUE)
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel="guides a cell", ylabel="cells", title=f"{per_cell.mean():.2f} guides a cell")
    for ax in axes:
        without_frame(ax)
    return figure


def _draw_mixture(ax: Axes, value: NDArray[np.float64], number: NDArray[np.int64]) -> None:
    """Draw the two parts of the mixture that a threshold is offered from."""
    import numpy as np

    from fatebias.data.reading.ambient import fit_mixture

    if (value != np.floor(value)).any():  # probabilities of guides
        return
    parts = fit_mixture(np.repeat(value, number))
    if parts.threshold is None:
        return
    every = np.unique(np.round(np.geomspace(1, value.max(), 200))).astype(np.float64)
    for name, log_share, colour in (
        ("ambient", parts.log_ambient(every), RED),
        ("guides", parts.log_guide(every), BLUE),
    ):
        ax.plot(every, number.sum() * np.exp(log_share), lw=1.4, color=colour, label=name)

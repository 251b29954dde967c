"""The loss of a fit by step."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREY = "#4477aa", "#bbbbbb"


def loss(trace: pd.DataFrame, *, tail: bool = False, ax: Axes | None = None) -> Axes:
    """Draw the loss of a fit by step and return the Axes.

    Parameters
    ----------
    trace
        Columns ``step`` and ``loss`` (as in ``loss_trace.csv``); steps without a finite loss are left out.
    tail
        Draw the second half alone, with its running mean over a twentieth of its steps: a fit that has
        converged is level there.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With one line, or two for the tail.

    Examples
    --------
    >>> import pandas as pd
    >>> from fatebias import pl
    >>> trace = pd.DataFrame({"step": range(100), "loss": [50 / (1 + step) for step in range(100)]})
    >>> ax = pl.loss(trace)
    >>> ax.get_xlabel()
    'step'
    """
    import numpy as np

    from fatebias.pl.save import new_axes, without_frame

    ax = new_axes(4.5, 3.2) if ax is None else ax
    trace = trace[np.isfinite(trace["loss"])]
    if tail:
        trace = trace.iloc[len(trace) // 2 :]
        window = max(1, len(trace) // 20)
        ax.plot(trace["step"], trace["loss"], lw=0.5, color=GREY)
        ax.plot(trace["step"], trace["loss"].rolling(window, min_periods=1).mean(), lw=1.4, color=BLUE)
        ax.set(title=f"Second half, and its mean over {window} steps", xlabel="step")
    else:
        ax.plot(trace["step"], trace["loss"], lw=0.8, color=BLUE)
        ax.set(title="Loss", xlabel="step", ylabel="loss")
    # Losses are large and move little at the end: an offset beside the axis would hide that.
    ax.ticklabel_format(axis="y", style="plain", useOffset=False)
    without_frame(ax)
    return ax


def loss_figure(trace: pd.DataFrame, judged: str | None = None) -> Figure:
    """Return a figure of the whole trace with its tail beside it; `judged` is a line below."""
    from fatebias.pl.save import literal, new_figure

    figure = new_figure(9, 3.2 if judged is None else 3.5)
    whole, tail = figure.subplots(1, 2)
    loss(trace, ax=whole)
    loss(trace, tail=True, ax=tail)
    if judged is not None:
        figure.supxlabel(literal(textwrap.fill(judged, 130)), fontsize=8, x=0.01, ha="left")
    return figure

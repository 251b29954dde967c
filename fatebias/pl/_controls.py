"""The calibration check: z scores of NTC pseudo-genes against a standard normal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def controls(z: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw the z scores of NTC pseudo-genes against normal quantiles and return the Axes.

    Points within the grey band are what a calibrated fit gives: at each rank it holds 95 % of the order
    statistics of a standard normal (the rank's uniform quantile is Beta(rank, n - rank + 1)).

    Parameters
    ----------
    z
        ``betahat / se`` of each pseudo-gene and day (columns of ``controls.csv``), any shape; n in all.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With one point a score.

    Examples
    --------
    >>> import numpy as np
    >>> from fatebias import pl
    >>> ax = pl.controls(np.random.default_rng(0).standard_normal(40))
    >>> len(ax.lines[1].get_xdata())
    40
    """
    import numpy as np
    from scipy.special import betaincinv, ndtri

    from fatebias.pl.save import new_axes, without_frame

    ax = new_axes(4.2, 4) if ax is None else ax
    found = np.sort(np.asarray(z, dtype=float), axis=None)
    n = len(found)
    rank = np.arange(1, n + 1)
    expected = ndtri((rank - 0.5) / n)
    low, high = (ndtri(betaincinv(rank, n - rank + 1, at)) for at in (0.025, 0.975))
    ax.fill_between(expected, low, high, color="#dddddd", lw=0, label="95 % if all is well")
    ax.plot(expected, expected, color="#888888", lw=0.8)
    ax.plot(expected, found, ".", color="#4477aa", label="pseudo-gene and day")
    ax.set(title="NTC pseudo-genes", xlabel="z expected of no effect", ylabel="z found")
    ax.legend(frameon=False, fontsize=8)
    without_frame(ax)
    return ax

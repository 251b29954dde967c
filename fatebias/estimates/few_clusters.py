"""Robust errors of theta where few clusters of cells, such as clones, are behind a gene or a guide.

Two things then go wrong. A variance from n clusters is too small and scatters. And the clones that carry one
guide move it together, which the model takes for a spread of guides, while the scores show the same noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fatebias.estimates.sandwich import Sandwich

Array = NDArray[np.float64]

# With fewer clusters behind a gene no factor makes its error trustworthy.
FEWEST_TO_CORRECT = 5.0


def robust_theta(cells: Sandwich) -> Array:
    """Return the robust covariance of each gene's effects, (L, F* D, F* D), corrected for few clusters."""
    design = cells.design
    index = design.theta_index.reshape(len(design.theta_index), -1)
    if not cells.clustered:
        return cells.robust(index)
    enlarged = few_clusters_factor(cells.clusters_behind[index % design.per_fate])
    kept = np.ones(design.size)
    kept[design.delta_index] = guide_share(cells)
    return cells.robust(index, enlarged=enlarged, kept=kept)


def few_clusters_factor(n: Array) -> Array:
    """Return by how much variances from n clusters are enlarged.

    ``n / (n - 1)`` takes out their bias, and ``(n - 1) / (n - 3)``, the variance of Student's t, lets a
    normal take the place of t with n - 1 degrees of freedom (Bell and McCaffrey 2002, Survey Methodology
    28:169).
    """
    enough = np.maximum(n, FEWEST_TO_CORRECT)
    return np.asarray(enough / (enough - 3))


def guide_share(cells: Sandwich) -> Array:
    """Return how much of the fitted variance of guides is theirs and not their clusters' noise, (F*,).

    With C the inverse Hessian and q the precision of guides, deviations are fitted as (1 - C q) delta plus
    C times the scores. The sum of their squares is the variance of guides times that of (1 - C q), and the
    scores' variance along C; what the first leaves of 1 / q is the share, between 0 and 1.
    """
    design, precision = cells.design, cells.precision.diagonal()
    shares = []
    for place in design.delta_index.T:  # (G,) of each fate
        columns = np.ascontiguousarray(cells.covariance[:, place])
        n = np.maximum(cells.clusters_behind[place % design.per_fate], 2.0)
        noise = cells.weight**2 * (cells.along(columns) ** 2).sum(axis=0) * n / (n - 1)
        passed = np.eye(len(place)) - columns[place] * precision[place]
        own = ((cells.flat[place] ** 2).sum() - noise.sum()) / (passed**2).sum()
        shares.append(np.clip(own * precision[place[0]], 0.0, 1.0))
    return np.array(shares)

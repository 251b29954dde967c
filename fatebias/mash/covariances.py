"""The mixture's components: canonical covariance patterns times a grid of scales, and a point mass at zero.

Urbut et al. 2019, doi 10.1038/s41588-018-0268-8, equation 1: the effects b of one gene over days follow
p(b) = sum_kl pi_kl N(b; 0, w_l^2 U_k) over patterns U_k and scales w_l.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRID_STEP = math.sqrt(2.0)
HETEROGENEITY = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Components:
    """Patterns and scales; component 0 is the null, then every pattern at scale 0, at scale 1, and so on."""

    patterns: dict[str, Array]  # covariance patterns U, (D, D), positive semi-definite, largest diagonal 1
    scales: Array  # (scales,) standard deviations w

    @property
    def names(self) -> list[str]:
        """Name the components as R's mashr does: ``null``, then ``PATTERN.SCALE`` counted from 1."""
        return ["null"] + [f"{name}.{i + 1}" for i in range(len(self.scales)) for name in self.patterns]

    @property
    def covariances(self) -> Array:
        """Return w^2 U of each component, (P, D, D), in the order of `names`; zeros for the null."""
        patterns = np.array(list(self.patterns.values()))  # (K, D, D)
        n_days = patterns.shape[-1]
        scaled = self.scales[:, None, None, None] ** 2 * patterns
        return np.concatenate([np.zeros((1, n_days, n_days)), scaled.reshape(-1, n_days, n_days)])


def canonical(n_days: int) -> dict[str, Array]:
    """Return mashr's canonical patterns: independent, one day alone, equal, and equal up to heterogeneity.

    Parameters
    ----------
    n_days
        Number of days D.

    Returns
    -------
    dict of str to ndarray
        D + 5 patterns, each (D, D), under the names of R's `cov_canonical`.

    Examples
    --------
    >>> list(canonical(2))[:4]
    ['identity', 'betahat_d0', 'betahat_d1', 'equal_effects']
    """
    one, all_days = np.eye(n_days), np.ones((n_days, n_days))
    singles = {column: np.diag(one[d]) for d, column in enumerate([f"betahat_d{d}" for d in range(n_days)])}
    simple_het = {
        f"simple_het_{i}": rho * all_days + (1 - rho) * one for i, rho in enumerate(HETEROGENEITY, start=1)
    }
    return {"identity": one, **singles, "equal_effects": all_days, **simple_het}


def normalised(patterns: dict[str, Array]) -> dict[str, Array]:
    """Scale each pattern so that its largest diagonal element is 1; the grid then carries the size.

    A pattern of zeros stays as it is.
    """
    return {name: u / (np.diag(u).max() or 1.0) for name, u in patterns.items()}


def select_scales(bhat: Array, shat: Array) -> Array:
    """Return the grid of scales, (scales,), that R's mashr and ashr choose from the data.

    It runs in steps of sqrt(2) from a tenth of the smallest standard error, below which an effect cannot be
    told from none, to twice the largest effect beyond its error.
    """
    smallest = shat.min() / 10
    excess = (bhat**2 - shat**2).max()
    largest = 2 * math.sqrt(excess) if excess > 0 else 8 * smallest
    steps = math.ceil(math.log2(largest / smallest) / math.log2(GRID_STEP))
    # R counts (-steps):0, which runs downwards from a positive number when `largest` is below `smallest`.
    powers = np.arange(-steps, 1) if steps >= 0 else np.arange(-steps, -1, -1)
    return np.asarray(largest * GRID_STEP**powers, dtype=np.float64)

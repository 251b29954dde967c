"""The mixture's components: covariance patterns times a grid of scales, and a point mass at zero.

Urbut et al. 2019, doi 10.1038/s41588-018-0268-8, equation 1: the effects b of one gene over days follow
p(b) = sum_kl pi_kl N(b; 0, w_l^2 U_k) over patterns U_k and scales w_l.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRID_STEP = math.sqrt(2.0)
HETEROGENEITY = (0.25, 0.5, 0.75)
# Up to this many days every subset of them has a pattern (25 for five days); beyond it, contiguous runs.
ALL_SUBSETS = 5


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


def day_patterns(n_days: int) -> dict[str, Array]:
    """Return the canonical patterns and those of effects that some days have and others lack, or that flip.

    Under every canonical pattern an effect is on one day or on all, and days never differ in sign, so that a
    gene with an effect on two days of four has one on the others too. Here come, without those that a
    canonical pattern equals already:

    - ``days_d1_d2``: independent effects on 2 to D - 1 days, zero on the others; all such sets up to five
      days, contiguous ones beyond.
    - ``flip_d2``: one effect, +1 before day 2 and -1 from it.
    - ``onset_d2``: one effect from day 2, zero before.
    - ``offset_d2``: one effect before day 2, zero from it.

    Parameters
    ----------
    n_days
        Number of days D, in the order of time.

    Returns
    -------
    dict of str to ndarray
        The patterns of `canonical` first, then these, each (D, D): 26 for four days.

    Notes
    -----
    Sets of conditions with an effect are the configurations of Flutre, Wen, Pritchard and Stephens 2013,
    doi 10.1371/journal.pgen.1003486; the steps are for conditions that have an order.

    Examples
    --------
    >>> list(day_patterns(3))[8:]
    ['days_d0_d1', 'days_d0_d2', 'days_d1_d2', 'flip_d1', 'flip_d2', 'onset_d1', 'offset_d2']
    """
    patterns = canonical(n_days)
    for name, u in (*_subsets(n_days), *_steps(n_days)):
        if not any(np.array_equal(u, other) for other in patterns.values()):
            patterns[name] = u
    return patterns


def _subsets(n_days: int) -> Iterator[tuple[str, Array]]:
    """Yield independent effects on some days, the fewest first."""
    for size in range(2, n_days):
        runs = ((*range(first, first + size),) for first in range(n_days - size + 1))
        for days in combinations(range(n_days), size) if n_days <= ALL_SUBSETS else runs:
            yield "days_" + "_".join(f"d{d}" for d in days), np.diag(np.isin(np.arange(n_days), days) * 1.0)


def _steps(n_days: int) -> Iterator[tuple[str, Array]]:
    """Yield one effect that changes once, on the day in its name: flips, onsets, offsets."""
    for name, before, after in (("flip", 1.0, -1.0), ("onset", 0.0, 1.0), ("offset", 1.0, 0.0)):
        for day in range(1, n_days):
            effect = np.where(np.arange(n_days) < day, before, after)
            yield f"{name}_d{day}", np.outer(effect, effect)


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

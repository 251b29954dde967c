"""Adaptive shrinkage day by day: the univariate case of mash, as R's ashr with normal components.

Stephens 2017, Biostatistics 18:275, doi 10.1093/biostatistics/kxw041. Each day has its own grid and
weights, and nothing is shared between days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.mash.mash import MashFit, mash
from fatebias.mash.moments import Posterior

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AshFit:
    """Posterior by gene and day, with the fits of the single days.

    Parameters
    ----------
    posterior
        Fields (L, D).
    qvalues
        Tail false discovery rate by gene and day, (L, D).
    days
        One univariate fit a day.
    """

    posterior: Posterior
    qvalues: Array
    days: tuple[MashFit, ...]

    @property
    def pi(self) -> dict[str, float]:
        """Weights above zero, named ``dDAY.COMPONENT``."""
        return {f"d{d}.{name}": w for d, day in enumerate(self.days) for name, w in day.pi.items()}

    @property
    def loglik(self) -> float:
        """Sum of the days' log-likelihoods."""
        return sum(day.loglik for day in self.days)


def ash(bhat: Array, shat: Array, null_weight: float) -> AshFit:
    """Shrink each day by itself.

    Parameters
    ----------
    bhat, shat
        Estimates and standard errors, (L, D), finite, `shat` positive.
    null_weight
        Weight of the prior on the point mass at zero; 1 is the uniform prior.

    Returns
    -------
    AshFit
        Posterior, q values and the days' fits.
    """
    one = np.eye(1)
    days = tuple(
        mash(bhat[:, [d]], shat[:, [d]], one, {"normal": one}, null_weight) for d in range(bhat.shape[1])
    )
    fields = ("mean", "sd", "negative", "positive", "zero")
    together = Posterior(
        *(np.concatenate([getattr(day.posterior, name) for day in days], axis=1) for name in fields)
    )
    return AshFit(together, q_values(together.zero), days)


def q_values(lfdr: Array) -> Array:
    """Average the local false discovery rates of all genes at least as sure, column by column.

    Parameters
    ----------
    lfdr
        Probability of no effect, (L, D).

    Returns
    -------
    ndarray
        (L, D), as ashr's `qval.from.lfdr`.
    """
    order = lfdr.argsort(axis=0, kind="stable")
    ranks = np.arange(1, len(lfdr) + 1)[:, None]
    means = np.take_along_axis(lfdr, order, axis=0).cumsum(axis=0) / ranks
    result = np.empty_like(lfdr)
    np.put_along_axis(result, order, means, axis=0)
    return result

"""Adaptive shrinkage day by day: the univariate case of mash, as R's ashr with normal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.mash.joint import JointPosterior
from fatebias.mash.shrink import MashResult, check_input, shrink

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AshResult(MashResult):
    """Posterior of the effects of L genes on D days, each day with its own mixture.

    Attributes are those of `MashResult`; `loglik` is the sum over days, components in `pi` are named
    ``dDAY.COMPONENT``, and ``joint.priors`` has one mixture a day.
    """

    @property
    def qvalue(self) -> Array:
        """Tail false discovery rate by gene and day, (L, D)."""
        return q_values(self.zero)


def ash(bhat: Array, shat: Array, *, prior: str = "nullbiased", nullweight: float = 10.0) -> AshResult:
    """Return the posterior of effects that share information across genes, each day by itself.

    For each day bhat_j | b_j ~ N(b_j, s_j^2) and b_j ~ pi_0 delta_0 + sum_l pi_l N(0, w_l^2), with the grid
    and the penalised weights of `mash`.

    Parameters
    ----------
    bhat, shat
        Estimates and standard errors, (L, D), finite, `shat` positive.
    prior, nullweight
        As in `mash`.

    Returns
    -------
    AshResult
        Posterior means, SDs, sign probabilities and q values, (L, D), and one mixture a day.

    Raises
    ------
    DiscoveryError
        As `mash`.

    References
    ----------
    Stephens 2017, Biostatistics 18:275, doi 10.1093/biostatistics/kxw041.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> b = rng.normal(0, 3, (300, 1)) * (rng.random((300, 1)) < 0.3)
    >>> fit = ash(b + rng.normal(size=b.shape), np.ones(b.shape))
    >>> bool((b[fit.qvalue < 0.01] != 0).all())
    True
    """
    bhat, shat = np.asarray(bhat, dtype=np.float64), np.asarray(shat, dtype=np.float64)
    check_input(bhat, shat, prior)
    weight = nullweight if prior == "nullbiased" else 1.0
    one, alone = {"normal": np.eye(1)}, np.eye(1)
    days = [shrink(bhat[:, [d]], shat[:, [d]], alone, one, weight) for d in range(bhat.shape[1])]

    def by_day(name: str) -> Array:
        return np.concatenate([getattr(day, name) for day in days], axis=1)

    return AshResult(
        mean=by_day("mean"),
        sd=by_day("sd"),
        negative=by_day("negative"),
        positive=by_day("positive"),
        zero=by_day("zero"),
        loglik=sum(day.loglik for day in days),
        pi={f"d{d}.{name}": w for d, day in enumerate(days) for name, w in day.pi.items()},
        joint=JointPosterior(bhat, shat, np.eye(len(days)), tuple(day.prior for day in days)),
    )


def q_values(lfdr: Array) -> Array:
    """Average the local false discovery rates of all genes at least as sure, by column, (L, D).

    As ashr's ``qval.from.lfdr``.
    """
    order = lfdr.argsort(axis=0, kind="stable")
    ranks = np.arange(1, len(lfdr) + 1)[:, None]
    means = np.take_along_axis(lfdr, order, axis=0).cumsum(axis=0) / ranks
    result = np.empty_like(lfdr)
    np.put_along_axis(result, order, means, axis=0)
    return result

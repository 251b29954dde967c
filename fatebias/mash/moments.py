"""Posterior of every effect from its components: mean, standard deviation, probability of each sign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fatebias.mash.covariances import Components
from fatebias.mash.likelihood import Directions, moments

Array = NDArray[np.float64]

# Components with less weight are left out of the posterior, as in R's mashr (`pi_thresh`).
NEGLIGIBLE_WEIGHT = 1e-10


@dataclass(frozen=True)
class Posterior:
    """Effects of L genes on D days, each field (L, D).

    Parameters
    ----------
    mean, sd
        Posterior mean and standard deviation.
    negative, positive, zero
        Probabilities of each sign and of no effect; they sum to 1.
    """

    mean: Array
    sd: Array
    negative: Array
    positive: Array
    zero: Array

    @property
    def lfsr(self) -> Array:
        """Local false sign rate: the probability that the likelier sign is wrong (Stephens 2017)."""
        return np.asarray(np.minimum(self.zero + np.minimum(self.negative, self.positive), 1))


def posterior(
    log_lik: Array, weights: Array, patterns: list[Directions], components: Components
) -> Posterior:
    """Mix the components' normal posteriors by Bayes' theorem (Urbut et al. 2019, Methods).

    p(b | bhat) = sum_p m_p N(b; mu_p, Sigma_p) with m_p proportional to pi_p times the density of bhat.

    Parameters
    ----------
    log_lik
        Log densities, (L, P).
    weights
        pi, (P,).
    patterns
        One entry a pattern of `components`, in its order.
    components
        Patterns and scales.

    Returns
    -------
    Posterior
        By gene and day.
    """
    kept = np.flatnonzero(weights > NEGLIGIBLE_WEIGHT)
    joint = weights[kept] * np.exp(log_lik[:, kept] - log_lik[:, kept].max(axis=1, keepdims=True))
    membership = joint / joint.sum(axis=1, keepdims=True)  # (L, kept)
    n_genes, n_days = len(log_lik), patterns[0].loadings.shape[1]
    means, variances = np.zeros((2, len(kept), n_genes, n_days))
    for i, component in enumerate(kept):
        if component > 0:
            scale, pattern = divmod(int(component) - 1, len(patterns))
            means[i], variances[i] = moments(patterns[pattern], float(components.scales[scale]))

    def mixed(by_component: Array) -> Array:
        return np.einsum("lk,kld->ld", membership, by_component)

    sds = np.sqrt(variances)
    t = np.divide(means, sds, out=np.zeros_like(means), where=sds > 0)
    mean = mixed(means)
    return Posterior(
        mean=mean,
        # Around the mixture's mean: E[b^2] - E[b]^2 loses every digit where |mean| is far above sd.
        sd=np.sqrt(mixed(variances + (means - mean) ** 2)),
        negative=mixed(np.where(sds > 0, ndtr(-t), 0)),
        positive=mixed(np.where(sds > 0, ndtr(t), 0)),
        zero=mixed((sds == 0).astype(np.float64)),
    )

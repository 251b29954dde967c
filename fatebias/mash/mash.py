"""Multivariate adaptive shrinkage: the method of R's mashr, in numpy and scipy.

Urbut, Wang, Carbonetto and Stephens 2019, Nature Genetics 51:187, doi 10.1038/s41588-018-0268-8. Estimates of
one gene over D days are normal around its effects; effects follow a mixture of centred normals whose
patterns are given, whose scales form a grid and whose weights are estimated from all genes together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fatebias.mash.covariances import Components, normalised, select_scales
from fatebias.mash.joint import Prior
from fatebias.mash.likelihood import directions, log_likelihoods, whiten
from fatebias.mash.mixture import penalised_weights
from fatebias.mash.moments import Posterior, posterior

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MashFit:
    """A fitted mixture and the posterior of every effect.

    Parameters
    ----------
    posterior
        By gene and day.
    components
        Patterns and scales.
    weights
        pi, in the order of ``components.names``.
    loglik
        Log-likelihood of all genes under the fitted mixture, without the penalty, as mashr gives it.
    """

    posterior: Posterior
    components: Components
    weights: Array
    loglik: float

    @property
    def pi(self) -> dict[str, float]:
        """Weights above zero by component name."""
        return {name: float(w) for name, w in zip(self.components.names, self.weights, strict=True) if w > 0}

    @property
    def prior(self) -> Prior:
        """The mixture with the components that have weight."""
        kept = self.weights > 0
        return Prior(self.weights[kept], self.components.covariances[kept])


def mash(bhat: Array, shat: Array, v: Array, patterns: dict[str, Array], null_weight: float) -> MashFit:
    """Fit the mixture's weights and compute every posterior.

    Parameters
    ----------
    bhat, shat
        Estimates and standard errors, (L, D), finite, `shat` positive.
    v
        Correlation of errors, (D, D) for all genes or (L, D, D), positive definite.
    patterns
        Covariance patterns by name, each (D, D).
    null_weight
        Weight of the prior on the null component: mashr's ``nullweight``; 1 is the uniform prior.

    Returns
    -------
    MashFit
        Weights, log-likelihood and posterior.
    """
    components = Components(normalised(patterns), select_scales(bhat, shat))
    data = whiten(bhat, shat, v)
    seen = [directions(data, u) for u in components.patterns.values()]
    log_lik = log_likelihoods(data, seen, components)
    weights = penalised_weights(log_lik, null_weight)
    with np.errstate(divide="ignore"):
        loglik = float(logsumexp(log_lik + np.log(weights), axis=1).sum())
    return MashFit(posterior(log_lik, weights, seen, components), components, weights, loglik)

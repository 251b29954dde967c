"""From estimates and patterns to the posterior of every effect: what `mash` and `ash` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fatebias.errors import DiscoveryError, some
from fatebias.mash.covariances import Components, normalised, select_scales
from fatebias.mash.effect_likelihood import EffectLikelihood
from fatebias.mash.joint import Exact, JointPosterior, Prior, mixture_of
from fatebias.mash.likelihood import directions, log_likelihoods, whiten, whiten_normals
from fatebias.mash.mixture import penalised_weights

Array = NDArray[np.float64]

# Components with less weight are left out of the posterior, as in R's mashr (`pi_thresh`).
NEGLIGIBLE_WEIGHT = 1e-10


@dataclass(frozen=True)
class MashResult:
    """Posterior of the effects of L genes on D days, and the mixture fitted to all genes.

    Attributes
    ----------
    mean, sd
        Posterior mean and standard deviation, (L, D), in the units of the estimates.
    negative, positive, zero
        Probabilities of each sign and of no effect, (L, D); they sum to 1.
    loglik
        Log-likelihood of all genes under the fitted mixture, without the penalty, as mashr reports it.
    pi
        Mixture weights above zero by component: ``null``, then ``PATTERN.SCALE`` with scales counted from 1.
    joint
        The posterior jointly over days.
    notes
        What the user should know, such as data-driven patterns that could not be learnt.
    """

    mean: Array
    sd: Array
    negative: Array
    positive: Array
    zero: Array
    loglik: float
    pi: dict[str, float]
    joint: JointPosterior
    notes: tuple[str, ...] = ()

    @property
    def lfsr(self) -> Array:
        """Local false sign rate, (L, D): the probability that the likelier sign is wrong (Stephens 2017)."""
        return np.asarray(np.minimum(self.zero + np.minimum(self.negative, self.positive), 1))

    @property
    def v(self) -> Array:
        """The correlation of errors used, (D, D) or (L, D, D)."""
        return self.joint.v

    @property
    def prior(self) -> Prior:
        """The fitted mixture, without components of negligible weight."""
        [prior] = self.joint.priors
        return prior


def shrink(
    bhat: Array,
    shat: Array,
    v: Array,
    patterns: Mapping[str, Array],
    nullweight: float,
    notes: tuple[str, ...] = (),
    likelihood: EffectLikelihood | None = None,
) -> MashResult:
    """Fit the mixture with these patterns and return the posterior; `v` is (D, D) or (L, D, D).

    ``likelihood`` is what the data say of the effects where that is more than one normal a gene.
    """
    components = Components(normalised(dict(patterns)), select_scales(bhat, shat))
    data = whiten(bhat, shat, v) if likelihood is None else whiten_normals(likelihood)
    seen = [directions(data, u) for u in components.patterns.values()]
    log_lik = log_likelihoods(data, seen, components)
    weights = penalised_weights(log_lik, nullweight)
    with np.errstate(divide="ignore"):
        loglik = float(logsumexp(log_lik + np.log(weights), axis=1).sum())
    fitted = _prior(components, weights)
    mixture = mixture_of(data, dict(enumerate(seen)), fitted)
    mean, sd = mixture.moments()
    positive, negative = mixture.above(0.0)
    return MashResult(
        mean=mean,
        sd=sd,
        negative=negative,
        positive=positive,
        zero=mixture.zero,
        loglik=loglik,
        pi={name: float(w) for name, w in zip(components.names, weights, strict=True) if w > 0},
        joint=JointPosterior(
            bhat, shat, v, (fitted,), None if likelihood is None else Exact(likelihood, fitted)
        ),
        notes=notes,
    )


def check_input(bhat: Array, shat: Array, prior: str) -> None:
    """Refuse arrays that do not fit together, values that cannot be shrunk and an unknown prior."""
    if bhat.ndim != 2 or bhat.shape != shat.shape or not bhat.size:
        raise DiscoveryError(
            "estimates and standard errors must be two matrices of one shape",
            found=f"{bhat.shape} and {shat.shape}",
            allowed="(L, D): a row for each gene, a column for each day",
        )
    if not (np.isfinite(bhat).all() and np.isfinite(shat).all() and (shat > 0).all()):
        good = np.isfinite(bhat) & np.isfinite(shat) & (shat > 0)
        raise DiscoveryError(
            "estimates must be finite, standard errors finite and above zero",
            found=f"other values in rows {some(np.flatnonzero(~good.all(axis=1)).tolist(), 5)}",
            fix="leave these rows out",
        )
    if prior not in ("nullbiased", "uniform"):
        raise DiscoveryError("unknown prior", found=prior, allowed=["nullbiased", "uniform"])


def _prior(components: Components, weights: Array) -> Prior:
    kept = np.flatnonzero(weights > NEGLIGIBLE_WEIGHT)
    n_patterns = len(components.patterns)
    scale, pattern = np.divmod(kept - 1, n_patterns)  # component 0 is the null
    scales = np.where(kept > 0, components.scales[scale], 0.0)
    return Prior(
        weights[kept], np.array(list(components.patterns.values())), np.where(kept > 0, pattern, 0), scales
    )

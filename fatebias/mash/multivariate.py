"""Multivariate adaptive shrinkage: the method of R's mashr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fatebias.errors import DiscoveryError, some
from fatebias.mash.covariances import Components, canonical, normalised, select_scales
from fatebias.mash.deconvolution import N_COMPONENTS, data_driven
from fatebias.mash.joint import JointPosterior, Prior, mixture_of
from fatebias.mash.likelihood import directions, log_likelihoods, whiten
from fatebias.mash.mixture import penalised_weights

Array = NDArray[np.float64]

# Components with less weight are left out of the posterior, as in R's mashr (`pi_thresh`).
NEGLIGIBLE_WEIGHT = 1e-10
# Genes below this lfsr on some day, each day by itself, are the strong ones of the data-driven patterns.
STRONG_LFSR = 0.1
# mash_1by1, which picks the strong genes in R, has its own prior, whatever mash is given.
STRONG_NULL_WEIGHT = 10.0


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


def mash(
    bhat: Array,
    shat: Array,
    *,
    v: Array | None = None,
    prior: str = "nullbiased",
    nullweight: float = 10.0,
    covariances: str | Mapping[str, Array] = "canonical",
) -> MashResult:
    """Return the posterior of effects that share information across genes and days.

    With bhat_j | b_j ~ N(b_j, S_j V S_j) and b_j ~ sum_kl pi_kl N(0, w_l^2 U_k), the weights maximise

        sum_j log p(bhat_j; pi) + (nullweight - 1) log pi_0

    over the simplex, where p(bhat_j; pi) = sum_kl pi_kl N(bhat_j; 0, w_l^2 U_k + S_j V S_j) and pi_0 is the
    weight of the point mass at zero. The posterior of b_j is the mixture that Bayes' theorem yields.

    Parameters
    ----------
    bhat, shat
        Estimates and standard errors, (L, D), finite, `shat` positive, in one unit (such as logits).
    v
        Correlation of errors between days, (D, D) for all genes or (L, D, D), positive definite; None for
        independent errors. `estimate_null_correlation` estimates it.
    prior
        ``nullbiased`` or ``uniform`` (`nullweight` 1).
    nullweight
        Weight of the null under ``nullbiased``, 1 or more.
    covariances
        ``canonical`` for the patterns of `canonical`, ``datadriven`` for those and patterns learnt from the
        genes with lfsr below 0.1 on some day (R's ``cov_pca`` and ``cov_ed``), or patterns by name, (D, D)
        each.

    Returns
    -------
    MashResult
        Posterior means, SDs and sign probabilities, (L, D), and the fitted mixture.

    Raises
    ------
    DiscoveryError
        When the arrays do not fit together, an estimate is not finite, an error is not positive, a choice is
        unknown, or the weights do not converge.
    numpy.linalg.LinAlgError
        When `v` is not positive definite.

    References
    ----------
    Urbut, Wang, Carbonetto and Stephens 2019, Nature Genetics 51:187, doi 10.1038/s41588-018-0268-8.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> b = np.repeat(rng.normal(0, 2, (200, 1)) * (rng.random((200, 1)) < 0.2), 3, axis=1)
    >>> fit = mash(b + 0.3 * rng.normal(size=b.shape), np.full(b.shape, 0.3))
    >>> fit.mean.shape, bool(abs(fit.mean - b).mean() < 0.05)
    ((200, 3), True)
    >>> bool(fit.pi["null"] > 0.5)
    True
    """
    check_input(bhat, shat, prior)
    v = np.eye(bhat.shape[1]) if v is None else v
    patterns, notes = _patterns(bhat, shat, v, covariances)
    components = Components(normalised(patterns), select_scales(bhat, shat))
    data = whiten(bhat, shat, v)
    seen = [directions(data, u) for u in components.patterns.values()]
    log_lik = log_likelihoods(data, seen, components)
    weights = penalised_weights(log_lik, nullweight if prior == "nullbiased" else 1.0)
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
        joint=JointPosterior(bhat, shat, v, (fitted,)),
        notes=notes,
    )


def check_input(bhat: Array, shat: Array, prior: str) -> None:
    """Refuse arrays that do not fit together, values that cannot be shrunk and an unknown prior."""
    if bhat.ndim != 2 or bhat.shape != shat.shape or not bhat.size:
        found = f"{bhat.shape} and {shat.shape}"
        raise DiscoveryError(
            "estimates and standard errors differ in shape", found=found, allowed="both (L, D)"
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


def _patterns(
    bhat: Array, shat: Array, v: Array, covariances: str | Mapping[str, Array]
) -> tuple[dict[str, Array], tuple[str, ...]]:
    from fatebias.mash.univariate import ash  # ash is mash of one day

    if not isinstance(covariances, str):
        return dict(covariances), ()
    if covariances not in ("canonical", "datadriven"):
        raise DiscoveryError("unknown covariances", found=covariances, allowed=["canonical", "datadriven"])
    n_days = bhat.shape[1]
    patterns = canonical(n_days)
    if covariances == "canonical":
        return patterns, ()
    strong = ash(bhat, shat, nullweight=STRONG_NULL_WEIGHT).lfsr.min(axis=1) < STRONG_LFSR
    if min(strong.sum(), n_days) < N_COMPONENTS:
        few = f"{strong.sum()} strong genes on {n_days} day(s), too few for data-driven ones"
        note = f"canonical covariances only: {few}"
        return patterns, (note,)
    return patterns | data_driven(bhat[strong], shat[strong], v if v.ndim == 2 else v[strong]), ()


def _prior(components: Components, weights: Array) -> Prior:
    kept = np.flatnonzero(weights > NEGLIGIBLE_WEIGHT)
    n_patterns = len(components.patterns)
    scale, pattern = np.divmod(kept - 1, n_patterns)  # component 0 is the null
    scales = np.where(kept > 0, components.scales[scale], 0.0)
    return Prior(
        weights[kept], np.array(list(components.patterns.values())), np.where(kept > 0, pattern, 0), scales
    )

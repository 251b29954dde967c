"""Multivariate adaptive shrinkage: the method of R's mashr."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fatebias.errors import DiscoveryError
from fatebias.mash.covariances import canonical, day_patterns
from fatebias.mash.deconvolution import N_COMPONENTS, RANK_ONE, data_driven, penalised
from fatebias.mash.effect_likelihood import EffectLikelihood
from fatebias.mash.shrink import MashResult, check_input, shrink
from fatebias.mash.univariate import ash

Array = NDArray[np.float64]

COVARIANCES = ("canonical", "days", "datadriven", "learnt")
# Genes below this lfsr on some day, each day by itself, are the strong ones of the data-driven patterns.
STRONG_LFSR = 0.1
# mash_1by1, which picks the strong genes in R, has its own prior, whatever mash is given.
STRONG_NULL_WEIGHT = 10.0


def mash(
    bhat: Array,
    shat: Array,
    *,
    v: Array | None = None,
    prior: str = "nullbiased",
    nullweight: float = 10.0,
    covariances: str | Mapping[str, Array] = "canonical",
    rank_one: str = "keep",
    likelihood: EffectLikelihood | None = None,
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
        ``canonical`` for the patterns of `canonical`; ``days`` for those of `day_patterns`, where days have
        an order and an effect may be on some of them alone; ``datadriven`` for the canonical ones and
        patterns learnt from the genes with lfsr below 0.1 on some day (R's ``cov_pca`` and ``cov_ed``);
        ``learnt`` for those of ``days`` and patterns learnt from the same genes with a penalty; or patterns
        by name, (D, D) each.
    rank_one
        What keeps learnt patterns of low rank from deciding all signs: ``keep`` what mashr adds to them, or
        ``mend``, more and in proportion to the errors and to the genes behind each (mashr's issue 91);
        ``datadriven`` alone has such patterns.
    likelihood
        What the data say of the effects where that is several normals a gene, of which `bhat`, `shat` and `v`
        are the moments. It takes the place of N(bhat_j; b_j, S_j V S_j); the moments still choose the grid of
        scales and learn the patterns.

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
    bhat, shat = np.asarray(bhat, dtype=np.float64), np.asarray(shat, dtype=np.float64)
    check_input(bhat, shat, prior)
    v = np.eye(bhat.shape[1]) if v is None else v
    patterns, notes = _patterns(bhat, shat, v, covariances, rank_one)
    return shrink(bhat, shat, v, patterns, nullweight if prior == "nullbiased" else 1.0, notes, likelihood)


def _patterns(
    bhat: Array, shat: Array, v: Array, covariances: str | Mapping[str, Array], rank_one: str
) -> tuple[dict[str, Array], tuple[str, ...]]:
    if not isinstance(covariances, str):
        return dict(covariances), ()
    if covariances not in COVARIANCES:
        raise DiscoveryError("unknown covariances", found=covariances, allowed=COVARIANCES)
    if rank_one not in RANK_ONE:
        raise DiscoveryError("unknown rank_one", found=rank_one, allowed=RANK_ONE)
    n_days = bhat.shape[1]
    patterns = day_patterns(n_days) if covariances in ("days", "learnt") else canonical(n_days)
    if covariances in ("canonical", "days"):
        return patterns, ()
    strong = ash(bhat, shat, nullweight=STRONG_NULL_WEIGHT).lfsr.min(axis=1) < STRONG_LFSR
    if min(strong.sum(), n_days) < N_COMPONENTS:
        kind, more = ("canonical", "data-driven") if covariances == "datadriven" else ("days", "learnt")
        few = f"{strong.sum()} strong genes on {n_days} day(s), too few for {more} ones"
        return patterns, (f"{kind} covariances only: {few}",)
    given = bhat[strong], shat[strong], v if v.ndim == 2 else v[strong]
    return patterns | (penalised(*given) if covariances == "learnt" else data_driven(*given, rank_one)), ()

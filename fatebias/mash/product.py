"""Effects on several fates at once: the product of the fates' own mixtures, and one point mass at no effect.

With b_f the effects of a gene on fate f over D days, and w_fk, U_fk the mixture that mash fitted to f alone,

    p(b_1, ..., b_F) = pi_0 delta_0 + (1 - pi_0) prod_f sum_k w_fk N(b_f; 0, U_fk)

Genes without any effect are shared by the fates; a gene with an effect on one fate may have none on another,
since each product keeps its own null. pi_0 and the weights are found anew, by EM, from the likelihood of all
F x D effects, in which the errors of fates are correlated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from fatebias.errors import DiscoveryError
from fatebias.mash.effect_likelihood import EffectLikelihood
from fatebias.mash.joint import Prior
from fatebias.mash.likelihood import normal_log_density

Array = NDArray[np.float64]

MOST_COMPONENTS = 200  # of the product; each fate keeps its likeliest components, equally many
FEWEST_OF_A_FATE = 3  # the null and two more: with fewer a fate has hardly a mixture
NEGLIGIBLE_WEIGHT = 1e-6  # of components that are left out in the end
LEAST_NULL = 0.02  # weight of no effect to begin with, on all fates and on one
NONE_AT_ALL = 1e-9  # genes with an effect: with fewer there are none whose weights could be found
MOST_ROUNDS = 2000
SETTLED = 1e-9  # change of the mean log-likelihood from round to round


@dataclass(frozen=True)
class FittedProduct:
    """A mixture over the effects on F fates, fate by fate."""

    prior: Prior  # over F x D effects
    parts: NDArray[np.intp]  # (P, F) for each of its components, that of each fate's own prior
    loglik: float  # of all genes, without the penalty


def fit_product(likelihood: EffectLikelihood, priors: Sequence[Prior], nullweight: float) -> FittedProduct:
    """Return the product of the fates' own mixtures with weights that suit all fates at once.

    Parameters
    ----------
    likelihood
        Of the effects (F x D,) of L genes, fate by fate.
    priors
        The mixture of each fate alone, F of them.
    nullweight
        Weight of no effect on any fate, as in `fatebias.mash.mash`.

    Raises
    ------
    DiscoveryError
        Where there are too many fates for a product of a sensible size.
    """
    most = int(MOST_COMPONENTS ** (1 / len(priors)) + 1e-9)
    if most < FEWEST_OF_A_FATE:
        raise DiscoveryError(
            "too many fates for a mixture over all of them",
            where="discovery.fates=together",
            found=f"{len(priors)} fates besides the reference",
            allowed=f"products of {FEWEST_OF_A_FATE} or more components a fate, {MOST_COMPONENTS} in all",
            fix="discovery.fates=alone, or merge fates with data.other_fates",
        )
    factors = [_likeliest(prior, most) for prior in priors]
    parts = np.array(list(product(*(factor.place for factor in factors))))  # (P, F)
    covariances = np.array(
        [block_diag(*each) for each in product(*(factor.covariances for factor in factors))]
    )
    by_gene = np.empty((len(likelihood.rows.first), len(parts)))
    for p, covariance in enumerate(covariances):
        by_gene[:, p] = likelihood.rows.log_sum(normal_log_density(likelihood, covariance))
    weights, loglik = _fit_weights(by_gene, [factor.weights for factor in factors], nullweight)
    kept = np.flatnonzero(weights > NEGLIGIBLE_WEIGHT)
    prior = Prior.of(weights[kept] / weights[kept].sum(), covariances[kept])
    return FittedProduct(prior, parts[kept], loglik)


@dataclass(frozen=True)
class _Factor:
    """The components of one fate's prior that enter the product, its null first."""

    place: NDArray[np.intp]  # (K,) in the prior; -1 where it has no null
    weights: Array  # (K,)
    covariances: Array  # (K, D, D)


def _likeliest(prior: Prior, most: int) -> _Factor:
    null = prior.scales == 0
    some = np.flatnonzero(~null)
    some = some[np.argsort(-prior.weights[some], kind="stable")][: most - 1]
    place = np.append(np.flatnonzero(null)[:1] if null.any() else -1, some).astype(np.intp)
    weights = np.append(prior.weights[null].sum(), prior.weights[some])
    nothing = np.zeros((1, prior.n_days, prior.n_days))
    return _Factor(place, weights / weights.sum(), np.concatenate([nothing, prior.covariances[some]]))


def _fit_weights(by_gene: Array, alone: Sequence[Array], nullweight: float) -> tuple[Array, float]:
    """Return the weights of all products, (P,), the first of which is no effect, and the log-likelihood.

    ``by_gene``, (L, P), are log-likelihoods; ``alone`` each fate's own weights, (K_f,), null first.
    """
    highest = by_gene.max(axis=1)
    lik = np.exp(by_gene - highest[:, None])  # (L, P)
    shape = tuple(len(weights) for weights in alone)
    share = max(min(weights[0] for weights in alone), LEAST_NULL)  # without any effect
    by_fate = [_given_some(weights, share) for weights in alone]
    no_effect = np.eye(1, lik.shape[1])[0]
    before = -np.inf
    for _ in range(MOST_ROUNDS):
        some = (1 - share) * _product(by_fate)  # (P,) of genes with an effect on some fate
        weights = some + share * no_effect
        fitted = lik @ weights
        loglik = float(np.log(fitted).sum())
        penalty = (nullweight - 1) * np.log(share) if nullweight > 1 else 0.0
        objective = (loglik + penalty) / len(lik)
        if objective - before < SETTLED:
            break
        before = objective
        expected = lik.T @ (1 / fitted)
        none = share * expected[0]  # genes without any effect
        counts = some * expected  # (P,)
        share = (none + nullweight - 1) / (len(lik) + nullweight - 1)
        if counts.sum() < NONE_AT_ALL:
            break
        grid = counts.reshape(shape)
        for f in range(len(shape)):
            own = grid.sum(axis=tuple(i for i in range(len(shape)) if i != f))
            by_fate[f] = own / own.sum()
    return weights, loglik + float(highest.sum())


def _given_some(weights: Array, share: float) -> Array:
    """Return a fate's weights among the genes that have an effect on some fate, to begin with."""
    given = weights.copy()
    given[0] = max(weights[0] - share, LEAST_NULL)
    return np.asarray(given / given.sum())


def _product(by_fate: Sequence[Array]) -> Array:
    weights = np.ones(1)
    for each in by_fate:
        weights = np.outer(weights, each).ravel()
    return weights

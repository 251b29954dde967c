"""One mixture over several fates: weights at the optimum, one fate as alone, sharing, limits."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from fatebias.errors import DiscoveryError
from fatebias.mash import EffectLikelihood, Prior, mash
from fatebias.mash.effect_likelihood import Rows
from fatebias.mash.joint import Exact
from fatebias.mash.product import FEWEST_OF_A_FATE, MOST_COMPONENTS, fit_product

PRIOR = Prior.of(
    np.array([0.6, 0.3, 0.1]), np.array([np.zeros((2, 2)), 0.3 * np.ones((2, 2)), 0.2 * np.eye(2)])
)


def drawn(n_genes=150, n_fates=2, seed=0, active=0.4):
    """Return the likelihood of genes of which some act, all fates of these with effects equal on two days."""
    rng = np.random.default_rng(seed)
    size = rng.normal(0, 0.6, (n_genes, n_fates)) * (rng.random((n_genes, 1)) < active)
    effects = np.repeat(size, 2, axis=1)  # (L, F x D)
    errors = 0.04 * (0.5 * np.eye(2 * n_fates) + 0.5)
    seen = effects + rng.multivariate_normal(np.zeros(2 * n_fates), errors, n_genes)
    return effects, EffectLikelihood.normal(seen, np.tile(errors, (n_genes, 1, 1)))


def log_density(likelihood, covariance):
    """Of one normal a gene, by scipy."""
    total = likelihood.covariance[0] + covariance
    return multivariate_normal(np.zeros(len(total)), total).logpdf(likelihood.mean)


def test_weights_are_where_the_penalised_likelihood_is_greatest():
    _, likelihood = drawn()
    found = fit_product(likelihood, [PRIOR, PRIOR], nullweight=10.0)
    density = np.stack([log_density(likelihood, each) for each in found.prior.covariances], axis=1)
    assert found.loglik == pytest.approx(np.log(np.exp(density) @ found.prior.weights).sum(), abs=0.05)
    grid = np.zeros((3, 3))
    grid[tuple(found.parts.T)] = found.prior.weights
    lik = np.zeros((150, 3, 3))
    lik[:, found.parts[:, 0], found.parts[:, 1]] = np.exp(density)

    def objective(share, one, two):
        weights = (1 - share) * np.outer(one, two)
        weights[0, 0] += share
        return np.log(np.einsum("lkm,km->l", lik, weights)).sum() + 9 * np.log(share)

    # The product is rank one beside the point mass: read its factors off the components with effects.
    one, two = grid[:, 1:].sum(axis=1), grid[1:].sum(axis=0)
    one, two = one / one.sum(), two / two.sum()
    share = (grid[0, 0] - one[0] * two[0]) / (1 - one[0] * two[0])
    best = objective(share, one, two)
    rng = np.random.default_rng(0)
    for _ in range(30):
        tilted = [each * np.exp(0.1 * rng.normal(size=3)) for each in (one, two)]
        moved = share + 0.02 * rng.normal()
        assert objective(moved, *(each / each.sum() for each in tilted)) < best + 1e-3


def test_one_fate_is_fitted_as_mash_does():
    _, likelihood = drawn(n_fates=1)
    sd = likelihood.sd
    alone = mash(likelihood.mean, sd, likelihood=likelihood).prior
    found = fit_product(likelihood, [alone], nullweight=10.0).prior
    one, other = (Exact(likelihood, prior).posterior for prior in (alone, found))
    np.testing.assert_allclose(np.exp(other.log_lfsr), np.exp(one.log_lfsr), rtol=2e-3)


def test_an_effect_on_one_fate_speaks_for_the_other():
    effects, likelihood = drawn()
    mean = likelihood.mean.copy()
    mean[:2] = [[0.3, 0.3, 2.0, 2.0], [0.3, 0.3, 0.0, 0.0]]
    alike = EffectLikelihood.normal(mean, likelihood.covariance)
    found = fit_product(alike, [PRIOR, PRIOR], nullweight=10.0)
    lfsr = np.exp(Exact(alike, found.prior, np.eye(4)[:2]).posterior.log_lfsr)
    assert lfsr[0, 0] < 0.5 * lfsr[1, 0]
    called = np.exp(Exact(alike, found.prior).posterior.log_lfsr)[2:] < 0.05
    assert (called & (effects[2:] == 0)).sum() <= 0.05 * called.sum()


def test_several_normals_are_met_one_by_one():
    _, likelihood = drawn()
    pieces = EffectLikelihood(
        np.repeat(likelihood.mean, 2, axis=0),
        np.repeat(likelihood.covariance, 2, axis=0),
        *(np.log(np.tile([0.25, 0.75], 150)),) * 2,
        Rows.of([2] * 150),
    )
    one, two = (fit_product(each, [PRIOR, PRIOR], nullweight=10.0) for each in (likelihood, pieces))
    np.testing.assert_allclose(two.prior.weights, one.prior.weights, atol=1e-6)
    assert two.loglik == pytest.approx(one.loglik)


def test_more_fates_have_fewer_components_each():
    _, likelihood = drawn(n_fates=3)
    many = Prior.of(
        np.full(12, 1 / 12),
        np.concatenate([np.zeros((1, 2, 2)), np.geomspace(0.01, 2, 11)[:, None, None] * np.eye(2)]),
    )
    found = fit_product(likelihood, [many] * 3, nullweight=10.0)
    assert len(np.unique(found.parts[:, 0])) <= int(MOST_COMPONENTS ** (1 / 3))
    assert found.prior.weights.sum() == pytest.approx(1)
    with pytest.raises(
        DiscoveryError, match=r"too many fates(.|\n)*5 fates besides the reference(.|\n)*alone"
    ):
        fit_product(likelihood, [many] * 5, nullweight=10.0)
    assert FEWEST_OF_A_FATE**4 <= MOST_COMPONENTS


@pytest.mark.parametrize("nullweight", [1.0, 10.0])
@pytest.mark.parametrize(
    "prior", [PRIOR, Prior.of(np.ones(1), np.zeros((1, 2, 2)))], ids=["some", "null alone"]
)
def test_where_no_gene_has_an_effect(prior, nullweight):
    _, likelihood = drawn(active=0.0)
    nothing = EffectLikelihood.normal(0.01 * likelihood.mean, likelihood.covariance)
    found = fit_product(nothing, [prior, prior], nullweight)
    assert Exact(nothing, found.prior, np.eye(4)[:2]).posterior.nothing.min() > 0.999
    assert np.isfinite(found.loglik)


def test_a_fate_without_a_null_of_its_own():
    _, likelihood = drawn(active=1.0)
    some = Prior.of(np.array([0.5, 0.5]), np.array([0.3 * np.ones((2, 2)), 0.2 * np.eye(2)]))
    found = fit_product(likelihood, [some, PRIOR], nullweight=1.0)
    assert (found.prior.weights[(found.parts >= 0).all(axis=1)]).sum() > 0.8

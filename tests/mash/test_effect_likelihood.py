"""Several normals a gene: by quadrature, as one normal where they are one, and through a linear map."""

import numpy as np
import pytest
from scipy.stats import norm

from fatebias.mash import EffectLikelihood, Prior, mash
from fatebias.mash.effect_likelihood import Rows
from fatebias.mash.joint import Exact, JointPosterior


def test_rows_follow_their_genes():
    rows = Rows.of([2, 1, 3])
    assert rows.gene.tolist() == [0, 0, 1, 2, 2, 2]
    assert rows.of_genes([2, 0]).tolist() == [3, 4, 5, 0, 1]
    assert rows.of_genes(slice(1, None)).tolist() == [2, 3, 4, 5]
    np.testing.assert_allclose(rows.sum(np.arange(6.0)), [1, 2, 12])
    np.testing.assert_allclose(np.exp(rows.log_sum(np.log(np.arange(1, 7)))), [3, 3, 15])


@pytest.fixture
def two():
    """Two genes on one day, of three normals and of one, whose weights differ without an effect."""
    return EffectLikelihood(
        mean=np.array([[0.1], [0.6], [0.9], [-0.2]]),
        covariance=np.array([0.3, 0.1, 0.2, 0.15])[:, None, None] ** 2,
        log_none=np.log([0.6, 0.3, 0.1, 1.0]),
        log_some=np.log([0.2, 0.5, 0.3, 1.0]),
        rows=Rows.of([3, 1]),
    )


PRIOR = Prior.of(np.array([0.7, 0.2, 0.1]), np.array([0.0, 0.3, 0.8])[:, None, None] ** 2)


def test_the_posterior_is_that_by_quadrature(two):
    b = np.linspace(-6, 6, 60_001)
    slab = 0.2 * norm.pdf(b, 0, 0.3) + 0.1 * norm.pdf(b, 0, 0.8)
    found = Exact(two, PRIOR).posterior
    mean, sd = found.moments()
    up, down = found.above(0.2)
    for gene, normals in ((0, [0, 1, 2]), (1, [3])):
        seen = norm.pdf(two.mean[normals], b, two.sd[normals])  # (H, grid)
        none = 0.7 * np.exp(two.log_none[normals]) @ norm.pdf(0, two.mean[normals, 0], two.sd[normals, 0])
        some = (np.exp(two.log_some[normals]) @ seen) * slab * (b[1] - b[0])
        total = none + some.sum()
        expected = some @ b / total
        assert found.nothing[gene] == pytest.approx(none / total, rel=1e-6)
        assert mean[gene, 0] == pytest.approx(expected, rel=1e-6)
        assert sd[gene, 0] ** 2 == pytest.approx(some @ b**2 / total - expected**2, rel=1e-6)
        sides = [(none + some[side].sum()) / total for side in (b < 0, b > 0)]
        assert np.exp(found.log_lfsr[gene, 0]) == pytest.approx(min(sides), rel=1e-3)
        assert up[gene, 0] == pytest.approx(some[b > 0.2].sum() / total, rel=5e-3)
        assert down[gene, 0] == pytest.approx(some[b < -0.2].sum() / total, rel=5e-3)


def test_draws_have_the_posterior_moments(two):
    found = Exact(two, PRIOR).posterior
    draws = found.draw(40_000, np.random.default_rng(0))
    mean, sd = found.moments()
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=5 * sd.max() / 200)
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.03)
    np.testing.assert_allclose((draws == 0).all(axis=2).mean(axis=0), found.nothing, atol=0.01)


def table_of(screen):
    _, bhat, shat = screen(50, 3)
    rng = np.random.default_rng(1)
    v = np.stack([np.corrcoef(rng.normal(size=(3, 12))) for _ in range(50)])
    return bhat, shat, v, v * shat[:, :, None] * shat[:, None, :]


def test_one_normal_a_gene_is_what_mash_does_without(screen):
    bhat, shat, v, covariance = table_of(screen)
    plain = mash(bhat, shat, v=v)
    found = mash(bhat, shat, v=v, likelihood=EffectLikelihood.normal(bhat, covariance))
    np.testing.assert_allclose(found.joint.log_lfsr, plain.joint.log_lfsr, rtol=1e-9)
    np.testing.assert_allclose(found.mean, plain.mean, atol=1e-9)
    assert found.loglik == pytest.approx(plain.loglik)


def test_a_normal_in_two_pieces_is_the_normal(screen):
    bhat, shat, v, covariance = table_of(screen)
    shares = np.log(np.tile([0.3, 0.7], 50))
    pieces = EffectLikelihood(
        np.repeat(bhat, 2, axis=0), np.repeat(covariance, 2, axis=0), shares, shares, Rows.of([2] * 50)
    )
    found, plain = mash(bhat, shat, v=v, likelihood=pieces), mash(bhat, shat, v=v)
    np.testing.assert_allclose(found.joint.log_lfsr, plain.joint.log_lfsr, rtol=1e-8)
    [whole] = found.joint.mixtures()
    [some] = found.joint.mixtures(slice(10, 20))
    np.testing.assert_allclose(some.moments()[1], whole.moments()[1][10:20])


def test_an_effect_behind_an_unlikely_guess_is_found():
    """Nine of ten guesses put the effect at 0.8, one says that it is not known at all."""
    n = 40
    sure, vague = np.full((n, 2), 0.05), np.full((n, 2), 3.0)
    centre = np.where(np.arange(n)[:, None] < 12, 0.8, 0.0) * np.ones((n, 2))
    mean = np.stack([centre, 0 * centre], axis=1)  # (L, 2, D)
    sd = np.stack([sure, vague], axis=1)
    weight = np.array([0.9, 0.1])
    moment = np.einsum("h,lhd->ld", weight, mean)
    spread = np.sqrt(np.einsum("h,lhd->ld", weight, sd**2 + (mean - moment[:, None]) ** 2))
    told = EffectLikelihood(
        mean.reshape(-1, 2),
        sd.reshape(-1, 2)[:, :, None] ** 2 * np.eye(2),
        *(np.log(np.tile(weight, n)),) * 2,
        Rows.of([2] * n),
    )
    assert (mash(moment, spread).lfsr[:12] < 0.05).sum() == 0
    found = mash(moment, spread, likelihood=told).lfsr
    assert (found[:12] < 0.05).all()
    assert (found[12:] > 0.5).all()


def test_seen_through_a_map_effects_elsewhere_count_at_zero(two):
    wide = EffectLikelihood(
        np.repeat(two.mean, 2, axis=1),
        two.covariance * np.array([[1.0, 0.5], [0.5, 2.0]]),
        two.log_none,
        two.log_some,
        two.rows,
        none_elsewhere=0.8,
    )
    seen = wide.through(np.array([[1.0, -1.0]]))
    np.testing.assert_allclose(seen.covariance[:, 0, 0], two.covariance[:, 0, 0] * (1 + 2 - 1))
    np.testing.assert_allclose(np.exp(seen.log_none), 0.8 * np.exp(two.log_none) + 0.2 * np.exp(two.log_some))
    assert seen.none_elsewhere == 1
    np.testing.assert_array_equal(wide.through(np.eye(2)).log_none, two.log_none)


def test_the_posterior_of_a_difference_is_that_of_its_draws():
    likelihood = EffectLikelihood.normal(
        np.array([[0.5, 0.1], [0.0, 0.0]]), np.tile([[0.04, 0.02], [0.02, 0.05]], (2, 1, 1))
    )
    prior = Prior.of(
        np.array([0.5, 0.3, 0.2]), np.array([np.zeros((2, 2)), np.diag([0.3, 0.0]), [[0.2, 0.1], [0.1, 0.2]]])
    )
    view = np.array([[1.0, -1.0]])
    both, seen = Exact(likelihood, prior).posterior, Exact(likelihood, prior, view).posterior
    draws = both.draw(40_000, np.random.default_rng(0)) @ view.T
    mean, sd = seen.moments()
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.03)
    np.testing.assert_allclose((draws == 0).mean(axis=0), seen.zero, atol=0.01)
    np.testing.assert_allclose((draws > 0.1).mean(axis=0), seen.above(0.1)[0], atol=0.01)


def test_a_posterior_under_the_mixture_of_another_screen(two):
    def joint(prior):
        bhat, shat = np.array([[0.4], [-0.2]]), np.array([[0.3], [0.15]])
        return JointPosterior(bhat, shat, np.eye(1), (prior,), Exact(two, prior))

    held = joint(Prior.of(np.ones(1), np.zeros((1, 1, 1)))).under(joint(PRIOR))
    np.testing.assert_array_equal(held.log_lfsr, joint(PRIOR).log_lfsr)
    assert held.priors == (PRIOR,)

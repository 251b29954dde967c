"""Patterns, scales, densities and posteriors: shapes, then closed forms worked out another way."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from fatebias.mash import Prior, ash, canonical, day_patterns, mash
from fatebias.mash.covariances import Components, normalised, select_scales
from fatebias.mash.joint import mixture_of, posterior_mixture
from fatebias.mash.likelihood import directions, log_likelihoods, whiten

RNG = np.random.default_rng(5)
BHAT, SHAT = RNG.normal(size=(6, 3)), RNG.uniform(0.2, 2, (6, 3))
ONE_V = np.array([[1, 0.4, 0.1], [0.4, 1, -0.3], [0.1, -0.3, 1]])
PATTERNS = {**canonical(3), "rank two": np.array([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 0.5]])}
V_BY_GENE = np.stack([np.eye(3) + rho * (np.ones((3, 3)) - np.eye(3)) for rho in np.linspace(-0.4, 0.9, 6)])


def moments(data, seen, scale):
    """Mean and variance under one component, by gene and day."""
    n_days = data.y.shape[1]
    prior = Prior(np.ones(1), np.zeros((1, n_days, n_days)), np.zeros(1, dtype=int), np.array([scale]))
    found = mixture_of(data, {0: seen}, prior)
    return found.mean[:, 0], found.variance[:, 0]


def test_canonical_patterns_of_one_and_of_three_days():
    assert list(canonical(3)) == [
        "identity", "betahat_d0", "betahat_d1", "betahat_d2", "equal_effects",
        "simple_het_1", "simple_het_2", "simple_het_3",
    ]  # fmt: skip
    assert all((u == 1).all() for u in canonical(1).values())
    np.testing.assert_array_equal(canonical(2)["simple_het_2"], [[1, 0.5], [0.5, 1]])
    np.testing.assert_array_equal(canonical(2)["betahat_d1"], [[0, 0], [0, 1]])


@pytest.mark.parametrize(
    ("n_days", "n_patterns"), [(1, 6), (2, 8), (3, 15), (4, 26), (5, 45), (6, 38), (12, 113)]
)
def test_day_patterns_come_after_the_canonical_ones_and_double_none(n_days, n_patterns):
    patterns, first = day_patterns(n_days), canonical(n_days)
    assert list(patterns)[: len(first)] == list(first)
    assert len(patterns) == n_patterns
    added = [u for name, u in patterns.items() if name not in first]
    for i, u in enumerate(added):
        assert u.shape == (n_days, n_days)
        assert np.diag(u).max() == 1
        assert np.linalg.eigvalsh(u)[0] > -1e-12
        assert not any(np.array_equal(u, other) for other in (*first.values(), *added[:i]))


def test_day_patterns_of_four_days():
    patterns = day_patterns(4)
    assert list(patterns)[9:] == [
        "days_d0_d1", "days_d0_d2", "days_d0_d3", "days_d1_d2", "days_d1_d3", "days_d2_d3",
        "days_d0_d1_d2", "days_d0_d1_d3", "days_d0_d2_d3", "days_d1_d2_d3",
        "flip_d1", "flip_d2", "flip_d3", "onset_d1", "onset_d2", "offset_d2", "offset_d3",
    ]  # fmt: skip
    np.testing.assert_array_equal(patterns["days_d0_d2"], np.diag([1, 0, 1, 0]))
    np.testing.assert_array_equal(patterns["flip_d3"][3], [-1, -1, -1, 1])
    np.testing.assert_array_equal(patterns["onset_d1"][0], np.zeros(4))
    np.testing.assert_array_equal(patterns["onset_d1"][1:, 1:], np.ones((3, 3)))
    np.testing.assert_array_equal(patterns["offset_d3"][:3, :3], np.ones((3, 3)))
    np.testing.assert_array_equal(patterns["offset_d3"][3], np.zeros(4))
    assert "onset_d3" not in patterns  # betahat_d3
    assert "days_d0_d2" not in day_patterns(6)  # runs alone beyond five days
    assert "days_d4_d5" in day_patterns(6)


def late_onset(n_genes, n_draws, seed):
    """Estimates of which a quarter have effects on the last two of four days, errors correlated by 0.8."""
    rng = np.random.default_rng(seed)
    v = np.full((4, 4), 0.8) + 0.2 * np.eye(4)
    effects = np.zeros((n_draws, n_genes, 4))
    active = n_genes // 4
    effects[:, :active, 2:] = rng.uniform(0.4, 1.0, (n_draws, active, 1)) * rng.choice(
        [-1, 1], (n_draws, active, 1)
    )
    shat = np.full((n_genes, 4), 0.12)
    return effects, effects + 0.12 * rng.multivariate_normal(np.zeros(4), v, (n_draws, n_genes)), shat, v


def test_days_before_an_onset_are_called_under_canonical_patterns_and_not_under_those_for_days():
    effects, bhat, shat, v = late_onset(80, 3, seed=0)

    def false_and_found(covariances):
        called = np.array([mash(each, shat, v=v, covariances=covariances).lfsr < 0.05 for each in bhat])
        return (called & (effects == 0)).sum(), (called & (effects != 0)).sum() / (effects != 0).sum()

    false, found = false_and_found("canonical")
    few, more = false_and_found("days")
    assert false >= 10
    assert few <= 2
    assert more >= found


def test_normalised_patterns_have_unit_largest_variance_and_zeros_stay():
    patterns = normalised({"a": np.diag([4.0, 2.0]), "zero": np.zeros((2, 2))})
    np.testing.assert_array_equal(patterns["a"], np.diag([1.0, 0.5]))
    np.testing.assert_array_equal(patterns["zero"], np.zeros((2, 2)))


def test_scales_run_from_a_tenth_of_the_least_error_to_twice_the_largest_effect():
    scales = select_scales(np.array([[3.0, 0.1]]), np.array([[1.0, 0.5]]))
    assert scales[-1] == pytest.approx(2 * np.sqrt(8))
    assert scales[0] <= 0.05 < scales[1]
    np.testing.assert_allclose(scales[1:] / scales[:-1], np.sqrt(2))


def test_scales_where_no_effect_exceeds_its_error():
    scales = select_scales(np.zeros((4, 2)), np.full((4, 2), 0.5))
    np.testing.assert_allclose(scales, 0.05 * np.sqrt(2) ** np.arange(7))


def test_scales_count_down_like_r_where_the_largest_is_below_the_smallest():
    scales = select_scales(np.array([[1.0 + 1e-6]]), np.array([[1.0]]))
    largest = 2 * np.sqrt((1 + 1e-6) ** 2 - 1)
    np.testing.assert_allclose(scales, largest * np.sqrt(2) ** np.arange(len(scales) - 1, -1, -1))
    assert len(scales) > 1


@pytest.mark.parametrize("v", [np.eye(3), ONE_V, V_BY_GENE], ids=["identity", "one V", "a V each gene"])
def test_densities_and_moments_against_plain_linear_algebra(v):
    components = Components(PATTERNS, np.array([0.3, 2.0]))
    data = whiten(BHAT, SHAT, v)
    seen = [directions(data, u) for u in PATTERNS.values()]
    log_lik = log_likelihoods(data, seen, components)
    assert log_lik.shape == (6, 1 + 2 * len(PATTERNS))
    for j in range(6):
        noise = np.outer(SHAT[j], SHAT[j]) * (v if v.ndim == 2 else v[j])
        expected = [multivariate_normal.logpdf(BHAT[j], cov=noise)]
        for w in components.scales:
            for k, u in enumerate(PATTERNS.values()):
                total = w**2 * u + noise
                expected.append(multivariate_normal.logpdf(BHAT[j], cov=total))
                gain = w**2 * u @ np.linalg.inv(total)
                mean, variance = moments(data, seen[k], w)
                np.testing.assert_allclose(mean[j], gain @ BHAT[j], atol=1e-12)
                np.testing.assert_allclose(variance[j], np.diag(w**2 * u - gain @ (w**2 * u)), atol=1e-12)
        np.testing.assert_allclose(log_lik[j], expected, rtol=1e-10)


def test_days_outside_a_pattern_stay_exactly_zero():
    """Also where the eigenvectors of the pattern are not exactly zero there (8 days: 1e-15)."""
    rng = np.random.default_rng(0)
    n_days = int(rng.integers(3, 10))
    loadings = rng.normal(size=(n_days, n_days))
    outside = rng.random(n_days) < 0.3
    loadings[outside] = 0
    for u in (loadings @ loadings.T, np.diag((~outside).astype(float))):
        data = whiten(np.ones((2, n_days)), np.ones((2, n_days)), np.eye(n_days))
        seen = directions(data, u)
        mean, variance = moments(data, seen, 1.5)
        assert (mean[:, outside] == 0).all()
        assert (variance[:, outside] == 0).all()
        assert (variance[:, ~outside] > 0).all()


def test_posterior_of_a_known_mixture_by_hand():
    """One gene, one day, a half-half mixture of zero and N(0, 4): all from the normal distribution."""
    bhat, shat, scale = 1.3, 0.7, 2.0
    prior = Prior.of(np.array([0.5, 0.5]), np.array([[[0.0]], [[scale**2]]]))
    found = posterior_mixture(np.array([[bhat]]), np.array([[shat]]), np.eye(1), prior)
    null, alternative = norm.pdf(bhat, 0, shat), norm.pdf(bhat, 0, np.hypot(shat, scale))
    weight = alternative / (null + alternative)
    variance = 1 / (1 / shat**2 + 1 / scale**2)
    mean = variance * bhat / shat**2
    found_mean, found_sd = found.moments()
    assert found_mean.item() == pytest.approx(weight * mean)
    assert found_sd.item() == pytest.approx(np.sqrt(weight * (variance + mean**2) - (weight * mean) ** 2))
    assert found.zero.item() == pytest.approx(1 - weight)
    positive, negative = found.above(0.0)
    assert negative.item() == pytest.approx(weight * norm.cdf(0, mean, np.sqrt(variance)))
    assert positive.item() == pytest.approx(weight * norm.sf(0, mean, np.sqrt(variance)))


def test_signs_and_zero_share_all_probability(screen):
    _, bhat, shat = screen(80, 3)
    p = mash(bhat, shat)
    np.testing.assert_allclose(p.negative + p.positive + p.zero, 1, atol=1e-12)
    mirrored = mash(-bhat, shat)
    np.testing.assert_allclose(mirrored.mean, -p.mean, atol=1e-9)
    np.testing.assert_allclose(mirrored.lfsr, p.lfsr, atol=1e-9)


def test_units_do_not_matter(screen):
    _, bhat, shat = screen(60, 3)
    one = mash(bhat, shat, v=ONE_V)
    thousand = mash(1000 * bhat, 1000 * shat, v=ONE_V)
    np.testing.assert_allclose(thousand.mean, 1000 * one.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(thousand.lfsr, one.lfsr, atol=1e-8)


def test_one_v_for_all_equals_the_same_v_for_each(screen):
    _, bhat, shat = screen(40, 3)
    one = mash(bhat, shat, v=ONE_V)
    each = mash(bhat, shat, v=np.repeat(ONE_V[None], 40, axis=0))
    np.testing.assert_allclose(each.mean, one.mean, atol=1e-10)
    assert each.loglik == pytest.approx(one.loglik)


def test_sd_survives_estimates_a_billion_errors_from_zero():
    bhat = np.array([[1.0, -1.0], [0.5, 0.2], [-0.3, 0.7]])
    shat = np.full((3, 2), 1e-9)
    p = mash(bhat, shat)
    np.testing.assert_allclose(p.mean, bhat, rtol=1e-12)
    np.testing.assert_allclose(p.sd, shat, rtol=1e-6)


@pytest.mark.parametrize("n_genes", [1, 2, 3])
@pytest.mark.parametrize("n_days", [1, 4])
def test_very_few_genes(n_genes, n_days, screen):
    _, bhat, shat = screen(n_genes, n_days, seed=1)
    fit = mash(bhat, shat)
    assert fit.mean.shape == (n_genes, n_days)
    assert (np.abs(fit.mean) <= np.abs(bhat).max()).all()
    assert sum(fit.pi.values()) == pytest.approx(1)


def test_standard_errors_over_many_orders_of_magnitude():
    rng = np.random.default_rng(2)
    bhat = rng.normal(size=(30, 3))
    shat = 10.0 ** rng.integers(-14, 60, size=bhat.shape)
    p = mash(bhat, shat, v=ONE_V)
    for part in (p.mean, p.sd, p.lfsr):
        assert np.isfinite(part).all()


def test_shared_effects_are_recovered_and_sharpened_across_days(screen):
    effects, bhat, shat = screen(600, 4, size=0.5)
    p = mash(bhat, shat)
    assert np.abs(p.mean - effects).mean() < 0.6 * np.abs(bhat - effects).mean()
    called = p.lfsr < 0.05
    wrong = called & (np.sign(p.mean) != np.sign(effects))
    assert wrong.sum() <= 0.05 * called.sum()
    assert called.sum() > 1.5 * (ash(bhat, shat).lfsr < 0.05).sum()

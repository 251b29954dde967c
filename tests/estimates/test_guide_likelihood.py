"""Integrating deviations out of guides' likelihoods: against the normal densities they stand in for."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal as normal

from fatebias.estimates.guide_likelihood import GuideLikelihood, log_evidence, same_on_all_days
from fatebias.estimates.sandwich import BROAD

LOADING = same_on_all_days(2, 3)
SD = np.array([0.4, 0.7])


def one_guide(seed=0, width=6):
    """Return a likelihood and the estimate and covariance that it was made from."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(width, width))
    precision, estimate = root @ root.T + np.eye(width), rng.normal(size=width)
    likelihood = GuideLikelihood(precision[None], (precision @ estimate)[None], np.zeros(1))
    return likelihood, estimate, np.linalg.inv(precision)


def test_what_is_left_is_the_density_of_a_noisier_estimate():
    likelihood, estimate, covariance = one_guide()
    found = likelihood.absorb(LOADING, SD).left
    wider = covariance + LOADING @ np.diag(SD**2) @ LOADING.T
    np.testing.assert_allclose(np.linalg.inv(found.precision[0]), wider, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.solve(found.precision[0], found.linear[0]), estimate, rtol=1e-9)
    gained = normal(np.zeros(6), wider).logpdf(estimate) - normal(np.zeros(6), covariance).logpdf(estimate)
    assert found.log_factor[0] == pytest.approx(gained)


def test_deviations_given_the_rest_are_those_of_regression():
    likelihood, estimate, covariance = one_guide()
    found = likelihood.absorb(LOADING, SD)
    scaled = LOADING * SD
    v = np.linspace(-1, 1, 6)
    rest = np.linalg.inv(np.eye(2) + scaled.T @ np.linalg.inv(covariance) @ scaled)
    np.testing.assert_allclose(found.rest[0], rest, rtol=1e-9)
    expected = rest @ scaled.T @ np.linalg.solve(covariance, estimate - v)
    np.testing.assert_allclose(found.pull[0] - found.gain[0] @ v, expected, rtol=1e-9)


def test_an_sd_of_zero_changes_nothing_and_a_guide_without_cells_says_nothing():
    likelihood, _, _ = one_guide()
    found = likelihood.absorb(LOADING, np.zeros(2)).left
    np.testing.assert_array_equal(found.precision, likelihood.precision)
    np.testing.assert_array_equal(found.linear, likelihood.linear)
    empty = GuideLikelihood(np.zeros((1, 6, 6)), np.zeros((1, 6)), np.zeros(1)).absorb(LOADING, SD).left
    assert not empty.precision.any()
    assert empty.log_factor[0] == 0


def test_effects_counted_from_a_level():
    likelihood, estimate, _ = one_guide()
    level = np.arange(6.0)
    moved = likelihood.around(level)
    np.testing.assert_allclose(np.linalg.solve(moved.precision[0], moved.linear[0]), estimate - level)


def test_evidence_of_a_gene_is_the_joint_density_of_its_guides():
    (one, y, c), (other, x, d) = one_guide(1), one_guide(2)
    parts = (np.concatenate(pair) for pair in zip(vars(one).values(), vars(other).values(), strict=True))
    found = log_evidence(GuideLikelihood(*parts), np.array([0, 0]), 1)
    shared = BROAD**2 * np.eye(6)
    joint = normal(np.zeros(12), np.block([[c + shared, shared], [shared, d + shared]]))
    at_zero = normal(np.zeros(6), c).logpdf(y) + normal(np.zeros(6), d).logpdf(x)
    # the determinant of the prior, the same for all that is compared, is left out
    expected = joint.logpdf(np.concatenate([y, x])) - at_zero + 6 * np.log(BROAD)
    assert found[0] == pytest.approx(expected)

"""The correlation of errors from genes that look null."""

import numpy as np
import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery.correlation import error_correlation, from_fit
from fatebias.discovery.native import run_native
from fatebias.mash import estimate_null_correlation


def test_is_the_correlation_of_null_z_scores_only():
    rng = np.random.default_rng(0)
    truth = np.array([[1, 0.6, 0.2], [0.6, 1, 0.4], [0.2, 0.4, 1]])
    z = rng.multivariate_normal(np.zeros(3), truth, size=4000)
    strong = rng.normal(0, 50, (300, 1)) * [1, -1, 1] + z[:300] * 0 + 10
    shat = rng.uniform(0.1, 3, (4300, 3))
    estimated = estimate_null_correlation(np.vstack([z, strong]) * shat, shat)
    null = z[np.abs(z).max(axis=1) < 2]
    np.testing.assert_allclose(estimated.v, np.corrcoef(null.T), atol=1e-12)
    # Cutting at |z| < 2 shrinks correlations a little, as in R.
    np.testing.assert_allclose(estimated.v, truth, atol=0.15)
    assert estimated.note is None


def test_one_day_has_nothing_to_correlate():
    estimated = estimate_null_correlation(np.array([[9.0], [8.0]]), np.ones((2, 1)))
    np.testing.assert_array_equal(estimated.v, [[1.0]])
    assert estimated.note is None


@pytest.mark.parametrize(
    ("bhat", "why"),
    [
        (np.full((5, 2), 9.0), "0 of 5 genes have |z| < 2 on every day"),
        (np.array([[0.1, 0.2], [0.3, -0.4], [9.0, 9.0]]), "2 of 3 genes have |z| < 2 on every day"),
        (np.zeros((5, 2)), "the z scores of the 5 null genes do not vary on some day"),
        (np.arange(10.0)[:, None] * [0.1, 0.2], "the z scores of the 10 null genes are almost collinear"),
    ],
    ids=["none null", "as many as days", "all zero", "collinear"],
)
def test_identity_with_its_reason(bhat, why):
    estimated = estimate_null_correlation(bhat, np.ones_like(bhat))
    np.testing.assert_array_equal(estimated.v, np.eye(2))
    assert estimated.note is not None
    assert estimated.note.startswith("error correlation taken as the identity: ")
    assert why in estimated.note


@pytest.mark.parametrize(("noise", "kept"), [(0.2, True), (0.01, False)])
def test_an_estimate_of_high_but_not_extreme_correlation_is_kept(noise, kept):
    rng = np.random.default_rng(0)
    shared = 0.3 * rng.normal(size=(200, 1))
    estimated = estimate_null_correlation(shared + 0.3 * noise * rng.normal(size=(200, 3)), np.ones((200, 3)))
    assert (estimated.note is None) == kept
    assert (estimated.v[0, 1] > 0.9) == kept


def test_a_smooth_walk_shrunk_to_almost_nothing_makes_no_calls(monkeypatch):
    """Ten genes without effect as a fit gives them: one small value each, larger on later days."""
    walk = 0.15 * np.random.default_rng(2).normal(size=(10, 1))
    bhat = walk * [0.4, 1.0, 1.05] + 0.003 * np.random.default_rng(3).normal(size=(10, 3))
    shat = np.tile([0.19, 0.21, 0.22], (10, 1))
    cfg = DiscoveryConfig(engine="native")
    assert run_native(bhat, shat, cfg).lfsr.min() > 0.5
    monkeypatch.setattr("fatebias.mash.null_correlation.LARGEST_CONDITION", np.inf)
    assert run_native(bhat, shat, cfg).lfsr.min() < 0.05  # what the near-singular estimate would call


def test_the_fits_own_correlation_is_the_mean_over_genes_or_each_genes_own():
    one = np.array([[1.0, 0.5], [0.5, 4.0]])
    other = np.array([[1.0, -0.1], [-0.1, 1.0]])
    covariance = np.stack([one, other])
    np.testing.assert_allclose(from_fit(covariance, "fit").v, [[1, 0.075], [0.075, 1]])
    np.testing.assert_allclose(from_fit(covariance, "per_gene").v[:, 0, 1], [0.25, -0.1])
    assert from_fit(covariance, "fit").note is None


def test_a_near_singular_correlation_is_drawn_to_the_identity():
    almost = np.full((3, 3), 1 - 1e-9) + 1e-9 * np.eye(3)
    found = from_fit(np.stack([almost, np.eye(3)]), "per_gene")
    values = np.linalg.eigvalsh(found.v[0])
    assert values[-1] / values[0] == pytest.approx(1000)
    np.testing.assert_allclose(found.v[1], np.eye(3))
    assert "1 gene" in found.note


def test_robust_errors_bring_each_genes_own_correlation():
    covariance = np.stack([np.eye(2), np.array([[1, 0.3], [0.3, 1.0]])])
    assert error_correlation(DiscoveryConfig(), "posterior", covariance) is None
    assert error_correlation(DiscoveryConfig(), "sandwich", covariance).v.shape == (2, 2, 2)
    assert error_correlation(DiscoveryConfig(null_correlation="fit"), "sandwich", covariance).v.shape == (
        2,
        2,
    )

"""The correlation of errors from genes that look null."""

import numpy as np
import pytest

from fatebias.discovery.correlation import simple


def test_is_the_correlation_of_null_z_scores_only():
    rng = np.random.default_rng(0)
    truth = np.array([[1, 0.6, 0.2], [0.6, 1, 0.4], [0.2, 0.4, 1]])
    z = rng.multivariate_normal(np.zeros(3), truth, size=4000)
    strong = rng.normal(0, 50, (300, 1)) * [1, -1, 1] + z[:300] * 0 + 10
    shat = rng.uniform(0.1, 3, (4300, 3))
    estimated = simple(np.vstack([z, strong]) * shat, shat)
    null = z[np.abs(z).max(axis=1) < 2]
    np.testing.assert_allclose(estimated.v, np.corrcoef(null.T), atol=1e-12)
    # Cutting at |z| < 2 shrinks correlations a little, as in R.
    np.testing.assert_allclose(estimated.v, truth, atol=0.15)
    assert estimated.note is None


def test_one_day_has_nothing_to_correlate():
    estimated = simple(np.array([[9.0], [8.0]]), np.ones((2, 1)))
    np.testing.assert_array_equal(estimated.v, [[1.0]])
    assert estimated.note is None


@pytest.mark.parametrize(
    ("bhat", "why"),
    [
        (np.full((5, 2), 9.0), "0 of 5 genes have |z| < 2 on every day"),
        (np.array([[0.1, 0.2], [0.3, -0.4], [9.0, 9.0]]), "2 of 3 genes have |z| < 2 on every day"),
        (np.zeros((5, 2)), "the z scores of the 5 null genes do not vary on some day"),
        (np.arange(10.0)[:, None] * [0.1, 0.2], "the z scores of the 10 null genes are collinear"),
    ],
    ids=["none null", "as many as days", "all zero", "collinear"],
)
def test_identity_with_its_reason(bhat, why):
    estimated = simple(bhat, np.ones_like(bhat))
    np.testing.assert_array_equal(estimated.v, np.eye(2))
    assert estimated.note is not None
    assert estimated.note.startswith("error correlation taken as the identity: ")
    assert why in estimated.note

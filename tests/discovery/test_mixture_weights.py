"""The mixture solver: closed forms, the conditions of an optimum, agreement with plain EM."""

import numpy as np
import pytest

from fatebias.discovery import mixture
from fatebias.discovery.mixture import maximise, penalised_weights, quadratic_minimum
from fatebias.errors import DiscoveryError


def random_problem(seed):
    """Densities from nearly equal to wildly apart; every third problem has each component twice."""
    rng = np.random.default_rng(seed)
    n, p = rng.integers(1, 80), rng.integers(1, 50)
    lik = np.exp(-rng.exponential(rng.choice([0.1, 3, 50, 300]), size=(n, p)))
    if seed % 3 == 0:
        lik = np.hstack([lik, lik])
    shares = rng.random(n) + 1e-3
    return lik / lik.max(axis=1, keepdims=True), shares / shares.sum()


@pytest.mark.parametrize("seed", range(40))
def test_conditions_of_karush_kuhn_and_tucker(seed):
    lik, shares = random_problem(seed)
    x = maximise(lik, shares)
    gain = lik.T @ (shares / (lik @ x))  # 1 on the support, at most 1 elsewhere
    assert x.min() >= 0
    assert x.sum() == pytest.approx(1, abs=1e-12)
    assert gain.max() <= 1 + 1e-10
    np.testing.assert_allclose(gain[x > 1e-6], 1, atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_no_worse_than_a_long_run_of_em(seed):
    lik, shares = random_problem(seed)
    x = np.full(lik.shape[1], 1 / lik.shape[1])
    for _ in range(5000):
        x *= lik.T @ (shares / (lik @ x))
    assert shares @ np.log(lik @ maximise(lik, shares)) >= shares @ np.log(lik @ x) - 1e-12


def test_disjoint_components_get_the_shares_of_their_rows():
    lik = np.array([[1.0, 0, 0], [0.3, 0, 0], [0, 2.0, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(maximise(lik, np.array([0.1, 0.3, 0.4, 0.2])), [0.4, 0.4, 0.2], atol=1e-9)


def test_one_component_and_one_row():
    np.testing.assert_array_equal(maximise(np.array([[0.7], [0.2]]), np.array([0.5, 0.5])), [1.0])
    np.testing.assert_allclose(maximise(np.array([[0.2, 0.9, 0.5]]), np.ones(1)), [0, 1, 0], atol=1e-9)


def test_null_weight_counts_as_further_null_observations():
    """Rows that say nothing: only the penalty speaks. Rows that only component 1 explains: shares 9 and n."""
    silent = np.zeros((20, 3))
    assert penalised_weights(silent, 10)[0] == pytest.approx(1)
    certain = np.tile([-1e4, 0.0, -1e4], (21, 1))
    np.testing.assert_allclose(penalised_weights(certain, 10), [9 / 30, 21 / 30, 0], atol=1e-9)
    np.testing.assert_allclose(penalised_weights(certain, 1), [0, 1, 0], atol=1e-9)


def test_rows_may_be_scaled_by_any_factor():
    rng = np.random.default_rng(0)
    log_lik = rng.normal(size=(50, 4))
    shifted = log_lik + rng.normal(scale=1000, size=(50, 1))
    np.testing.assert_allclose(penalised_weights(shifted, 10), penalised_weights(log_lik, 10), atol=1e-9)


def test_quadratic_minimum_with_a_bound_that_binds():
    """(p0 - 1)^2/2 + (p1 + 1)^2/2 over p >= 0 has its minimum at (1, 0)."""
    found = quadratic_minimum(np.eye(2), np.array([0.0, 1.0]) - np.array([0.5, -0.5]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-8)


def test_says_so_when_it_does_not_converge(monkeypatch):
    monkeypatch.setattr(mixture, "MAX_STEPS", 1)
    lik, shares = random_problem(8)
    with pytest.raises(DiscoveryError, match="weights did not converge"):
        maximise(lik, shares)

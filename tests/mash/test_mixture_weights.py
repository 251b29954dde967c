"""The mixture solver: closed forms, the conditions of an optimum, agreement with plain EM."""

import numpy as np
import pytest

from fatebias.errors import DiscoveryError
from fatebias.mash import mixture
from fatebias.mash.mixture import maximise, penalised_weights, quadratic_minimum

# Among 3,000 problems of this kind, the one on which full Newton steps without a line search fail.
NEEDS_DAMPING = 1524


def random_problem(seed):
    """Draw densities up to hundreds of orders of magnitude apart, in rows of very unequal weight."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 60)), int(rng.integers(2, 40))
    if seed % 4 < 2:
        log_lik = -rng.exponential(rng.choice([3, 50, 300, 3000]), size=(n, p))
    else:
        at = rng.normal(size=(n, 1)) * rng.choice([1, 10, 100]) - rng.normal(size=p) * rng.choice(
            [1, 10, 100]
        )
        log_lik = -0.5 * at**2 / rng.uniform(0.001, 3) ** 2
    lik = np.exp(log_lik - log_lik.max(axis=1, keepdims=True))
    shares = rng.random(n) ** rng.choice([1, 8]) + 1e-9
    return lik, shares / shares.sum()


@pytest.mark.parametrize("seed", [*range(60), NEEDS_DAMPING])
@pytest.mark.parametrize("twins", [False, True], ids=["", "each component twice"])
def test_conditions_of_karush_kuhn_and_tucker(seed, twins):
    lik, shares = random_problem(seed)
    if twins:
        lik = np.hstack([lik, lik])
    x = maximise(lik, shares)
    gain = lik.T @ (shares / (lik @ x))  # 1 on the support, at most 1 elsewhere
    assert x.min() >= 0
    assert x.sum() == pytest.approx(1, abs=1e-12)
    assert gain.max() <= 1 + 1e-10
    assert x @ np.abs(gain - 1) <= 1e-9


def test_a_row_that_lives_on_a_component_no_other_row_needs():
    lik = np.zeros((5000, 2))
    lik[1:, 0] = 1
    lik[0, 1] = 1
    np.testing.assert_allclose(maximise(lik, np.full(5000, 1 / 5000)), [4999 / 5000, 1 / 5000])


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

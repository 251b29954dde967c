"""FASH's processes and weights against integrals, hand counts, simulated shares and mash itself."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest
from scipy.integrate import quad

from benchmarks.functional import (
    FREE_SD,
    Estimates,
    adjusted_weights,
    fash_components,
    smooth_patterns,
    wiener,
)
from benchmarks.ordered import draw_table, family_of
from fatebias.mash import mash
from fatebias.mash.mixture import penalised_weights

TIMES = np.array([2.0, 3.0, 5.0, 9.0])


@pytest.mark.parametrize("order", [1, 2])
def test_the_process_is_the_integral_of_its_kernel(order):
    found, power = wiener(TIMES, order), order - 1
    for i, s in enumerate(TIMES - 2):
        for j, t in enumerate(TIMES - 2):
            expected, _ = quad(lambda u, s=s, t=t: ((s - u) * (t - u)) ** power, 0, min(s, t))
            assert found[i, j] == pytest.approx(expected / factorial(power) ** 2)


def test_other_orders_are_refused():
    with pytest.raises(ValueError, match="order 3: 1 or 2"):
        wiener(TIMES, 3)


def test_patterns_are_covariances_with_or_without_an_effect_on_the_first_day():
    patterns = smooth_patterns(TIMES)
    for name, u in patterns.items():
        assert (np.linalg.eigvalsh(u) > -1e-9).all(), name
        assert (u[0] == 0).all() == name.endswith("_0"), name
        assert u[-1, -1] >= 1, name


@pytest.mark.parametrize("order", [1, 2])
def test_a_predictive_sd_is_that_of_a_step_of_one_unit_of_time(order):
    largest = fash_components(np.array([0.0, 1.0]), order)[-1]
    polynomial = fash_components(np.array([0.0, 1.0]), order)[0]
    assert (largest - polynomial)[1, 1] == pytest.approx(1.0)  # the last predictive SD is 1
    assert polynomial[0, 0] == FREE_SD**2


@pytest.mark.parametrize(
    ("factors", "null"),
    [([0.5, 0.8, 1.9, 50.0], 3 / 4), ([50.0, 0.8, 0.5, 0.9], 1.0), ([0.2, 0.3, 0.4, 0.9], 1.0)],
)
def test_the_null_holds_the_genes_whose_least_bayes_factors_average_one(factors, null):
    log_lik = np.log(np.column_stack([np.ones(4), factors]))
    found = adjusted_weights(log_lik)
    assert found.sum() == pytest.approx(1.0)
    assert found[0] == pytest.approx(null)


def test_the_weight_of_the_null_is_careful_and_near_the_truth():
    rng = np.random.default_rng(0)
    spread = np.where(rng.random(5000) < 0.7, 1.0, np.sqrt(1 + 20.0**2))
    x = spread * rng.standard_normal(5000)
    variance = 1 + np.array([0.0, 10.0, 20.0, 30.0]) ** 2
    log_lik = -0.5 * x[:, None] ** 2 / variance - 0.5 * np.log(variance)
    careful, fitted = adjusted_weights(log_lik), penalised_weights(log_lik, 1.0)
    assert 0.7 <= careful[0] < 0.85
    assert careful[0] > fitted[0]
    np.testing.assert_allclose(careful[1:] * fitted[1:].sum(), fitted[1:] * careful[1:].sum())


@pytest.mark.parametrize("covariances", ["canonical", "days"])
def test_densities_and_posterior_are_those_of_mash(covariances):
    data, _ = draw_table("sign flips, weak", np.arange(4.0), seed=0)
    family = family_of(covariances, np.arange(4.0), data)
    weights = penalised_weights(data.log_likelihoods(family.components), 10.0)
    ours = data.posterior(family.components, weights)
    theirs = mash(data.bhat, data.shat, v=data.v, covariances=covariances)
    np.testing.assert_allclose(np.exp(ours.log_lfsr), theirs.lfsr, atol=1e-6)
    np.testing.assert_allclose(ours.moments()[0], theirs.mean, atol=1e-6)


def test_what_does_not_change_is_null_to_fash_however_large():
    since = TIMES - TIMES[0]
    courses = np.array([np.full(4, 3.0), 0.5 * since, np.array([0.0, 1.0, 0.0, 1.0])])
    data = Estimates(courses, np.full((3, 4), 0.1), np.eye(4))
    for order, changing in ((1, [False, True, True]), (2, [False, False, True])):
        log_lik = data.log_likelihoods(fash_components(TIMES, order))
        assert (log_lik[:, 1:].max(axis=1) > log_lik[:, 0] + 2).tolist() == changing

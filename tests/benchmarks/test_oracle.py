"""The oracle against a closed form, and against its own promise on effects from its prior."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.oracle import draw_effects, oracle, share_without_effect
from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.simulation.truth import draw_truth
from fatebias.mash.effect_likelihood import EffectLikelihood, Rows

SIMULATE = SimulateConfig(n_genes=2000, active_share=0.25, effect_min=0.1, effect_max=0.35)


def of(design, **changed):
    return dataclasses.replace(SIMULATE, design=design, **changed)


def test_one_size_of_effect_has_its_posterior_in_closed_form():
    betahat, sd = np.array([[0.0], [0.2], [-0.5]]), 0.2
    found = oracle(betahat, np.full((3, 1, 1), sd**2), of("persistent", effect_min=0.4, effect_max=0.4))
    density = [0.75, 0.125, 0.125] * norm.pdf(betahat, [0.0, 0.4, -0.4], sd)
    density /= density.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.above[:, 0], density[:, 1], rtol=0.03)
    np.testing.assert_allclose(found.lfsr[:, 0], 1 - density[:, 1:].max(axis=1), rtol=0.03)
    np.testing.assert_array_equal(found.sign[1:, 0], [1, -1])


def test_several_normals_a_gene_are_weighed_where_there_is_an_effect_and_where_there_is_none():
    sd, simulate = np.array([0.2, 0.4]), of("persistent", effect_min=0.4, effect_max=0.4)
    told = EffectLikelihood(
        np.array([[0.5], [0.1]]),
        sd[:, None, None] ** 2,
        np.log([0.9, 0.1]),
        np.log([0.3, 0.7]),
        Rows.of([2]),
    )
    found = oracle(np.zeros((1, 1)), np.ones((1, 1, 1)), simulate, likelihood=told)
    seen = norm.pdf(told.mean, [0.0, 0.4, -0.4], sd[:, None])  # (2, effects)
    density = [0.75 * np.array([0.9, 0.1]) @ seen[:, 0], *(0.125 * np.array([0.3, 0.7]) @ seen[:, 1:])]
    density /= np.sum(density)
    np.testing.assert_allclose(found.above[0, 0], density[1], rtol=0.03)
    np.testing.assert_allclose(found.below[0, 0], density[2], rtol=0.03)


def test_nothing_is_called_where_there_are_no_effects():
    found = oracle(np.full((3, 4), 9.0), np.tile(np.eye(4), (3, 1, 1)), of("no_effects"))
    assert (found.lfsr == 1).all()


@pytest.mark.parametrize("design", ["late", "sign_flip", "mixed", "each_day"])
def test_effects_are_drawn_as_the_simulator_draws_them(design):
    simulate = of(design)
    truth = draw_truth(simulate, DataConfig(), PriorsConfig(), np.random.default_rng(0))
    theirs = truth.theta[:, truth.fates.index("MES") - 1]
    active = theirs[theirs.any(axis=1)]
    ours = draw_effects(simulate, 20_000, simulate.n_days, np.random.default_rng(1))
    assert ours.any(axis=1).all()
    assert 1 - len(active) / 2000 == pytest.approx(share_without_effect(simulate, 4), abs=0.03)
    for summary in (lambda x: (x != 0).mean(axis=0), lambda x: np.abs(x).mean(axis=0)):
        np.testing.assert_allclose(summary(ours), summary(active), atol=0.05)
    signs = [np.mean(np.sign(x[:, 0]) * np.sign(x[:, -1])) for x in (ours, active)]
    assert signs[0] == pytest.approx(signs[1], abs=0.07)


@pytest.mark.parametrize("design", ["late", "sign_flip"])
def test_its_lfsr_are_the_share_of_its_calls_that_are_wrong(design):
    rng = np.random.default_rng(2)
    simulate, n_genes = of(design), 400
    theta = draw_effects(simulate, n_genes, 4, rng) * (rng.random((n_genes, 1)) < simulate.active_share)
    covariance = 0.08**2 * (0.6 * np.ones((4, 4)) + 0.4 * np.eye(4))
    betahat = theta + rng.standard_normal((n_genes, 4)) @ np.linalg.cholesky(covariance).T
    found = oracle(betahat, np.tile(covariance, (n_genes, 1, 1)), simulate)
    called = found.lfsr < 0.2
    false = called & (found.sign != np.sign(theta))
    promised = found.lfsr[called].sum()
    assert called.sum() > 80
    assert abs(false.sum() - promised) < 4 * np.sqrt(2 * promised)

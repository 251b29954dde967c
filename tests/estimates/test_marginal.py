"""Average marginal effects: against plain loops over cells, finite differences and simulated truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fatebias.config import Config, DataConfig, InferenceConfig, PriorsConfig, SimulateConfig
from fatebias.data.collapse import collapse
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.estimates import marginal
from fatebias.estimates.from_fit import gene_estimates
from fatebias.estimates.marginal import average_change, marginal_effects, marginal_table
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from fatebias.model.design_matrix import DesignMatrix
from tests.screens import small_screen


@pytest.fixture(scope="module")
def placed():
    """A small screen with effects at random places of its coefficients."""
    screen = small_screen(n_cells=300, moi=3.0)
    design = DesignMatrix(collapse(screen))
    rng = np.random.default_rng(0)
    flat = rng.normal(0, 0.5, design.size)
    theta = rng.normal(0, 0.7, (screen.L, screen.n_fates_star, screen.D))
    return screen, design, flat, theta


def softmax(eta):
    raised = np.exp(np.concatenate([[0.0], eta]))
    return raised / raised.sum()


def by_cell(screen, design, flat, theta):
    """The definition, cell by cell and slot by slot."""
    own, delta, shared = design.split(flat)
    total, n = np.zeros((screen.L, screen.D, len(screen.fates))), np.zeros((screen.L, screen.D))
    for i in range(screen.N):
        d = screen.day[i]
        eta = shared[d] + shared[screen.D + screen.rep[i]] + shared[-1] * screen.k_centered[i]
        held = screen.guide_ids[i][screen.guide_ids[i] > 0]
        for guide in held:
            eta = eta + own[screen.gene_of_guide[guide] - 1, :, d] + delta[guide - 1]
        carried = set(screen.gene_of_guide[held].tolist())
        for gene in range(screen.L):
            if gene + 1 not in carried:
                total[gene, d] += softmax(eta + theta[gene, :, d]) - softmax(eta)
                n[gene, d] += 1
    return total / n[..., None]


def test_shapes_and_columns(placed):
    screen, design, flat, theta = placed
    mean, slope = average_change(design, flat, theta)
    n_fates = len(screen.fates)
    assert mean.shape == (screen.L, screen.D, n_fates)
    assert slope.shape == (screen.L, screen.D, n_fates, n_fates - 1)
    table = marginal_table(marginal.MarginalEffects(mean, np.abs(mean)), screen)
    assert list(table)[:7] == ["gene", "ame_d0", "ame_d1", "ame_d2", "ame_se_d0", "ame_se_d1", "ame_se_d2"]
    assert list(table)[7:9] == ["ame_EC_d0", "ame_EC_d1"]
    assert "ame_se_NEU_d2" in table
    assert "ame_MES_d0" not in table
    assert_allclose(table["ame_d1"], mean[:, 1, screen.fates.index("MES")])


def test_it_is_the_mean_over_cells_that_do_not_carry_the_gene(placed, monkeypatch):
    screen, design, flat, theta = placed
    expected = by_cell(screen, design, flat, theta)
    assert_allclose(average_change(design, flat, theta)[0], expected, atol=1e-12)
    monkeypatch.setattr(marginal, "ENTRIES_AT_ONCE", 150)  # a gene or two at a time
    assert_allclose(average_change(design, flat, theta)[0], expected, atol=1e-12)


def test_slope_is_that_of_finite_differences(placed):
    _, design, flat, theta = placed
    _, slope = average_change(design, flat, theta)
    for fate in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[:, fate] = 1e-5
        up, down = (average_change(design, flat, theta + sign * step)[0] for sign in (1, -1))
        assert_allclose(slope[..., fate], (up - down) / 2e-5, atol=1e-8)


def test_no_effect_is_no_change_and_changes_sum_to_zero(placed):
    _, design, flat, theta = placed
    assert_allclose(average_change(design, flat, np.zeros_like(theta))[0], 0, atol=1e-14)
    mean, slope = average_change(design, flat, theta)
    assert_allclose(mean.sum(axis=-1), 0, atol=1e-14)
    assert_allclose(slope.sum(axis=-2), 0, atol=1e-14)


def test_extreme_logits_stay_finite(placed):
    _, design, flat, theta = placed
    mean, slope = average_change(design, 400 * flat, 20 * theta)
    assert np.isfinite(mean).all()
    assert np.isfinite(slope).all()
    assert np.abs(mean).max() <= 1 + 1e-12


def test_a_gene_in_every_cell_has_no_average(placed):
    screen, _, _, theta = placed
    everywhere = screen.guide_ids.copy()
    everywhere[:, 0] = 1
    everyone = dataclasses.replace(screen, guide_ids=everywhere, mask=np.maximum(screen.mask, everywhere > 0))
    design = DesignMatrix(collapse(everyone))
    mean, _ = average_change(design, np.zeros(design.size), theta)
    assert np.isnan(mean[0]).all()
    assert np.isfinite(mean[1:]).all()


@pytest.mark.parametrize("guide_effects", ["random", "centred"])
def test_recovery_within_its_own_errors(guide_effects):
    simulate = SimulateConfig(n_cells=6000, n_genes=30, concentration=20.0, design="persistent")
    cfg = Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=1000),
        likelihood_weight=21.0,
    )
    cfg.model.guide_effects = guide_effects
    screen, truth = simulate_screen(simulate, cfg.data, PriorsConfig())
    posterior = posterior_moments(fit_screen(screen, cfg).draw, 1000, screen.guide_gene)
    found = marginal_effects(screen, cfg, posterior, gene_estimates(screen, cfg, posterior))
    design = DesignMatrix(collapse(screen))
    flat = np.empty(design.size)
    theta = truth.theta
    if guide_effects == "centred":  # a gene's effect is then the mean of its guides at hand
        theta = np.stack(
            [truth.guide_effects()[truth.gene_of_guide == g + 1].mean(axis=0) for g in range(screen.L)]
        )
    flat[design.theta_index] = truth.theta
    flat[design.delta_index] = truth.delta
    flat[design.shared_index] = np.concatenate([truth.alpha.T, truth.b.T, truth.gamma[None]])
    expected, _ = average_change(design, flat, theta)
    z = (found.mean - expected) / found.se
    assert np.abs(expected).max() > 0.1  # there is something to find
    assert 0.8 < np.sqrt((z**2).mean()) < 1.2

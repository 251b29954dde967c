"""Guides that may do nothing: the weighing of sets by hand, recovery, and no harm where all guides work."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from fatebias.config import (
    Config,
    DataConfig,
    DiscoveryConfig,
    ExportConfig,
    InferenceConfig,
    ModelConfig,
    PriorsConfig,
    SimulateConfig,
    TrackingConfig,
)
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.errors import ConfigError
from fatebias.estimates import inactive_guides
from fatebias.estimates.from_fit import gene_estimates
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from fatebias.run import pipeline


def analysed(**simulate):
    size = {
        "n_cells": 8000,
        "n_genes": 30,
        "concentration": 50.0,
        "design": "persistent",
        "active_share": 0.5,
    }
    data = DataConfig(source="simulated", simulate=SimulateConfig(**(size | simulate)))
    cfg = Config(
        data=data,
        inference=InferenceConfig(method="laplace", num_posterior_draws=200),
        export=ExportConfig(estimates="unshrunken"),
        likelihood_weight=50.0,
    )
    screen, truth = simulate_screen(data.simulate, data, PriorsConfig())
    posterior = posterior_moments(fit_screen(screen, cfg).draw, 200, screen.guide_gene)
    usual = gene_estimates(screen, cfg, posterior)
    allowed = dataclasses.replace(cfg, export=ExportConfig(estimates="unshrunken", inactive_guides=True))
    place = [truth.gene_names.index(gene) for gene in screen.gene_names]
    inactive = truth.inactive[[truth.guide_names.index(guide) for guide in screen.guide_names]]
    chosen = [truth.guide_names.index(guide) for guide in screen.guide_names]
    return (
        usual,
        gene_estimates(screen, allowed, posterior),
        truth.theta[place],
        inactive,
        truth.guide_effects()[chosen],
    )


@pytest.fixture(scope="module")
def quarter():
    return analysed(sigma_guide=0.2, inactive_guide_share=0.25, effect_min=0.5, seed=3)


def z_scores(given, theta):
    sd = np.sqrt(np.einsum("lfdfd->lfd", given.covariance))
    return (given.mean - theta) / sd


def test_inactive_guides_are_found_and_effects_are_those_of_active_ones(quarter):
    usual, live, theta, inactive, _ = quarter
    assert live.guides.inactive[inactive].mean() > 0.8
    assert live.guides.inactive[~inactive].mean() < 0.1
    active = (theta != 0).any(axis=(1, 2))
    before, after = (np.abs(z_scores(each, theta)[active]) < 1.96 for each in (usual, live))
    assert before.mean() < 0.88
    assert after.mean() > 0.92
    toward = np.sign(theta[active]) * (live.mean - theta)[active]
    assert abs(toward.mean()) < 0.5 * abs((np.sign(theta[active]) * (usual.mean - theta)[active]).mean())


def test_effects_of_guides_are_mixed_with_the_chance_that_they_are_inactive(quarter):
    _, live, _, inactive, effects = quarter
    surely = inactive & (live.guides.inactive > 0.95)
    assert surely.sum() >= 5
    assert np.abs(live.guides.mean[surely]).max() < 0.1
    z = (live.guides.mean - effects) / np.maximum(live.guides.sd, 0.02)
    assert (np.abs(z) < 1.96).mean() > 0.9


def test_an_only_guide_has_no_probability_of_being_inactive():
    _, live, _, _, _ = analysed(guides_per_gene=1, n_cells=2000, inactive_guide_share=0.25)
    assert np.isnan(live.guides.inactive).all()
    assert live.notes == (
        "30 guides are their gene's only one: whether they are inactive cannot be estimated",
    )


def test_where_all_guides_work_nothing_changes():
    usual, live, _, _, _ = analysed(sigma_guide=0.1, active_share=1.0, effect_min=1.0, effect_max=1.5, seed=1)
    assert live.guides.inactive.max() < 0.01
    np.testing.assert_allclose(live.mean, usual.mean, atol=0.02)
    one, other = (np.einsum("lfdfd->lfd", each.covariance) for each in (usual, live))
    np.testing.assert_allclose(other / one, 1, atol=0.15)
    assert "estimated 0." in live.notes[0]


def test_covariances_are_proper(quarter):
    _, live, _, _, _ = quarter
    flat = live.covariance.reshape(30, 8, 8)
    np.testing.assert_allclose(flat, np.swapaxes(flat, 1, 2), atol=1e-12)
    assert np.linalg.eigvalsh(flat).min() > 0


def test_sets_are_weighed_as_by_quadrature():
    """Two guides, one day, one fate; every integral by sums over a grid."""
    found, errors = np.array([0.9, 0.1]), np.array([0.3, 0.25])
    share, spread = 0.2, 0.4
    precision = (1 / errors**2)[:, None, None]
    linear = (found / errors**2)[:, None]
    sizes = np.array([0.3, 0.2, 0.4, 0.1])
    [gene] = inactive_guides._weigh_all(
        (precision, linear), [np.array([0, 1])], share, np.array([spread]), sizes
    )
    theta = np.linspace(-12, 12, 20_001)
    step = theta[1] - theta[0]
    live = norm.pdf(found[:, None], theta, np.hypot(errors, spread)[:, None])  # (2, grid)
    inactive = norm.pdf(found, 0, errors)
    slabs = [norm.pdf(theta, 0, size) for size in inactive_guides.SIZES]
    weights, of_sizes, means = [], np.zeros(4), []
    broad = norm.pdf(theta, 0, inactive_guides.BROAD)
    for alive in ([1, 1], [0, 1], [1, 0]):
        likelihood = np.prod(
            [live[g] if alive[g] else np.full_like(theta, inactive[g]) for g in (0, 1)], axis=0
        )
        prior = np.prod([1 - share if a else share for a in alive])
        at_zero = likelihood[len(theta) // 2]
        parts = sizes * np.array([at_zero, *((likelihood * slab).sum() * step for slab in slabs)])
        weights.append(prior * parts.sum())
        of_sizes += prior * parts
        posterior = likelihood * broad
        means.append((posterior * theta).sum() / posterior.sum())
    weights = np.array(weights) / np.sum(weights)
    np.testing.assert_allclose(gene.inactive, [weights[1], weights[2]], rtol=1e-4)
    np.testing.assert_allclose(gene.sizes, of_sizes / of_sizes.sum(), rtol=1e-4)
    assert gene.mean[0] == pytest.approx(weights @ means, rel=1e-4)


@pytest.mark.parametrize(("n_guides", "expected"), [(1, 1), (3, 7), (8, 255), (14, 1 + 14 + 91 + 364)])
def test_sets_of_live_guides(n_guides, expected):
    sets = inactive_guides._sets(n_guides)
    assert sets.shape == (expected, n_guides)
    assert len(np.unique(sets, axis=0)) == expected
    assert sets.sum(axis=1).min() >= 1


@pytest.mark.parametrize(
    "settings",
    [{"estimates": "posterior"}, {"estimates": "unshrunken", "se": "sandwich"}],
    ids=["posterior", "sandwich"],
)
def test_settings_that_do_not_go_together(settings):
    with pytest.raises(ConfigError, match="export.inactive_guides"):
        ExportConfig(inactive_guides=True, **settings)


def test_centred_guides_are_refused():
    with pytest.raises(ConfigError, match="guide_effects=centred"):
        Config(
            export=ExportConfig(estimates="unshrunken", inactive_guides=True),
            model=ModelConfig(guide_effects="centred"),
        )


@pytest.mark.slow
def test_a_run_names_the_dead(tmp_path):
    simulate = SimulateConfig(
        n_cells=3000, n_genes=10, concentration=50.0, inactive_guide_share=0.25, design="persistent"
    )
    cfg = Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=200, progress=False),
        export=ExportConfig(estimates="unshrunken", inactive_guides=True),
        discovery=DiscoveryConfig(engine="native", null_correlation="fit"),
        tracking=TrackingConfig(backend="off"),
        likelihood_weight=50.0,
        out_dir=str(tmp_path),
        stages=["fit", "discover"],
    )
    pipeline.run(cfg)
    guides = pd.read_csv(tmp_path / "guide_summary.csv")
    assert guides["p_inactive"].between(0, 1).all()
    assert "guides may be inactive" in (tmp_path / "run.json").read_text()

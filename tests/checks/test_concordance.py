"""Replicates fitted apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fatebias.checks.concordance import compare, concordance, summary_line
from fatebias.config import Config, DataConfig, InferenceConfig, SimulateConfig, weight_asked
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments


def drawn(n=4000, same=1.0, error=0.5):
    """Effects of SD 1 with correlation `same` between replicates, and errors."""
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=n), rng.normal(size=(2, n))
    effects = np.sqrt(same) * shared + np.sqrt(1 - same) * own
    variance = np.full((2, n), error**2)
    return effects + error * rng.normal(size=(2, n)), variance, np.abs(shared) > 2


def test_equal_effects_differ_by_their_errors_alone():
    found = compare(*drawn())
    assert found["correlation"] == pytest.approx(1 / 1.25, abs=0.02)
    assert found["correlation_of_effects"] == pytest.approx(1, abs=0.02)
    assert found["difference_ratio"] == pytest.approx(1, abs=0.06)
    assert found["sign_agreement"] < found["sign_agreement_clear"]
    assert found["sign_agreement_clear"] > 0.99


def test_effects_that_half_agree_are_told_from_noise():
    found = compare(*drawn(same=0.5))
    assert found["correlation_of_effects"] == pytest.approx(0.5, abs=0.05)
    assert found["difference_ratio"] == pytest.approx(3, rel=0.1)


def test_noise_alone_has_no_correlation_of_effects():
    effects, variance, _ = drawn(n=300)
    noise = 0.5 * np.random.default_rng(1).normal(size=effects.shape)
    found = compare(noise, variance, np.zeros(300, dtype=bool))
    assert np.isnan(found["correlation_of_effects"])
    assert np.isnan(found["sign_agreement_clear"])
    assert abs(found["correlation"]) < 0.2


def test_rough_effects_count_less():
    effects, variance, clear = drawn(n=400)
    rough = np.concatenate([effects, 50 * np.random.default_rng(2).normal(size=(2, 400))], axis=1)
    found = compare(rough, np.concatenate([variance, np.full((2, 400), 2500.0)], axis=1), np.tile(clear, 2))
    assert found["correlation"] > 0.6
    assert np.corrcoef(rough)[0, 1] < 0.1


def test_two_genes_are_too_few():
    found = compare(np.ones((2, 2)), np.ones((2, 2)), np.ones(2, dtype=bool))
    assert found["n"] == 2
    assert np.isnan(found["correlation"])


@pytest.fixture(scope="module")
def screened():
    simulate = SimulateConfig(
        n_cells=6000, n_genes=30, concentration=20.0, design="persistent", active_share=0.5
    )
    cfg = Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=400),
        likelihood_weight=21.0,
    )
    screen, _ = simulate_screen(simulate, cfg.data, cfg.priors)
    return screen, cfg, posterior_moments(fit_screen(screen, cfg).draw, 400, screen.guide_gene)


def test_replicates_of_one_screen_agree(screened):
    screen, cfg, posterior = screened
    table, report = concordance(screen, cfg, weight_asked(cfg), posterior)
    assert len(table) == screen.D + 1
    assert report["n"] == 30 * 4
    assert report["correlation"] > 0.9
    assert report["difference_ratio"] == pytest.approx(1, abs=0.3)
    assert report["sign_agreement_clear"] == 1
    assert "same sign" in summary_line(report)


def test_a_replicate_of_other_cells_does_not(screened):
    """The labels of the second replicate are those of other cells of its day."""
    screen, cfg, posterior = screened
    p = screen.p.copy()
    for day in range(screen.D):
        here = np.flatnonzero((screen.rep == 1) & (screen.day == day))
        p[here] = p[np.random.default_rng(day).permutation(here)]
    _, report = concordance(dataclasses.replace(screen, p=p), cfg, weight_asked(cfg), posterior)
    assert abs(report["correlation"]) < 0.3
    assert report["difference_ratio"] > 2


def test_days_that_replicates_do_not_share_are_left_out(screened):
    screen, cfg, posterior = screened
    rep = np.where(screen.day == 0, 0, screen.rep).astype(screen.rep.dtype)
    table, report = concordance(dataclasses.replace(screen, rep=rep), cfg, weight_asked(cfg), posterior)
    assert table["n"].tolist() == [0, 30, 30, 30, 90]
    assert np.isnan(table["correlation"][0])
    assert report["correlation"] > 0.9

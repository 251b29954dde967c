"""Simulation-based calibration: screens drawn from the priors that fit them, intervals against the truth."""

import numpy as np
import pytest

from fatebias.config import Config, DataConfig, InferenceConfig, SimulateConfig
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from tests.screens import NARROW

SCREENS = 30


@pytest.fixture(scope="module")
def screens():
    """Draw the screens once for all ways of inference."""
    # concentration near zero: every label is a single draw of a fate, for which weight 1 is exact
    settings = {"n_cells": 5000, "n_genes": 20, "guides_per_gene": 3, "n_ntc_guides": 8, "moi": 2.0}
    settings |= {"design": "prior", "concentration": 1e-3}
    return [
        simulate_screen(SimulateConfig(seed=seed, **settings), DataConfig(), NARROW)
        for seed in range(SCREENS)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "inference",
    [pytest.param({"num_steps": 150}, marks=pytest.mark.soak), {"method": "laplace"}],
    ids=["default family", "laplace"],
)
def test_95_percent_intervals_of_theta_cover_the_truth_as_often_as_they_say(screens, inference):
    settings = InferenceConfig(progress=False, num_posterior_draws=1000, **inference)
    z = []
    for seed, (screen, truth) in enumerate(screens):
        fit = fit_screen(screen, Config(priors=NARROW, inference=settings, seed=seed))
        posterior = posterior_moments(fit.draw, settings.num_posterior_draws, screen.guide_gene)
        z.append((posterior.theta_mean - truth.theta) / posterior.theta_sd)
    z = np.array(z)
    covered = (np.abs(z) < 1.96).mean(axis=(0, 1))
    print("coverage", (np.abs(z) < 1.96).mean().round(4), "by fate and day", covered.round(3).tolist())
    assert 0.93 <= (np.abs(z) < 1.96).mean() <= 0.97
    assert np.all((covered > 0.91) & (covered < 0.985))
    assert abs(z.mean()) < 0.1

"""Covariates in the model: the plain formula, the same posterior collapsed or not, what they set right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyro
import pytest
import torch

from fatebias import names
from fatebias.config import Config, DataConfig, InferenceConfig, PriorsConfig, SimulateConfig
from fatebias.data.collapse import collapse, each_cell
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.data.synthetic import tilt_cells
from fatebias.estimates.covariate_effects import covariate_effects, covariate_line
from fatebias.inference.fit import fit_screen
from fatebias.inference.laplace import fit_laplace
from fatebias.inference.mean_field import _site_values, draws_from_sites
from fatebias.inference.posterior import posterior_moments
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.effects import guide_day_table
from fatebias.model.fate_model import fate_model
from fatebias.model.tensors import design_tensors
from fatebias.model.variational import IndependentNoise, VariationalInit
from tests.screens import NARROW, plain_log_likelihood, small_screen, with_covariates


@pytest.fixture(scope="module")
def screen():
    return with_covariates(small_screen(400))


def test_the_likelihood_is_the_plain_sum(screen):
    design = DesignMatrix(collapse(screen))
    flat = np.random.default_rng(0).normal(0, 0.5, design.size)
    theta, delta, shared = design.split(flat)
    alpha, b, gamma, covar = shared[:3].T, shared[3:5].T, shared[5], shared[6:].T
    total = 0.0
    for i in range(screen.N):  # one cell at a time, its covariates in the day's intercept
        one = dataclasses.replace(
            screen,
            **{
                name: getattr(screen, name)[i : i + 1]
                for name in ("p", "guide_ids", "mask", "k_centered", "day", "rep", "weight")
            },
        )
        shift = (covar @ screen.covariates[i])[:, None]
        total += plain_log_likelihood(one, alpha + shift, b, gamma, theta, delta)
    regression = design.regression()
    assert regression.value(regression.logits(flat)) == pytest.approx(total, rel=1e-12)
    tensors = design_tensors(design.rows, dtype=torch.float64)
    parts = [torch.from_numpy(np.ascontiguousarray(part)) for part in (theta, delta, shared)]
    table = guide_day_table(parts[0], parts[1], tensors.guide_gene)
    assert float(tensors.log_likelihood(table, parts[2])) == pytest.approx(total, rel=1e-12)


def test_cells_collapse_where_covariates_agree(screen):
    rows = collapse(screen)
    assert rows.n_rows < screen.N
    assert rows.n_covariates == 4
    np.testing.assert_array_equal(rows.covariates[rows.row_of_cell], screen.covariates)
    finer = with_covariates(screen, np.random.default_rng(1).normal(size=(screen.N, 1)))
    assert collapse(finer).n_rows == screen.N


def test_the_posterior_is_the_same_collapsed_or_not(screen):
    both = [fit_laplace(DesignMatrix(rows_of(screen)), NARROW) for rows_of in (collapse, each_cell)]
    np.testing.assert_allclose(both[0].mean, both[1].mean, atol=2e-5)


def test_the_sample_site_and_its_prior(screen):
    tensors = design_tensors(collapse(screen))
    trace = pyro.poutine.trace(fate_model).get_trace(tensors, PriorsConfig(s_covar=0.3))
    assert set(trace.nodes) >= {*names.LATENT_SITES, "covar"}
    site = trace.nodes["covar"]
    assert tuple(site["value"].shape) == (2, 4)
    value = torch.full((2, 4), 0.7, dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 0.3).log_prob(value).sum()
    assert float(site["fn"].log_prob(value)) == pytest.approx(float(expected))
    assert (
        "covar"
        not in pyro.poutine.trace(fate_model)
        .get_trace(design_tensors(collapse(small_screen(200))), PriorsConfig())
        .nodes
    )


def test_the_prior_is_that_of_its_own_scale(screen):
    design = DesignMatrix(collapse(screen))
    precision = design.prior_precision(PriorsConfig(s_covar=0.3), np.ones((2, 4))).diagonal()
    np.testing.assert_allclose(precision[design.shared_index[6:]], 0.3**-2)
    np.testing.assert_allclose(precision[design.shared_index[5]], 0.8**-2)


def test_plain_mean_field_begins_at_the_effects_and_draws_them(screen):
    design = DesignMatrix(collapse(screen))
    mean = np.random.default_rng(2).normal(size=design.size)
    noise = IndependentNoise(1.0, design.size)
    start = VariationalInit(mean, noise, np.ones(design.size), np.full((2, 4), 4.0))
    values = _site_values(design, start, torch.device("cpu"))
    sites = {name: value.unsqueeze(0) for name, value in values.items()}
    drawn = draws_from_sites(sites, design)
    for found, expected in zip((drawn.theta, drawn.delta, drawn.shared), design.split(mean), strict=True):
        np.testing.assert_allclose(found[0], expected, atol=1e-12)


def lane_screen(effect, seed=0):
    """No gene acts; the first gene was mostly in lane 2, which moves fates by `effect`; so does depth."""
    simulate = SimulateConfig(
        n_cells=4000, n_genes=8, guides_per_gene=3, n_ntc_guides=6, n_days=2, moi=1.0, design="no_effects",
        concentration=20.0, seed=seed, sigma_guide=0.0,
    )  # fmt: skip
    screen, _ = simulate_screen(simulate, DataConfig(), PriorsConfig())
    rng = np.random.default_rng([7, seed])
    first = (screen.gene_of_guide[screen.guide_ids] == 1).any(axis=1)
    lane = (rng.random(screen.N) < np.where(first, 0.9, 0.4)).astype(int)
    depth = rng.normal(size=screen.N)
    moved = np.zeros((screen.N, 2))
    moved[:, screen.contrast_index] = effect * (lane - 0.4) + effect * depth
    columns = np.column_stack([depth, lane == 0, lane == 1]).astype(float)
    return tilt_cells(screen, moved), columns


def first_gene(screen, method="laplace"):
    """Estimate and error of the first gene on the contrast fate, by day, and the shared effects."""
    config = Config(inference=InferenceConfig(method=method, progress=False, num_steps=200))
    fit = fit_screen(screen, config, 20.0, judge=False)
    found = posterior_moments(fit.draw, 1000, screen.guide_gene, flips=False)
    at = screen.contrast_index
    return found.theta_mean[0, at], found.theta_sd[0, at], found.shared_mean[:, at]


@pytest.mark.parametrize("method", ["laplace", "svi"])
def test_a_lane_that_moves_fates_makes_an_effect_that_the_covariate_takes_away(method):
    screen, columns = lane_screen(0.8)
    without, sd, _ = first_gene(screen, method)
    assert (without / sd > 3).all()
    mean, sd, shared = first_gene(with_covariates(screen, columns), method)
    assert (np.abs(mean) < 3 * sd).all()
    depth, apart = shared[-3], shared[-1] - shared[-2]
    assert depth == pytest.approx(0.8, abs=0.08)
    assert apart == pytest.approx(0.8, abs=0.12)


def test_a_real_effect_stays(screen):
    plain, columns = lane_screen(0.8)
    carriers = (plain.gene_of_guide[plain.guide_ids] == 1).any(axis=1)
    moved = np.zeros((plain.N, 2))
    moved[carriers, plain.contrast_index] = 0.6
    mean, sd, _ = first_gene(with_covariates(tilt_cells(plain, moved), columns))
    assert (np.abs(mean - 0.6) < 3 * sd).all()


def test_what_the_fit_found_is_told_by_name():
    plain, columns = lane_screen(0.8)
    screen = dataclasses.replace(
        with_covariates(plain, columns), covariate_names=("log_umi", "lane=1", "lane=2")
    )
    config = Config(inference=InferenceConfig(method="laplace", progress=False))
    fit = fit_screen(screen, config, 20.0, judge=False)
    found = covariate_effects(posterior_moments(fit.draw, 1000, screen.guide_gene, flips=False), screen)
    assert list(found) == ["log_umi", "lane=1", "lane=2"]
    assert found["log_umi"]["MES"]["mean"] == pytest.approx(0.8, abs=0.08)
    assert abs(found["log_umi"]["NEU"]["mean"]) < 4 * found["log_umi"]["NEU"]["sd"]
    assert found["lane=2"]["MES"]["mean"] - found["lane=1"]["MES"]["mean"] == pytest.approx(0.8, abs=0.12)
    line = covariate_line(found, "MES")
    assert line.startswith("covariates, effect on MES: log_umi +0.")
    assert ", lane=1 -0." in line

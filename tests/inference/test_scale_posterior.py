"""Scales integrated out: the formulas against plain linear algebra, the result against NUTS."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import qmc

from fatebias.config import Config, DataConfig, InferenceConfig, PriorsConfig
from fatebias.data.collapse import collapse
from fatebias.data.load import load_screen
from fatebias.inference import scale_posterior, scale_proposal
from fatebias.inference.fit import fit_screen
from fatebias.inference.laplace import fit_laplace
from fatebias.inference.scale_posterior import integrate_scales
from fatebias.model.design_matrix import DesignMatrix
from tests.screens import NARROW, small_screen

FOLDER = Path(__file__).parents[1] / "golden" / "posterior"


@pytest.fixture(scope="module")
def solved():
    design = DesignMatrix(collapse(small_screen()))
    return design, fit_laplace(design, NARROW, likelihood_weight=0.7, max_rounds=60)


@pytest.fixture(scope="module")
def quadratic(solved):
    design, laplace = solved
    return scale_posterior._Dense(design, laplace, NARROW, 0.7)


def plain_log_evidence(quadratic, design, log_scale):
    """log N(0; m, information^-1 + prior^-1) and the hyperprior, up to a constant, with dense matrices alone.

    The quadratic likelihood is that of one observation m of the effects with precision `information`.
    """
    prior = design.prior_precision(NARROW, np.exp(-2 * log_scale)).toarray()
    mean = quadratic.laplace.mean
    linear = quadratic.gradient + quadratic.information @ mean
    both = quadratic.information + prior
    height = 0.5 * linear @ np.linalg.solve(both, linear)
    volume = 0.5 * np.linalg.slogdet(prior)[1] - 0.5 * np.linalg.slogdet(both)[1]
    scale = np.exp(log_scale)
    return height + volume + np.sum(log_scale - scale**2 / (2 * quadratic.widths**2))


def test_the_evidence_of_any_scales_is_that_of_plain_linear_algebra(solved, quadratic):
    design, laplace = solved
    mode = -0.5 * np.log(laplace.scale_precision)
    places = mode + np.random.default_rng(1).normal(0, 0.7, size=(5, *mode.shape))
    found = np.array([quadratic.at(each).log_evidence for each in places])
    plain = np.array([plain_log_evidence(quadratic, design, each) for each in places])
    np.testing.assert_allclose(found - found[0], plain - plain[0], atol=1e-6)
    assert np.ptp(found) > 1


def test_the_effects_given_scales_are_those_of_plain_linear_algebra(solved, quadratic):
    design, laplace = solved
    log_scale = -0.5 * np.log(laplace.scale_precision) + 1.5
    prior = design.prior_precision(NARROW, np.exp(-2 * log_scale)).toarray()
    covariance = np.linalg.inv(quadratic.information + prior)
    mean = covariance @ (quadratic.gradient + quadratic.information @ laplace.mean)
    sd = np.sqrt(covariance.diagonal())
    drawn = laplace.mean + quadratic.at(log_scale).draw(20_000, torch.Generator().manual_seed(0))
    assert (np.abs(mean - laplace.mean) > 0.2 * sd).any()
    np.testing.assert_allclose((drawn.mean(axis=0) - mean) / sd, 0, atol=0.04)
    np.testing.assert_allclose(drawn.std(axis=0), sd, rtol=0.03)


def test_a_profile_is_the_evidence_along_one_scale(solved, quadratic):
    design, laplace = solved
    mode = -0.5 * np.log(laplace.scale_precision)
    for number, profile in enumerate(quadratic.proposal().profiles):
        fate, k = divmod(number, mode.shape[1])
        along = np.array([-1.0, 0.0, 0.8])
        places = np.repeat(mode[None], 3, axis=0)
        places[:, fate, k] += along
        direct = np.array([plain_log_evidence(quadratic, design, each) for each in places])
        found = np.interp(mode[fate, k] + along, profile.log_scale, profile.log_density)
        # The factor of the Laplace solution is that of its last step, so a little off the mode.
        np.testing.assert_allclose(found - found[1], direct - direct[1], atol=0.02)


def test_the_mixed_curvature_is_that_of_plain_linear_algebra(solved, quadratic):
    """By differences of the evidence in two log precisions."""
    design, laplace = solved
    mode = -0.5 * np.log(laplace.scale_precision)
    scales = quadratic.scales
    step = 0.05
    for j, k in ((1, 0), (3, 0), (7, 3), (5, 4)):
        found = scales[j].precision * scales[k].precision * quadratic._mixed(j, k)
        direct = 0.0
        for one in (-1, 1):
            for other in (-1, 1):
                place = mode.ravel().copy()
                place[[j, k]] -= 0.5 * step * np.array([one, other])  # x = -2 log s
                direct += one * other * plain_log_evidence(quadratic, design, place.reshape(mode.shape))
        assert found == pytest.approx(direct / (4 * step**2), rel=0.1, abs=0.005)


def test_the_proposal_knows_its_own_density(quadratic):
    """Over even points of the cube, the mean of f / density is the integral of f: here 1 and a known mean."""
    proposal = quadratic.proposal()
    pair = scale_proposal.Proposal(
        proposal.profiles[:2], np.linalg.cholesky(np.array([[1.0, 0.3], [0.3, 1.0]])), (2,)
    )
    edge = (np.arange(800) + 0.5) / 800
    uniform = np.stack(np.meshgrid(edge, edge), axis=-1).reshape(-1, 2)
    log_scale, log_density = pair.at(uniform)
    own = np.sum(
        [
            np.interp(log_scale[:, k], each.log_scale, each.log_density)
            for k, each in enumerate(pair.profiles)
        ],
        axis=0,
    )
    weight = np.exp(own - log_density)
    assert weight.mean() == pytest.approx(1, abs=0.01)
    for k, each in enumerate(pair.profiles):
        grid = each.log_scale[1] - each.log_scale[0]
        mean = (each.log_scale * np.exp(each.log_density)).sum() * grid
        assert (weight * log_scale[:, k]).mean() == pytest.approx(mean, abs=0.02)


def test_a_proposal_beside_the_posterior_moves_to_it(quadratic, monkeypatch):
    aside = replace(quadratic.proposal(), mean=1.5)
    monkeypatch.setattr(quadratic, "proposal", lambda: aside, raising=False)
    uniform = qmc.Sobol(quadratic.laplace.scale_precision.size, seed=0).random(64)

    def points_used():
        _, share = scale_posterior._weighed(quadratic, uniform)
        assert share.sum() == pytest.approx(1)
        return 1 / (share**2).sum()

    moved = points_used()
    monkeypatch.setattr(scale_posterior, "MOST_MOVES", 0)
    assert points_used() < 8
    assert moved > 16


def test_points_without_their_factors_kept_give_the_same_posterior(solved, monkeypatch):
    design, laplace = solved
    monkeypatch.setattr(scale_posterior, "MOST_POINTS", 16)
    kept = integrate_scales(design, laplace, NARROW, 0.7, 300, seed=0)
    monkeypatch.setattr(scale_posterior, "KEPT_BYTES", 0)
    again = integrate_scales(design, laplace, NARROW, 0.7, 300, seed=0)
    np.testing.assert_array_equal(kept.moves, again.moves)


def test_fixed_scales_stay_at_their_most_probable_value():
    screen = small_screen()
    inference = InferenceConfig(method="laplace", progress=False, num_posterior_draws=1000)
    sds = {}
    for scales in ("integrated", "fixed"):
        cfg = Config(priors=NARROW, inference=replace(inference, scales=scales))
        fit = fit_screen(screen, cfg)
        sds[scales] = np.log(fit.draw(1000).scales).std(axis=0)
        assert ("scale_points_used" in fit.diagnostics) == (scales == "integrated")
    assert (sds["integrated"] > 1.5 * sds["fixed"]).all()


@pytest.mark.slow
def test_scales_match_nuts(tmp_path):
    """Means within a third of an SD, SDs within a quarter (tests/golden/posterior/README.md)."""
    data = DataConfig(
        source="anndata",
        adata_path=str(FOLDER / "ref50.h5ad"),
        guide_map_csv=str(FOLDER / "ref50_guide_map.csv"),
    )
    screen = load_screen(data, PriorsConfig(), tmp_path)
    scales = fit_screen(screen, Config(inference=InferenceConfig(method="laplace"))).draw(4000).scales
    table = pd.read_csv(FOLDER / "ref50_nuts_scales.csv")
    by_site = [table[table["site"] == site] for site in ("tau", "sigma_time", "sigma_guide")]
    mean, sd = (
        np.column_stack([each[name].to_numpy().reshape(2, -1) for each in by_site]) for name in ("mean", "sd")
    )
    print((scales.std(axis=0) / sd).round(2), ((scales.mean(axis=0) - mean) / sd).round(2))
    np.testing.assert_allclose(scales.std(axis=0), sd, rtol=0.25)
    assert (np.abs(scales.mean(axis=0) - mean) < 0.35 * sd).all()

"""The weight that the data suggest, robust errors and exports, on screens whose answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fatebias.config import Config, DataConfig, ExportConfig, InferenceConfig, PriorsConfig, SimulateConfig
from fatebias.data.collapse import collapse
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.data.synthetic import subset
from fatebias.estimates.from_fit import contrast_estimates
from fatebias.estimates.likelihood_weight import WeightEstimate, choose, estimate_weight
from fatebias.estimates.sandwich import fit_broad, linearise, linearise_at
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from fatebias.model.design_matrix import DesignMatrix


def simulated(**changed):
    settings = {"n_cells": 4000, "n_genes": 20, **changed}
    cfg = Config(
        data=DataConfig(source="simulated", simulate=SimulateConfig(**settings)),
        likelihood_weight="auto",
        inference=InferenceConfig(method="laplace", num_posterior_draws=400),
    )
    screen, _ = simulate_screen(cfg.data.simulate, cfg.data, cfg.priors)
    return screen, cfg


@pytest.mark.parametrize("concentration", [1.0, 20.0])
def test_dirichlet_labels_weigh_one_more_than_their_concentration(concentration):
    screen, cfg = simulated(concentration=concentration)
    report = estimate_weight(screen, cfg)
    for way in ("dispersion", "information"):
        assert report.estimates[way].weight == pytest.approx(concentration + 1, rel=0.06)
    controls = report.estimates["controls"]
    assert controls.low < concentration + 1 < controls.high
    assert report.weight == pytest.approx(concentration + 1, rel=0.06)


@pytest.fixture(scope="module")
def noise_by_day_and_fate():
    """Labels without effects that scatter by day like c = 20, 10, 5, 2, for MES but not for NEU."""
    screen, cfg = simulated(n_cells=6000, n_genes=12, design="no_effects", sigma_guide=0.0)
    rng = np.random.default_rng(5)
    spread = 1 / (1 + np.array([20.0, 10.0, 5.0, 2.0]))[screen.day]
    mes = 0.4 * rng.dirichlet([1.0, 1.0], screen.N)  # of EC and MES together, split anew in each cell
    p = np.stack([mes[:, 0], mes[:, 1], np.full(screen.N, 0.6)], axis=1)
    tight = np.array([0.2, 0.2, 0.6])
    p = tight + np.sqrt(spread)[:, None] * (p - tight)
    return dataclasses.replace(screen, p=p), cfg, spread


def test_each_day_weighs_what_its_labels_are_worth(noise_by_day_and_fate):
    screen, cfg, spread = noise_by_day_and_fate
    report = estimate_weight(screen, cfg)
    assert report.by_day is not None
    weight = np.array(list(report.by_day.values()))
    of_day = np.array([spread[screen.day == d][0] for d in range(screen.D)])
    np.testing.assert_allclose(weight * of_day, np.mean(weight * of_day), rtol=0.1)
    weighed, level = report.weigh(screen)
    assert weighed.weight.mean() == pytest.approx(1)
    assert level == pytest.approx(report.weight) == pytest.approx(np.mean(weight[screen.day]))
    for d, label in enumerate(screen.day_labels):
        found = weighed.weight[screen.day == d] * level
        np.testing.assert_allclose(found, report.by_day[label])


def test_a_weight_is_suggested_once_for_settings_that_do_not_decide_it():
    screen, auto = simulated(n_cells=800, n_genes=6)
    cfg = dataclasses.replace(auto, likelihood_weight=1.0)
    first = estimate_weight(screen, cfg)
    assert estimate_weight(screen, dataclasses.replace(cfg, likelihood_weight=0.5)) is first
    assert estimate_weight(screen, auto) is not first
    tight = dataclasses.replace(cfg, priors=PriorsConfig(s_alpha=0.1))
    assert estimate_weight(screen, tight).weight != first.weight
    assert estimate_weight(dataclasses.replace(screen), cfg) is not first


def test_a_day_of_few_cells_has_about_the_weight_of_the_others():
    """Free effects by gene and day follow the labels of twenty cells, which then seem not to scatter."""
    screen, cfg = simulated(n_cells=3000, n_genes=20, n_days=3, concentration=40.0)
    few = np.flatnonzero(screen.day == 2)[20:]
    screen = subset(screen, ~np.isin(np.arange(screen.N), few))
    by_day = list(estimate_weight(screen, cfg).by_day.values())
    assert by_day[2] == pytest.approx(41, rel=0.25)
    assert by_day[:2] == pytest.approx([41, 41], rel=0.1)


def test_a_number_is_one_weight_for_all_days(noise_by_day_and_fate):
    screen, cfg, _ = noise_by_day_and_fate
    report = estimate_weight(screen, dataclasses.replace(cfg, likelihood_weight=1.0))
    assert report.by_day is None
    assert report.weigh(screen) == (screen, report.weight)


def test_scatter_is_told_apart_by_fate(noise_by_day_and_fate):
    screen, cfg, spread = noise_by_day_and_fate
    report = estimate_weight(screen, cfg)
    for d, label in enumerate(screen.day_labels):
        mes = report.scatter[label]["MES"]
        # the labels' variance, 0.4^2 / 12, over that of a draw with probability 0.2
        truly = 0.2 * 0.8 / (spread[screen.day == d][0] * 0.4**2 / 12)
        assert mes["low"] < truly < mes["high"]
        assert report.scatter[label]["NEU"]["weight"] > 3 * mes["weight"]


def test_errors_are_those_of_the_fate_whose_labels_are_loose(noise_by_day_and_fate):
    screen, cfg, _ = noise_by_day_and_fate
    screen, weight = estimate_weight(screen, cfg).weigh(screen)
    design = DesignMatrix(collapse(screen))
    fit = fit_broad(design, cfg.priors, weight, 0.01)
    cells = linearise(screen, cfg, fit, weight)
    mes = design.theta_index[:, screen.fates[1:].index("MES")]
    places = mes.ravel()
    covariances = (cells.covariance[np.ix_(places, places)], cells.by_fate(screen.day, places))
    z = [fit.mean[places] / np.sqrt(np.diagonal(v)) for v in covariances]
    model, by_fate = (float(np.sqrt((each**2).mean())) for each in z)
    assert by_fate == pytest.approx(1, abs=0.25)  # 48 scores
    assert model > 1.3


def test_where_fates_scatter_alike_errors_are_the_models():
    screen, cfg = simulated(n_cells=3000, n_genes=8, concentration=10.0)
    screen, weight = estimate_weight(screen, cfg).weigh(screen)
    design = DesignMatrix(collapse(screen))
    fit = fit_broad(design, cfg.priors, weight)
    cells = linearise(screen, cfg, fit, weight)
    theta = design.theta_index.ravel()
    ratio = np.diagonal(cells.by_fate(screen.day, theta)) / np.diagonal(cells.covariance)[theta]
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert np.abs(ratio - 1).max() < 0.25


def test_noise_shared_within_clusters_is_seen_by_the_clustered_information_alone():
    """Every cell is there eight times: the labels are worth an eighth of what single cells seem to say."""
    screen, cfg = simulated(concentration=5.0, n_cells=1500, n_genes=6)
    each = np.repeat(np.arange(screen.N, dtype=np.int32), 8)
    copies = dataclasses.replace(subset(screen, each), cluster=each)
    report = estimate_weight(copies, dataclasses.replace(cfg, likelihood_weight=1.0))
    assert report.estimates["dispersion"].weight == pytest.approx(6, rel=0.1)
    assert report.estimates["information"].weight == pytest.approx(6 / 8, rel=0.12)
    assert report.method == "information"


def test_few_clusters_are_said_to_be_too_few():
    screen, cfg = simulated(n_cells=1000, n_genes=5)
    report = estimate_weight(screen, dataclasses.replace(cfg, likelihood_weight=1.0))
    assert any("fewer than 12 clusters (8) are too few" in note for note in report.notes)
    assert "controls" not in report.estimates  # fits of its own, only where a weight is asked for


def test_auto_takes_the_smallest_that_is_surely_smaller():
    ways = {
        "dispersion": WeightEstimate(10.0),
        "information": WeightEstimate(9.0, 8.0, 11.0),
        "controls": WeightEstimate(4.0, 2.0, 7.0),
    }
    lowered = choose(ways, "auto", 20, "x")
    assert (lowered.method, lowered.weight) == ("controls", 7.0)  # no further than its interval bears
    ways["controls"] = WeightEstimate(4.0, 1.0, 12.0)
    assert choose(ways, "auto", 20, "x").method == "dispersion"
    assert choose(ways, "information", 20, "x").weight == 9.0


def test_a_way_that_cannot_be_gone_is_said():
    found = choose(
        {"dispersion": WeightEstimate(3.0), "controls": WeightEstimate(None, note="2 NTC guides")},
        "controls",
        8,
        "x",
    )
    assert found.weight == 3.0
    assert any("is not possible" in note for note in found.notes)


@pytest.fixture(scope="module")
def fitted():
    screen, cfg = simulated(concentration=10.0)
    cfg = dataclasses.replace(cfg, likelihood_weight=11.0)
    return screen, cfg, posterior_moments(fit_screen(screen, cfg).draw, 400, screen.guide_gene)


@pytest.mark.parametrize("estimates", ["posterior", "unshrunken"])
def test_robust_errors_agree_with_the_models_where_the_model_is_right(fitted, estimates):
    screen, cfg, posterior = fitted

    def se(kind):
        return contrast_estimates(
            screen, dataclasses.replace(cfg, export=ExportConfig(estimates, kind)), posterior
        ).se

    ratio = se("sandwich") / se("posterior")
    assert np.median(ratio) == pytest.approx(1, abs=0.06)
    assert 0.6 < ratio.min()
    assert ratio.max() < 1.6


def test_robust_errors_grow_where_cells_are_copies(fitted):
    """Four copies of each cell, counted as one cluster: the model's errors halve, the robust ones do not."""
    screen, cfg, _ = fitted
    each = np.repeat(np.arange(screen.N, dtype=np.int32), 4)
    copies = dataclasses.replace(subset(screen, each), cluster=each)
    design = DesignMatrix(collapse(copies))
    fit = fit_broad(design, cfg.priors, 11.0, 0.01)
    cells = linearise_at(copies, cfg, fit.mean, fit.scale_precision, 11.0)
    index = design.theta_index[:, 0]
    model = np.sqrt(np.diagonal(cells.covariance)[index])
    robust = np.sqrt(np.diagonal(cells.robust(index), axis1=1, axis2=2))
    assert np.median(robust / model) == pytest.approx(2, rel=0.12)


def test_unshrunken_estimates_move_away_from_their_neighbours(fitted):
    screen, cfg, posterior = fitted
    free = contrast_estimates(screen, dataclasses.replace(cfg, export=ExportConfig("unshrunken")), posterior)
    kept = contrast_estimates(screen, cfg, posterior)
    np.testing.assert_array_equal(kept.betahat, posterior.theta_mean[:, screen.contrast_index])
    assert np.diff(free.betahat, axis=1).std() > np.diff(kept.betahat, axis=1).std()
    assert (free.se >= kept.se * 0.98).all()

"""Refits under other weights: against exact fits, robust errors, and through the whole pipeline."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from fatebias.checks import refit as refitting
from fatebias.checks.centre import centre_of_run, find_centre
from fatebias.checks.pool import main
from fatebias.checks.refit import refit
from fatebias.checks.resample import Resample
from fatebias.checks.resample_tables import account
from fatebias.checks.resampling import bootstrap, jackknife
from fatebias.checks.units import Units, bootstrap_weights, jackknife_weights, resampling_units
from fatebias.config import (
    CalibrationConfig,
    Config,
    DataConfig,
    DiscoveryConfig,
    ExportConfig,
    InferenceConfig,
    SimulateConfig,
    TrackingConfig,
    weight_asked,
)
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.errors import ConfigError, DataError
from fatebias.estimates.from_fit import contrast_estimates, gene_estimates
from fatebias.estimates.sandwich import broad_scales
from fatebias.estimates.tables import posterior_arrays, read_posterior
from fatebias.files.record import RunRecord
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from fatebias.run import pipeline


def simulated(estimates="posterior", **changed):
    settings = {"n_cells": 6000, "n_genes": 20, "concentration": 20.0, "design": "persistent", **changed}
    cfg = Config(
        data=DataConfig(source="simulated", simulate=SimulateConfig(**settings)),
        inference=InferenceConfig(method="laplace", num_posterior_draws=1000),
        export=ExportConfig(estimates, "sandwich"),
        likelihood_weight=21.0,
    )
    screen, _ = simulate_screen(cfg.data.simulate, cfg.data, cfg.priors)
    return screen, cfg


def summary(screen, cfg):
    return posterior_moments(fit_screen(screen, cfg).draw, 1000, screen.guide_gene)


@pytest.fixture(scope="module", params=["posterior", "unshrunken"])
def independent(request):
    screen, cfg = simulated(request.param)
    posterior = summary(screen, cfg)
    return screen, cfg, posterior, centre_of_run(screen, cfg, weight_asked(cfg), posterior)


@pytest.fixture(scope="module")
def shared():
    """Labels averaged over 15 neighbours, in blocks of the neighbour graph."""
    screen, cfg = simulated(neighbours=15, n_cells=8000)
    posterior = summary(screen, cfg)
    return screen, cfg, posterior, centre_of_run(screen, cfg, weight_asked(cfg), posterior)


def asked(**changed):
    return CalibrationConfig(**changed)


def errors(found):
    return np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))


def scales_of(cfg, full, posterior):
    if cfg.export.estimates == "unshrunken":
        return broad_scales(full.design, posterior.scales_mean[:, -1]).scale_precision
    return posterior.scales_mean**-2.0


def test_refits_are_the_fits_that_newtons_method_finds(independent):
    """The same weights as weights of the cells, in a fit from nothing."""
    screen, cfg, posterior, full = independent
    drawn = resampling_units(screen, "cells")
    index = full.design.theta_index[:, screen.contrast_index]
    found = refit(full, lambda b: bootstrap_weights(drawn, 3, b), 3, index)
    assert found.converged.all()
    scales = scales_of(cfg, full, posterior)
    se = np.sqrt(np.diagonal(full.covariances(index)[0], axis1=1, axis2=2))
    for b in range(3):
        weighted = dataclasses.replace(screen, weight=screen.weight * bootstrap_weights(drawn, 3, b))
        exact = find_centre(weighted, cfg, weight_asked(cfg), scales).mean[index]
        moved = np.abs(exact - full.mean[index]) / se
        assert moved.max() > 0.5
        assert (np.abs(found.values[b] - exact) / se).max() < 0.01


def test_refits_do_not_depend_on_how_they_are_dealt_out(independent, monkeypatch):
    screen, _, _, full = independent
    drawn = resampling_units(screen, "cells")
    index = full.design.theta_index[:, 0]

    def values(workers):
        return refit(full, lambda b: bootstrap_weights(drawn, 0, b), 5, index, workers).values

    one = values(1)
    monkeypatch.setattr(refitting, "LARGEST_BATCH", 2)
    np.testing.assert_allclose(values(2), one, atol=1e-9)
    assert np.abs(one[0] - one[1]).max() > 0.01


def test_equal_weights_leave_the_mode_where_it_is(independent):
    screen, _, _, full = independent
    index = full.design.theta_index
    found = refit(full, lambda b: np.ones(screen.N), 1, index)
    np.testing.assert_allclose(found.values[0], full.mean[index], atol=2e-3)


def test_a_refit_finds_its_way_from_far_off(independent):
    """A tenth of the cells count twenty times each: the curvature at hand is wrong by far."""
    screen, cfg, posterior, full = independent
    weight = np.where(np.random.default_rng(0).random(screen.N) < 0.1, 20.0, 0.01)
    index = full.design.theta_index[:, 0]
    found = refit(full, lambda b: weight, 1, index)
    weighted = dataclasses.replace(screen, weight=weight)
    exact = find_centre(weighted, cfg, weight_asked(cfg), scales_of(cfg, full, posterior)).mean[index]
    assert found.converged.all()
    np.testing.assert_allclose(found.values[0], exact, atol=0.02)


def test_a_refit_does_not_run_away_where_the_curvature_begins_flat(independent):
    """The mode at hand is at probabilities near one; the refit's cells say the contrary."""
    screen, cfg, posterior, _ = independent
    turned = np.random.default_rng(0).random(screen.N) < 0.5
    p = np.where(turned[:, None], [0.02, 0.96, 0.02], [0.96, 0.02, 0.02])
    weight = np.where(turned, 1.0, 0.01)
    screen = dataclasses.replace(screen, p=p, weight=weight)
    full = centre_of_run(screen, cfg, weight_asked(cfg), posterior)
    index = full.design.shared_index
    times = np.where(turned, 0.01, 100.0)
    found = refit(full, lambda b: times, 1, index)
    assert found.converged.all()
    turned_screen = dataclasses.replace(screen, weight=weight * times)
    exact = find_centre(turned_screen, cfg, weight_asked(cfg), scales_of(cfg, full, posterior))
    np.testing.assert_allclose(found.values[0], exact.mean[index], atol=0.05)


def test_bootstrap_errors_of_independent_cells_are_the_robust_ones(independent):
    screen, cfg, posterior, full = independent
    found = bootstrap(full, screen, asked(bootstrap=150))
    robust = contrast_estimates(screen, cfg, posterior).se
    ratio = errors(found) / robust
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert 0.8 < ratio.min()
    assert ratio.max() < 1.25
    note = account(found, resampling_units(screen, "cells"), 0.0)["note"]
    assert note == ""
    assert found.variance_ratio.mean() == pytest.approx(1, abs=0.15)
    assert np.abs(found.bias / robust).max() < 0.6


def test_clusters_drawn_whole_see_the_noise_that_their_cells_share(shared):
    screen, cfg, posterior, full = shared
    robust = contrast_estimates(screen, cfg, posterior).se
    alone = bootstrap(full, screen, asked(bootstrap=150))
    whole = bootstrap(full, screen, asked(bootstrap=150, bootstrap_unit="clusters"))
    assert np.median(errors(whole) / robust) == pytest.approx(1, abs=0.03)
    assert (whole.variance_ratio > 1.8 * alone.variance_ratio).all()
    left = jackknife(full, screen, "clusters")
    assert np.median(errors(left) / robust) == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(left.variance_ratio, whole.variance_ratio, rtol=0.25)


def test_a_gene_that_differs_between_replicates_is_seen_by_leaving_out_a_replicate():
    screen, cfg = simulated(design="no_effects", n_replicates=4, n_cells=8000)
    holds = (screen.gene_of_guide[screen.guide_ids] == 1).any(axis=1)
    moved = screen.p.copy()
    moved[holds & (screen.rep == 0)] = [0.02, 0.96, 0.02]
    screen = dataclasses.replace(screen, p=moved)
    full = centre_of_run(screen, cfg, weight_asked(cfg), summary(screen, cfg))
    left, cells = jackknife(full, screen, "replicate"), bootstrap(full, screen, asked(bootstrap=60))
    ratio = np.diagonal(left.spread, axis1=1, axis2=2) / np.diagonal(cells.spread, axis1=1, axis2=2)
    assert ratio[0].min() > 5
    assert np.median(ratio[1:]) < 2


def test_the_model_alone_stands_behind_what_it_says(independent):
    """Blocks of the inverse Hessian and of the prior's part, against dense algebra."""
    screen, _, _, full = independent
    index = full.design.theta_index[:2, 0]
    whole, prior = full.covariances(index)
    factor = full.factor.numpy()
    inverse = np.linalg.inv(factor @ factor.T)
    held = inverse @ full.precision.toarray() @ inverse
    for gene in range(2):
        block = np.ix_(index[gene], index[gene])
        np.testing.assert_allclose(whole[gene], inverse[block], rtol=1e-6, atol=1e-10)
        np.testing.assert_allclose(prior[gene], held[block], rtol=1e-6, atol=1e-10)


def test_probabilities_of_signs_follow_refits_and_the_priors_part(independent):
    screen, _, _, full = independent
    found = bootstrap(full, screen, asked(bootstrap=100))
    z = (full.mean[full.design.theta_index[:, screen.contrast_index]] + found.bias) / errors(found)
    assert (found.positive[z > 4] > 0.999).all()
    assert (found.positive[z < -4] < 0.001).all()
    near = np.abs(z) < 0.1
    assert near.any()
    np.testing.assert_allclose(found.positive[near], 0.5, atol=0.15)


def test_few_clusters_do_not_make_the_spread_too_small():
    """The variance of a total over 3 drawn clusters is that of 3 independent ones, not two thirds of it."""
    drawn = Units(np.arange(6), np.array([0, 0, 0, 1, 1, 2]), "clusters")
    value = np.array([1.0, 4.0, 10.0, 2.0, 5.0, 100.0])
    totals = np.array([(bootstrap_weights(drawn, 0, b) * value).sum() for b in range(20000)])
    expected = 3 * np.var(value[:3], ddof=1) + 2 * np.var(value[3:5], ddof=1)
    assert totals.var() == pytest.approx(expected, rel=0.04)
    assert totals.mean() == pytest.approx(value.sum(), rel=0.01)
    assert not drawn.varies[5]
    np.testing.assert_array_equal(bootstrap_weights(drawn, 5, 7), bootstrap_weights(drawn, 5, 7))
    assert (bootstrap_weights(drawn, 5, 7)[5], bootstrap_weights(drawn, 6, 7)[5]) == (1, 1)


def test_what_is_left_out_is_stood_in_for_within_its_stratum():
    left = Units(np.array([0, 0, 1, 2, 2, 3]), np.array([0, 0, 1, 1]), "clusters")
    weight = np.array([1.0, 2.0, 3.0, 1.0, 1.0, 4.0])
    times = jackknife_weights(left, weight, 0)
    np.testing.assert_allclose(times, [0, 0, 2, 1, 1, 1])
    assert (times * weight).sum() == pytest.approx(weight.sum())


def test_clusters_are_drawn_among_those_of_their_day_and_replicate():
    screen, _ = simulated(n_cells=1600, n_genes=5)
    cluster = np.arange(screen.N, dtype=np.int32) % 6  # lanes with cells of every day and replicate
    lanes = resampling_units(dataclasses.replace(screen, cluster=cluster), "clusters")
    assert len(np.unique(lanes.stratum)) == 1
    group = screen.day * screen.R + screen.rep
    wells = (group * 2 + np.arange(screen.N) % 2).astype(np.int32)
    wells[np.flatnonzero(wells == 0)[0]] = 15  # a stray cell does not make a well one of many days
    nested = resampling_units(dataclasses.replace(screen, cluster=wells), "clusters")
    assert np.bincount(nested.stratum).tolist() == [2] * 8
    of_rep = resampling_units(dataclasses.replace(screen, cluster=(screen.rep * 3 + cluster % 3)), "clusters")
    assert np.bincount(of_rep.stratum).tolist() == [3, 3]


def test_replicate_and_day_by_themselves_cannot_be_drawn():
    screen, _ = simulated(n_cells=400, n_genes=5)
    with pytest.raises(DataError, match="nothing to resample"):
        resampling_units(screen, "clusters")
    one = dataclasses.replace(screen, rep=np.zeros_like(screen.rep), rep_labels=screen.rep_labels[:1])
    with pytest.raises(DataError, match="nothing to resample"):
        Resample().require(one, Config(calibration=asked(jackknife="replicate")))
    with pytest.raises(DataError, match="replicates cannot be compared"):
        Resample().require(one, Config(calibration=asked(concordance=True)))
    Resample().require(one, Config(calibration=asked(bootstrap=20)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"bootstrap": 5},
        {"bootstrap": -20},
        {"bootstrap_unit": "cluster"},
        {"bootstrap_seed": -1},
        {"jackknife": "lane"},
    ],
)
def test_settings_that_cannot_be_used_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"calibration.{next(iter(wrong))}"):
        CalibrationConfig(**wrong)


def settings(out_dir, **calibration):
    simulate = SimulateConfig(n_cells=2000, n_genes=10, concentration=30.0, neighbours=5)
    return Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=200),
        discovery=DiscoveryConfig(engine="native"),
        tracking=TrackingConfig(backend="off"),
        plots=False,
        calibration=CalibrationConfig(**calibration),
        stages=["fit", "discover", "resample"],
        out_dir=str(out_dir),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    cfg = settings(tmp_path_factory.mktemp("whole"), bootstrap=30, jackknife="replicate", concordance=True)
    return cfg, pipeline.run(cfg)


def test_a_run_writes_what_it_was_asked_for(whole):
    _, paths = whole
    entry = RunRecord(paths).content["stages"]["resample"]
    report = json.loads(json.dumps(entry["report"], allow_nan=False))
    assert set(report) == {"bootstrap", "jackknife", "concordance"}
    assert len(entry["outputs"]) == 4
    table, given = pd.read_csv(paths.bootstrap), pd.read_csv(paths.gene_summary)
    np.testing.assert_array_equal(table[given.columns], given)
    assert report["bootstrap"]["refits"] == 30
    assert report["bootstrap"]["units"] == 2000
    assert report["bootstrap"]["called"] == int(table["called_boot"].sum())
    for d in range(4):
        assert (table[f"se_boot_d{d}"] > table[f"spread_boot_d{d}"]).all()
        assert table[f"prob_positive_d{d}"].between(0, 1).all()
        assert table[f"lfsr_boot_d{d}"].between(0, 1).all()
    assert report["bootstrap"]["variance_ratio"] < 0.2  # weight 1 where labels scatter far less than draws
    assert "likelihood_weight=auto" in report["bootstrap"]["note"]
    left = pd.read_csv(paths.jackknife)
    assert {"se_d0", "se_jack_d3", "bias_jack_d0"} <= set(left.columns)
    assert report["jackknife"]["refits"] == 2
    assert "2 replicates are few" in report["jackknife"]["note"]
    assert pd.read_csv(paths.concordance)["day"].tolist() == ["d0", "d1", "d2", "d3", "all"]


def test_results_are_the_same_without_and_a_resample_that_is_done_is_kept(whole, tmp_path):
    cfg, paths = whole
    other = pipeline.run(settings(tmp_path))
    assert "resample" not in RunRecord(other).content["stages"]
    assert not other.bootstrap.exists()
    for name in ("gene_summary", "mash_out", "hits"):
        assert getattr(paths, name).read_bytes() == getattr(other, name).read_bytes()
    before = paths.bootstrap.stat().st_mtime_ns
    pipeline.run(cfg)
    assert paths.bootstrap.stat().st_mtime_ns == before


@pytest.mark.slow
def test_seeds_of_a_sweep_are_one_bootstrap(tmp_path, capsys):
    for seed in (0, 1):
        pipeline.run(settings(tmp_path / str(seed), bootstrap=20, bootstrap_seed=seed))
    assert main([str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "bootstrap.csv")
    parts = [np.load(tmp_path / str(seed) / "bootstrap_refits.npz") for seed in (0, 1)]
    values = np.concatenate([part["values"] for part in parts])
    assert len(values) == 40
    np.testing.assert_allclose(table["spread_boot_d1"], values[:, :, 1].std(axis=0, ddof=1))
    first = pd.read_csv(tmp_path / "0" / "bootstrap.csv")
    assert list(first.columns) == list(table.columns)
    assert np.abs(first["se_boot_d1"] - table["se_boot_d1"]).max() > 1e-4
    pipeline.run(settings(tmp_path / "2", bootstrap=20, bootstrap_seed=1))
    assert main([str(tmp_path)]) == 1
    assert "bootstrap_seed of its own" in capsys.readouterr().err
    other = settings(tmp_path / "2", bootstrap=20, bootstrap_seed=3)
    other.likelihood_weight = 5.0
    pipeline.run(other)
    assert main([str(tmp_path)]) == 1
    assert "other data, units or fit in 2" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 1


def test_what_cannot_be_resampled_is_said_before_the_fit(tmp_path):
    cfg = settings(tmp_path, bootstrap=20, bootstrap_unit="clusters")
    cfg.data.simulate.neighbours = 1
    with pytest.raises(DataError, match="nothing to resample"):
        pipeline.run(cfg)
    assert not (tmp_path / "posterior.npz").exists()


def test_the_posterior_is_read_back_as_it_was_written(whole, tmp_path):
    screen, cfg = simulated(n_cells=800, n_genes=4)
    posterior = summary(screen, cfg)
    paths = dataclasses.replace(whole[1], root=tmp_path)
    np.savez(paths.posterior, **posterior_arrays(posterior, gene_estimates(screen, cfg, posterior), screen))
    again = read_posterior(paths.posterior)
    for field in dataclasses.fields(posterior):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(posterior, field.name))

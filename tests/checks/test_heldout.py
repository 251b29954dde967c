"""The score on cells left out of the fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fatebias.checks.heldout import Heldout, _clustered_se, heldout_score
from fatebias.config import CalibrationConfig, Config, DataConfig, SimulateConfig, weight_asked
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.errors import DataError


def score(left_out="clusters", **changed):
    simulate = SimulateConfig(n_cells=3000, n_genes=10, concentration=50.0, **changed)
    cfg = Config(
        data=DataConfig(source="simulated", simulate=simulate),
        calibration=CalibrationConfig(heldout=left_out, heldout_folds=3),
        likelihood_weight=51.0,
    )
    screen, truth = simulate_screen(simulate, cfg.data, cfg.priors)
    return heldout_score(screen, cfg, weight_asked(cfg)), screen, cfg


def test_genes_and_days_are_worth_something_where_signs_flip():
    report, screen, _ = score(design="sign_flip", active_share=0.8)
    assert report["against_nuisance"] > 5 * report["against_nuisance_se"] > 0
    assert report["against_no_time"] > 5 * report["against_no_time_se"] > 0
    # no score can be above that of labels known beforehand
    best = (screen.p * np.log(np.maximum(screen.p, 1e-300))).sum(axis=1).mean()
    assert -1.2 < report["score"] < best


def test_days_are_worth_nothing_where_effects_last():
    report, _, _ = score(design="persistent", active_share=0.8, sigma_guide=0.05)
    assert report["against_nuisance"] > 5 * report["against_nuisance_se"]
    assert abs(report["against_no_time"]) < 0.05 * report["against_nuisance"]


def test_a_replicate_left_out_is_a_fold():
    report, screen, _ = score("replicate", design="persistent", active_share=0.8)
    assert (report["groups"], report["folds"], screen.R) == (2, 2, 2)
    assert report["against_nuisance"] > 0


def test_one_replicate_cannot_be_left_out():
    _, screen, cfg = score(n_replicates=2, design="no_effects")
    one = dataclasses.replace(screen, rep=np.zeros_like(screen.rep))
    cfg = dataclasses.replace(cfg, calibration=CalibrationConfig(heldout="replicate"))
    with pytest.raises(DataError, match="nothing can be left out"):
        Heldout().require(one, cfg)
    Heldout().require(screen, cfg)


def test_copies_of_a_cell_in_one_group_do_not_make_the_error_smaller():
    value = np.random.default_rng(0).normal(size=500)
    alone = _clustered_se(value, np.ones(500), np.arange(500))
    copies = _clustered_se(np.repeat(value, 4), np.ones(2000), np.repeat(np.arange(500), 4))
    assert alone == pytest.approx(value.std(ddof=1) / np.sqrt(500))
    assert copies == pytest.approx(alone)

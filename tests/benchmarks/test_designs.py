"""The benchmark's screens: what each kind changes, and what it must leave as the simulator drew it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.designs import BREAKING, DESIGNS, KINDLY
from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.simulation.simulate import simulate_screen


def small(name, n_cells=1200, **changed):
    design = DESIGNS[name]
    simulate = dataclasses.replace(design.simulate, n_cells=n_cells, n_genes=12, **changed)
    return dataclasses.replace(design, simulate=simulate)


@pytest.mark.parametrize("name", [name for name in BREAKING if not name.startswith("absorption")])
def test_breaking_designs_draw_a_screen_with_its_truth(name):
    screen, theta = small(name).draw(0)
    assert theta.shape == (screen.L, screen.D)
    assert theta.any() != name.endswith("_null")
    np.testing.assert_allclose(screen.p.sum(axis=1), 1)
    assert screen.n_guides.min() >= 1
    assert (np.bincount(screen.day, screen.k_centered) == pytest.approx(0, abs=1e-6)) is True


def test_kindly_designs_are_the_simulators_own_screens():
    assert all(design.by_simulator for design in KINDLY.values())
    design = small("persistent")
    screen, theta = design.draw(3)
    settings = dataclasses.replace(design.simulate, seed=1003)
    own, truth = simulate_screen(settings, DataConfig(), PriorsConfig())
    assert screen.fingerprint() == own.fingerprint()
    np.testing.assert_array_equal(theta, truth.theta[:, own.contrast_index])


def test_the_same_seed_gives_the_same_screen_and_another_does_not():
    drawn = [small("clones_10_null").draw(seed)[0].fingerprint() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_is_altered_keeps_the_guides_and_the_truth_of_the_simulator():
    plain, theta = small("persistent").draw(0)
    noisy, same = small("guide_day_0.15").draw(0)
    np.testing.assert_array_equal(theta, same)
    np.testing.assert_array_equal(plain.guide_ids, noisy.guide_ids)


def test_a_design_is_drawn_with_its_own_law_of_guides():
    exact = {"concentration": 1e12, "sigma_guide": 0.0, "n_cells": 4000}
    plain, noisy = (small(name, **exact).draw(0)[0] for name in ("guide_day_0_null", "guide_day_0.15_null"))
    moved = np.log(noisy.p[:, 1] / noisy.p[:, 0]) - np.log(plain.p[:, 1] / plain.p[:, 0])
    single = (plain.n_guides == 1) & (plain.guide_ids[:, 0] > 0)
    np.testing.assert_allclose(moved[plain.guide_ids.sum(axis=1) == 0], 0, atol=1e-3)
    assert moved[single].std() == pytest.approx(0.15, rel=0.15)

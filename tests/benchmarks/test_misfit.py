"""Guides, clones, labels and detection as the benchmark alters them, against what they promise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.misfit import (
    EFFICACY,
    FAILING,
    Clones,
    GuideLaw,
    dirichlet,
    logits,
    redraw,
    seen_guides,
    uneven_fates,
)
from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.simulation.simulate import simulate_screen

RNG = np.random.default_rng


def drawn(**settings):
    simulate = SimulateConfig(**{"n_cells": 600, "n_genes": 8, "moi": 2.5, "seed": 5, **settings})
    return simulate_screen(simulate, DataConfig(), PriorsConfig())


def effects_of(law, n_genes=200, n_reps=2, **settings):
    """Effects (G, F*, D, R) and the theta of each guide's gene."""
    _, truth = drawn(n_genes=n_genes, n_cells=100, design="persistent", active_share=0.5, **settings)
    effects = law.effects(truth, n_reps, RNG(0))
    assert not effects[0].any()
    return effects[1:], truth.theta[truth.gene_of_guide - 1]


def test_without_a_change_the_logits_are_those_of_the_simulator():
    screen, truth = drawn(concentration=1e12, inactive_guide_share=0.2)
    expected = np.log(screen.p[:, 1:] / screen.p[:, :1])
    effects = GuideLaw().effects(truth, screen.R, RNG(0))
    np.testing.assert_allclose(logits(screen, truth, effects), expected, atol=1e-3)


def test_labels_are_drawn_around_logits_with_the_deviation_of_the_clone():
    screen, truth = drawn()
    labels = lambda screen, pi, rng: dirichlet(screen, pi, rng, by_day=(1e12,))  # noqa: E731
    clones = Clones(10, nested=False, known=True)
    cloned = redraw(screen, truth, RNG(1), labels=labels, guides=GuideLaw(), clones=clones)
    plain = logits(screen, truth, GuideLaw().effects(truth, screen.R, RNG(0)))
    deviation = np.log(cloned.p[:, 1:] / cloned.p[:, :1]) - plain
    by_clone = [deviation[cloned.cluster == c] for c in np.unique(cloned.cluster)]
    assert max(np.ptp(each, axis=0).max() for each in by_clone) < 1e-3
    assert np.std([each[0] for each in by_clone]) == pytest.approx(0.7, rel=0.2)


def test_active_guides_deviate_and_those_of_null_genes_do_nothing():
    effects, theta = effects_of(GuideLaw("active", spread=0.2))
    active = theta.any(axis=2)
    assert not effects[~active].any()
    assert (effects - theta[..., None])[active].std() == pytest.approx(0.2, rel=0.1)
    assert np.ptp(effects - theta[..., None], axis=(2, 3)).max() < 1e-12  # the same on all days


def test_theta_is_the_mean_effect_under_efficacies():
    effects, theta = effects_of(GuideLaw("efficacy"))
    active = theta != 0
    ratio = (effects[..., 0] / np.where(active, theta, 1))[active]
    assert ratio.min() >= EFFICACY[0] / 0.7
    assert ratio.max() <= EFFICACY[1] / 0.7
    assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_failing_guides_do_nothing_and_the_others_all():
    effects, theta = effects_of(GuideLaw("failing"))
    active = theta != 0
    ratio = (effects[..., 0] / np.where(active, theta, 1))[active]
    assert set(np.unique(ratio)) == {0.0, 1.0}
    assert (ratio == 0).mean() == pytest.approx(FAILING, abs=0.06)


def test_noise_of_guides_by_day_has_its_spread_and_no_memory():
    effects, theta = effects_of(GuideLaw(by_day=0.15), sigma_guide=0.0)
    noise = (effects[..., 0] - theta).reshape(-1, theta.shape[2])
    assert noise.std() == pytest.approx(0.15, rel=0.05)
    assert np.abs(np.corrcoef(noise.T) - np.eye(theta.shape[2])).max() < 0.1


def test_replicates_change_a_genes_effects_and_average_to_theta():
    effects, theta = effects_of(GuideLaw(by_replicate=0.5), sigma_guide=0.0)
    np.testing.assert_allclose(effects.mean(axis=3), theta, atol=1e-12)
    active = theta != 0
    ratio = (effects[..., 0] / np.where(active, theta, 1))[active]
    assert set(np.unique(ratio.round(9))) == {0.5, 1.5}


def test_an_unknown_law_is_refused():
    with pytest.raises(ValueError, match="no law of guides is called odd"):
        effects_of(GuideLaw("odd"))


@pytest.mark.parametrize("across", [False, True])
def test_clones_have_their_size_and_place(across):
    screen, _ = drawn()
    clone = Clones(10, across=across).draw(screen, RNG(0))
    size = np.bincount(clone)
    assert (size == 10).sum() >= len(size) - (1 if across else screen.D * screen.R)
    groups = {(c, d, r) for c, d, r in zip(clone, screen.day, screen.rep, strict=True)}
    assert (len(groups) == len(size)) != across


def test_nested_clones_share_their_guides():
    screen, truth = drawn()
    labels = lambda screen, pi, rng: dirichlet(screen, pi, rng, by_day=(5.0,))  # noqa: E731
    found = redraw(screen, truth, RNG(1), labels=labels, guides=GuideLaw(), clones=Clones(10, known=True))
    for c in np.unique(found.cluster):
        held = found.guide_ids[found.cluster == c]
        assert (held == held[0]).all()
    assert len(np.unique(found.guide_ids, axis=0)) > found.N / 20
    np.testing.assert_array_equal(found.n_guides, found.mask.sum(axis=1))


def test_concentration_by_day_sets_the_scatter_of_labels():
    screen, _ = drawn(n_cells=40_000)
    pi = np.tile([0.2, 0.5, 0.3], (screen.N, 1))
    p = dirichlet(screen, pi, RNG(0), by_day=(100.0, 20.0, 5.0, 2.0)).p
    for d, c in enumerate((100.0, 20.0, 5.0, 2.0)):
        here = p[screen.day == d]
        np.testing.assert_allclose(here.mean(axis=0), pi[0], atol=0.015)
        np.testing.assert_allclose(here.var(axis=0), pi[0] * (1 - pi[0]) / (c + 1), rtol=0.1)


def test_uneven_fates_keep_their_means_and_scatter_apart():
    screen, _ = drawn(n_cells=40_000)
    pi = np.tile([0.2, 0.5, 0.3], (screen.N, 1))
    p = uneven_fates(screen, pi, RNG(0), tight="NEU", concentration=(100.0, 2.0)).p
    assert screen.fates == ("EC", "MES", "NEU")
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p.mean(axis=0), pi[0], atol=0.01)
    assert p[:, 2].var() == pytest.approx(0.3 * 0.7 / 101, rel=0.05)
    share = 0.5 / 0.7  # of MES in what NEU leaves, which has variance share (1 - share) / (2 + 1)
    left = 0.3 * 0.7 / 101
    expected = (0.7**2 + left) * share * (1 - share) / 3 + left * share**2
    assert p[:, 1].var() == pytest.approx(expected, rel=0.05)


def test_guides_that_are_all_seen_leave_the_screen_as_it_is():
    screen, _ = drawn()
    seen = seen_guides(screen, np.ones(screen.N), RNG(0))
    assert seen.fingerprint() == screen.fingerprint()
    np.testing.assert_array_equal(seen.ntc_slots, screen.ntc_slots)


def test_guides_are_lost_by_the_chance_of_their_cell():
    screen, _ = drawn(n_cells=8000)
    chance = np.where(np.arange(screen.N) % 2 == 0, 1.0, 0.5)
    named = dataclasses.replace(screen, cells=np.arange(screen.N).astype(object))
    seen = seen_guides(named, chance, RNG(0))
    before = screen.n_guides[seen.cells.astype(int)]
    sure = seen.cells.astype(int) % 2 == 0
    np.testing.assert_array_equal(seen.n_guides[sure], before[sure])
    lost = 1 - seen.n_guides[~sure].sum() / screen.n_guides[1::2].sum()
    assert lost == pytest.approx(0.5, abs=0.03)
    for i in range(0, seen.N, 97):
        held = set(screen.guide_ids[int(seen.cells[i])]) | {0}
        assert set(seen.guide_ids[i]) <= held
    assert np.abs(np.bincount(seen.day, seen.k_centered)).max() < 1e-6

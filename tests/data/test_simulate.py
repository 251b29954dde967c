"""Simulated screens: their sizes, the identities that they must satisfy, and their truth."""

from __future__ import annotations

import numpy as np
import pytest

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.simulation.simulate import _nearest, _soft_labels, simulate_raw, simulate_screen
from fatebias.data.simulation.truth import draw_truth
from fatebias.errors import ConfigError, DataError

DATA, PRIORS = DataConfig(), PriorsConfig()


def screen_of(data=DATA, priors=PRIORS, **settings):
    return simulate_screen(SimulateConfig(**settings), data, priors)


def truth_of(**settings):
    simulate = SimulateConfig(**settings)
    return draw_truth(simulate, DATA, PRIORS, np.random.default_rng(simulate.seed))


def eta_of(screen, truth):
    """SPEC 3, cell by cell: the plain sum that the simulator must have drawn labels around."""
    effects = np.concatenate([np.zeros((1, *truth.theta.shape[1:])), truth.guide_effects()])
    eta = np.empty((screen.N, screen.n_fates_star))
    for i in range(screen.N):
        d, r = screen.day[i], screen.rep[i]
        eta[i] = truth.alpha[:, d] + truth.b[:, r] + truth.gamma * screen.k_centered[i]
        for guide, present in zip(screen.guide_ids[i], screen.mask[i], strict=True):
            eta[i] += present * effects[guide, :, d]
    return eta


def test_sizes_as_configured():
    screen, truth = screen_of(
        n_cells=600, n_genes=12, guides_per_gene=3, n_ntc_guides=5, n_days=3, n_replicates=2, moi=1.5
    )
    assert (screen.N, screen.L, screen.G, screen.D, screen.R) == (600, 12, 36, 3, 2)
    assert len(screen.ntc_guide_names) == 5
    assert screen.guide_names == truth.guide_names
    assert screen.gene_names == truth.gene_names
    np.testing.assert_array_equal(screen.gene_of_guide[1:], truth.gene_of_guide)
    assert truth.theta.shape == (12, 2, 3)
    assert truth.delta.shape == (36, 2)
    counts = screen.summary["cells_by_day_and_replicate"].values()
    assert {cells for row in counts for cells in row.values()} == {100}


def test_names_keep_their_order_beyond_nine():
    screen, truth = screen_of(n_cells=4000, n_genes=11, guides_per_gene=10, n_ntc_guides=10, n_days=11)
    assert screen.gene_names == truth.gene_names == tuple(sorted(truth.gene_names))
    assert screen.guide_names == truth.guide_names == tuple(sorted(truth.guide_names))
    assert screen.day_labels[10] == "d10"


@pytest.mark.parametrize("settings", [{}, {"design": "prior"}, {"inactive_guide_share": 0.3}, {"n_days": 1}])
def test_labels_stand_around_the_models_own_logits(settings):
    """With a huge concentration log(p_f / p_ref) is eta of SPEC 3, computed here cell by cell."""
    narrow = PriorsConfig(s_alpha=1.0, s_tau=0.5, s_time=0.3, s_guide=0.3)
    screen, truth = screen_of(
        priors=narrow, n_cells=300, n_genes=6, concentration=1e12, moi=2.5, seed=3, **settings
    )
    np.testing.assert_allclose(np.log(screen.p[:, 1:] / screen.p[:, :1]), eta_of(screen, truth), atol=1e-3)


def test_fates_in_any_number_and_order():
    data = DataConfig(fates=["A", "B", "C", "D"], ref_fate="C", contrast_fate="D")
    screen, truth = screen_of(n_cells=300, n_genes=6, concentration=1e12, data=data)
    assert truth.fates == screen.fates == ("C", "A", "B", "D")
    np.testing.assert_allclose(np.log(screen.p[:, 1:] / screen.p[:, :1]), eta_of(screen, truth), atol=1e-3)


@pytest.mark.parametrize("concentration", [0.5, 5.0, 50.0])
def test_labels_have_the_moments_of_a_dirichlet(concentration):
    """Mean pi and variance pi (1 - pi) / (c + 1), within four standard errors."""
    pi = np.array([0.2, 0.5, 0.3])
    n = 40_000
    p = _soft_labels(np.tile(pi, (n, 1)), concentration, np.random.default_rng(0))
    variance = pi * (1 - pi) / (concentration + 1)
    assert (np.abs(p.mean(axis=0) - pi) < 4 * np.sqrt(variance / n)).all()
    spread = np.sqrt(((p - pi) ** 2).var(axis=0) / n)
    assert (np.abs(p.var(axis=0) - variance) < 4 * spread).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_labels_of_a_tiny_concentration_are_single_draws():
    pi = np.array([0.2, 0.5, 0.3])
    p = _soft_labels(np.tile(pi, (20_000, 1)), 1e-4, np.random.default_rng(0))
    assert (p.max(axis=1) > 0.999).mean() > 0.999
    assert (np.abs(p.mean(axis=0) - pi) < 4 * np.sqrt(pi * (1 - pi) / 20_000)).all()


def test_every_cell_holds_different_guides_and_at_least_one():
    screen, _ = screen_of(n_cells=3000, n_genes=4, guides_per_gene=2, n_ntc_guides=2, moi=4)
    assert screen.n_guides.min() >= 1
    for ids, ntc in zip(screen.guide_ids, screen.ntc_slots, strict=True):
        held = [*ids[ids > 0], *(-ntc[ntc > 0])]
        assert len(held) == len(set(held))


@pytest.mark.parametrize(("moi", "mean"), [(0.3, 1.0), (1.0, 1.0), (1.05, 1.05), (2.0, 2.0), (5.0, 5.0)])
def test_moi_is_the_mean_number_of_guides(moi, mean):
    screen, _ = screen_of(n_cells=20_000, n_genes=100, moi=moi, seed=1)
    assert abs(screen.n_guides.mean() - mean) <= 4 * np.sqrt(mean / 20_000)


def test_moi_above_the_library_gives_every_guide():
    screen, _ = screen_of(n_cells=50, n_genes=2, guides_per_gene=2, n_ntc_guides=1, moi=60)
    assert (screen.n_guides == 5).all()


def test_controls_take_their_share():
    screen, _ = screen_of(n_cells=20_000, n_genes=50, guides_per_gene=4, n_ntc_guides=100, seed=2)
    assert screen.summary["guides"]["ntc_share"] == pytest.approx(1 / 3, abs=0.04)


def test_a_library_without_controls():
    screen, _ = screen_of(n_cells=400, n_genes=5, n_ntc_guides=0)
    assert screen.ntc_guide_names == ()
    assert screen.summary["warnings"][0].startswith("no NTC guide in the guide map")


def test_null_design_has_no_gene_effect_but_guides_that_scatter():
    truth = truth_of(design="no_effects", n_genes=200)
    assert not truth.theta.any()
    assert truth.delta.std() == pytest.approx(0.15, rel=0.1)


@pytest.mark.parametrize("design", ["persistent", "single_day", "sign_flip"])
def test_designs_have_their_course(design):
    truth = truth_of(design=design, n_genes=80, active_share=0.5, effect_min=0.4, effect_max=0.9)
    effects = truth.theta[:, truth.fates.index("MES") - 1]
    active = effects[effects.any(axis=1)]
    assert len(active) == 40
    sizes = np.abs(active).max(axis=1)
    assert (sizes >= 0.4).all()
    assert (sizes <= 0.9).all()
    assert 0.2 < (active.sum(axis=1) > 0).mean() < 0.8
    if design == "persistent":
        assert (active == active[:, :1]).all()
    elif design == "single_day":
        assert ((active != 0).sum(axis=1) == 1).all()
    else:
        assert (np.sign(active[:, 0]) == -np.sign(active[:, -1])).all()
        assert ((np.diff(np.sign(active), axis=1) != 0).sum(axis=1) == 1).all()
    others = np.abs(truth.theta[:, truth.fates.index("NEU") - 1])
    assert 0 < others.max() <= 0.45


@pytest.mark.parametrize(
    ("design", "n_days", "on"),
    [
        ("late", 4, [0, 0, 1, 1]),
        ("late", 5, [0, 0, 1, 1, 1]),
        ("early", 4, [1, 1, 0, 0]),
        ("early", 5, [1, 1, 1, 0, 0]),
        ("late", 1, [1]),
        ("early", 1, [1]),
    ],
)
def test_half_the_days_are_silent_in_late_and_early_designs(design, n_days, on):
    effects = truth_of(design=design, n_days=n_days, n_genes=40, active_share=0.25, effect_min=0.4).theta[
        :, 0
    ]
    active = effects[effects.any(axis=1)]
    assert len(active) == 10
    np.testing.assert_array_equal(active != 0, np.tile(on, (10, 1)))
    np.testing.assert_array_equal(np.ptp(np.abs(active[:, np.array(on, dtype=bool)]), axis=1), 0)


def test_each_day_has_active_genes_of_its_own():
    effects = truth_of(design="each_day", n_genes=100, active_share=0.1, effect_min=0.4).theta[:, 0]
    assert list((effects != 0).sum(axis=0)) == [10] * effects.shape[1]
    assert 30 < (effects != 0).any(axis=1).sum() <= 40
    assert np.abs(effects[effects != 0]).min() >= 0.4


def test_mixed_design_has_a_third_of_each():
    effects = truth_of(design="mixed", n_genes=120, active_share=0.25).theta[:, 0]
    active = effects[effects.any(axis=1)]
    single = (active != 0).sum(axis=1) == 1
    flips = (np.diff(np.sign(active), axis=1) != 0).any(axis=1) & ~single
    assert (single.sum(), flips.sum(), len(active)) == (10, 10, 30)


def test_prior_design_follows_spec_3():
    """Over many draws E theta_0^2 = s_tau^2 and increments have s_time^2: E tau^2 = s_tau^2 if HalfNormal."""
    priors = PriorsConfig(s_tau=0.7, s_time=0.3, s_guide=0.2, s_alpha=0.5, s_rep=0.4, s_gamma=0.1)
    simulate = SimulateConfig(design="prior", n_genes=10)
    rng = np.random.default_rng(0)
    draws = [draw_truth(simulate, DATA, priors, rng) for _ in range(600)]
    theta = np.array([truth.theta for truth in draws])  # (draws, L, F*, D)
    np.testing.assert_allclose((theta[..., 0] ** 2).mean(), 0.7**2, rtol=0.15)
    np.testing.assert_allclose((np.diff(theta, axis=3) ** 2).mean(axis=(0, 1, 2)), 0.3**2, rtol=0.15)
    for name, scale in (("delta", 0.2), ("alpha", 0.5), ("b", 0.4), ("gamma", 0.1)):
        values = np.array([getattr(truth, name) for truth in draws])
        np.testing.assert_allclose((values**2).mean(), scale**2, rtol=0.15, err_msg=name)
    # One tau a fate, one sigma_time a fate and day: genes share the scale, draws and days do not.
    steps = np.diff(theta, axis=3) ** 2
    for squares in ((theta[..., 0] ** 2).mean(axis=1), steps.mean(axis=1)):
        assert squares.std() > squares.mean() * 0.8
    assert (
        abs(np.corrcoef(steps.mean(axis=1)[..., 0].ravel(), steps.mean(axis=1)[..., 1].ravel())[0, 1]) < 0.2
    )


def test_inactive_guides_do_nothing():
    truth = truth_of(n_genes=25, guides_per_gene=4, inactive_guide_share=0.25, design="persistent")
    assert truth.inactive.sum() == 25
    assert not truth.delta[truth.inactive].any()
    assert not truth.guide_effects()[truth.inactive].any()
    living = truth.guide_effects()[~truth.inactive]
    np.testing.assert_array_equal(
        living, (truth.theta[truth.gene_of_guide - 1] + truth.delta[:, :, None])[~truth.inactive]
    )


def test_neighbours_share_noise_but_not_bias():
    """Averages over alike cells keep their mean, and their noise falls by the number averaged."""
    rng = np.random.default_rng(0)
    pi = rng.dirichlet([3, 3, 3], 12_000)
    group = np.repeat([0, 1], 6000)
    p = _soft_labels(pi, 5.0, rng)
    shared = _nearest(pi, group, 15, rng) @ p
    np.testing.assert_allclose(shared.sum(axis=1), 1)
    plain, averaged = p - pi, shared - pi
    assert averaged.var() == pytest.approx(plain.var() / 15, rel=0.1)
    assert abs(np.polyfit(pi[:, 1], shared[:, 1], 1)[0] - 1) < 0.02
    for g in (0, 1):
        np.testing.assert_allclose(shared[group == g].mean(axis=0), p[group == g].mean(axis=0), atol=5e-3)


def test_neighbours_never_reach_into_another_group():
    rng = np.random.default_rng(0)
    group = np.array([0] * 5 + [1] * 4)
    p = np.where(group[:, None] == 0, [1.0, 0.0], [0.0, 1.0])
    np.testing.assert_allclose(_nearest(rng.dirichlet([1, 1], 9), group, 7, rng) @ p, p)


def test_neighbours_of_equal_cells_are_random():
    """In a null screen all pi are alike, and neighbours must not be those next in the file."""
    rng = np.random.default_rng(0)
    p = np.column_stack([np.arange(1000.0), -np.arange(1000.0)])
    shared = _nearest(np.full((1000, 2), 0.5), np.zeros(1000, dtype=int), 5, rng) @ p
    assert np.corrcoef(shared[:, 0], np.arange(1000))[0, 1] < 0.7


def test_same_seed_same_screen():
    settings = {"n_cells": 400, "n_genes": 8, "neighbours": 3}
    first, again, other = screen_of(**settings), screen_of(**settings), screen_of(**settings, seed=1)
    assert first[0].fingerprint() == again[0].fingerprint() != other[0].fingerprint()
    np.testing.assert_array_equal(first[1].theta, again[1].theta)


def test_too_few_cells_for_every_day_and_replicate():
    with pytest.raises(
        ConfigError, match="too few cells .*\n  where: data.simulate.n_cells\n  found: 7\n  allowed: 8"
    ):
        simulate_raw(SimulateConfig(n_cells=7), DATA, PRIORS)


def test_days_unlike_the_data_config_are_refused():
    with pytest.raises(DataError, match="data.D is 3, the screen has 4 days"):
        screen_of(n_cells=400, data=DataConfig(D=3))

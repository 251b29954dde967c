"""Known effects in NTC pseudo-genes: what is spiked in comes out again, is called, and is counted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fatebias.checks.own_fit import OwnFit
from fatebias.checks.spike_design import Deck, by_guide
from fatebias.checks.spike_report import least_size, power_report, summary_line
from fatebias.config import Config, DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.collapse import collapse
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.data.synthetic import pseudo_genes, spike_in
from fatebias.estimates.sandwich import fit_broad
from fatebias.files.record import RunRecord
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from fatebias.model.design_matrix import DesignMatrix
from fatebias.run import pipeline
from tests.checks.test_controls import settings

SIZES = [0.2, 0.8]


def test_every_other_pseudo_gene_is_spiked_and_all_designs_come_in_turn():
    deck = Deck(SIZES, 4, seed=0)
    dealt = [deck.deal(n) for n in (1, 2, 5, 8)]
    effects, days = np.concatenate([each.effects for each in dealt]), sum((each.days for each in dealt), ())
    assert effects.shape == (16, 4)
    assert_array_equal(np.array(days) != "none", np.arange(16) % 2 == 0)
    touched = (effects != 0).sum(axis=1)
    assert [{"none": 0, "one": 1, "all": 4}[each] for each in days] == touched.tolist()
    designs = {(e[e != 0][0], kind) for e, kind in zip(effects, days, strict=True) if kind != "none"}
    assert len(designs) == 8  # two sizes, two signs, one day or all
    assert sorted(np.flatnonzero(e)[0] for e, k in zip(effects, days, strict=True) if k == "one") == [
        0,
        1,
        2,
        3,
    ]


def test_a_screen_of_one_day_has_effects_on_all_days():
    assert set(Deck(SIZES, 1, seed=0).deal(20).days) == {"none", "all"}


def test_guides_of_real_and_of_null_genes_get_nothing():
    screen = simulate_screen(SimulateConfig(n_cells=500, n_genes=5), DataConfig(), PriorsConfig())[0]
    split = pseudo_genes(screen, part=0)
    effects = np.zeros((split.L - screen.L, screen.D))
    effects[1, 2] = 0.5
    plain = by_guide(split, screen.L, effects, 0.0, np.random.default_rng(0))
    mine = split.gene_of_guide == screen.L + 2
    assert_allclose(plain[mine], np.tile([0, 0, 0.5, 0], (mine.sum(), 1)))
    assert not plain[~mine].any()
    varied = by_guide(split, screen.L, effects, 0.1, np.random.default_rng(0))
    assert_array_equal(varied != 0, plain != 0)
    assert 0 < varied[mine, 2].std() < 0.3


def made_table():
    """Four pseudo-genes over two days: null and called once; found; missed and false beside; wrong."""
    columns = ["round", "part", "gene", "day", "days", "effect", "called", "right_sign"]
    rows = [
        (0, 0, "a", "d0", "none", 0.0, True, pd.NA),
        (0, 0, "a", "d1", "none", 0.0, False, pd.NA),
        (0, 0, "b", "d0", "all", 0.8, True, True),
        (0, 0, "b", "d1", "all", 0.8, True, True),
        (0, 1, "a", "d0", "one", -0.2, False, True),
        (0, 1, "a", "d1", "one", 0.0, True, pd.NA),
        (0, 1, "b", "d0", "one", -0.8, True, False),
        (0, 1, "b", "d1", "one", 0.0, False, pd.NA),
    ]
    table = pd.DataFrame(rows, columns=columns).astype({"right_sign": "boolean"})
    return table.assign(betahat=table["effect"] + 0.2, se=0.1)


def test_calls_are_counted_by_what_they_are():
    found = power_report(made_table(), SIZES)
    counts = ("pseudo_genes", "spiked", "calls", "false_calls", "false_on_null_genes", "false_on_other_days")
    assert [found[name] for name in counts] == [4, 3, 5, 3, 1, 1]
    assert found["wrong_sign"] == 1
    assert found["fdr"] == pytest.approx(0.6)
    assert found["fdr_low"] == pytest.approx(0.1466, abs=1e-4)  # Clopper and Pearson: 3 of 5
    assert found["fdr_high"] == pytest.approx(0.9473, abs=1e-4)
    assert found["z_sd"] == pytest.approx(2.0)
    by_size = {(each["days"], each["size"]): (each["called"], each["n"]) for each in found["by_size"]}
    assert by_size == {("one", 0.2): (0, 1), ("one", 0.8): (0, 1), ("all", 0.8): (1, 1)}
    said = summary_line(found | {"ntc_guides": 8, "rounds": 1})
    assert "3 of 5 called gene-days false" in said
    assert "neither the false-discovery rate nor" in said
    assert "calibration.spike_in=14 would give 10" in said


def test_no_call_has_no_rate_of_false_ones():
    found = power_report(made_table().assign(called=False), SIZES)
    assert found["fdr"] is None
    assert "none of their gene-days is called" in summary_line(found | {"ntc_guides": 20, "rounds": 1})


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([(0.1, 0.0), (0.2, 0.6), (0.8, 1.0)], (0.4, "interpolated")),  # half way between 0.2 and 0.8 in logs
        ([(0.1, 0.9), (0.2, 0.6), (0.8, 1.0)], (0.4, "interpolated")),  # a lucky small size does not count
        ([(0.1, 0.8), (0.2, 0.9)], (0.1, "at most")),
        ([(0.1, 0.9), (0.2, 0.7)], (None, "above all")),
        ([], (None, "unknown")),
    ],
)
def test_the_least_size_is_read_off_the_curve(curve, expected):
    size, how = least_size(curve)
    assert how == expected[1]
    assert size == pytest.approx(expected[0])


@pytest.fixture(scope="module", params=[1e-3, 1.0, 50.0])
def spiked(request):
    """Many pseudo-genes, labels nearly one-hot, flat or narrow, several guides a cell, cells with weights."""
    c = request.param
    simulate = SimulateConfig(
        n_cells=24_000, n_genes=4, n_ntc_guides=64, moi=4.0, concentration=c, sigma_guide=0.0, n_days=2
    )
    screen, truth = simulate_screen(simulate, DataConfig(), PriorsConfig())
    weight = np.random.default_rng(1).uniform(0.5, 1.5, screen.N)
    screen = dataclasses.replace(screen, weight=weight / weight.mean())
    split = pseudo_genes(screen, part=0)
    effects = np.random.default_rng(0).choice([-0.8, -0.4, 0.0, 0.4, 0.8], (split.L - screen.L, screen.D))
    made = spike_in(split, by_guide(split, screen.L, effects, 0.0, np.random.default_rng(0)))
    return screen, split, made, effects, c


def refitted(made, screen, c):
    """Effects of the pseudo-genes with their errors."""
    design = DesignMatrix(collapse(made))
    fit = fit_broad(design, PriorsConfig(), c + 1, sigma_guide=1e-3)
    index = design.theta_index[screen.L :, made.contrast_index]
    covariance = np.linalg.inv((fit.factor @ fit.factor.T).numpy())
    return fit.mean[index], np.sqrt(np.diagonal(covariance)[index])


def test_a_refit_finds_what_was_spiked_in_within_its_own_error(spiked):
    screen, split, made, effects, c = spiked
    (before, _), (after, se) = (refitted(each, screen, c) for each in (split, made))
    z = (after - effects) / se
    assert 0.7 < np.sqrt((z**2).mean()) < 1.5  # sixteen of them, and weights scatter
    assert np.sqrt((effects**2).mean()) > 3 * se.mean()  # there is something to find
    moved = (after - before - effects) / se  # the cells' own noise is in both and cancels for the most part
    assert np.sqrt((moved**2).mean()) < 0.6
    assert abs((moved * np.sign(effects)).mean()) < 0.3


def test_labels_alone_would_not_do(spiked):
    """Tilted labels with the old weights: too small effects, the more so the more labels scatter."""
    screen, _, made, effects, c = spiked
    found, se = refitted(dataclasses.replace(made, weight=screen.weight), screen, c)
    assert c > 10 or ((found - effects) / se * np.sign(effects)).mean() < -1


def test_a_fit_with_pseudo_genes_begins_where_that_without_has_ended():
    cfg = Config(likelihood_weight=31.0)
    cfg.inference.method = "laplace"
    simulate = SimulateConfig(n_cells=2000, n_genes=10, concentration=30.0)
    screen = simulate_screen(simulate, DataConfig(), PriorsConfig())[0]
    posterior = posterior_moments(fit_screen(screen, cfg).draw, 4000, screen.guide_gene)
    split = pseudo_genes(screen, part=0)
    start = OwnFit(screen, cfg, 31.0, posterior).start(split)
    warm, cold = fit_screen(split, cfg, start=start), fit_screen(split, cfg)
    index = DesignMatrix(collapse(split)).theta_index
    assert_allclose(start.mean[index[: screen.L]], posterior.theta_mean)
    assert not start.mean[index[screen.L :]].any()
    assert warm.diagnostics["laplace_rounds"] < cold.diagnostics["laplace_rounds"]
    found = [posterior_moments(each.draw, 4000, split.guide_gene) for each in (warm, cold)]
    assert_allclose(found[0].theta_mean, found[1].theta_mean, atol=0.2 * found[1].theta_sd.min())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    cfg = settings(tmp_path_factory.mktemp("spiked"))
    cfg.calibration.spike_in, cfg.calibration.spike_in_sizes = 3, [0.05, 1.5]
    cfg.calibration.concordance = True
    return cfg, pipeline.run(cfg)


@pytest.mark.slow
def test_large_effects_are_called_small_ones_are_not(whole):
    cfg, paths = whole
    table = pd.read_csv(paths.spike_in)
    assert len(table) == 3 * 4 * 4  # rounds, pseudo-genes, days
    found = RunRecord(paths).content["stages"]["spike_in"]["report"]
    assert (found["pseudo_genes"], found["spiked"]) == (12, 6)
    power = {
        size: [each["power"] for each in found["by_size"] if each["size"] == size] for size in (0.05, 1.5)
    }
    assert min(power[1.5]) == 1
    assert max(power[0.05]) < 0.5
    assert found["false_calls"] <= 1
    assert found["calls"] == table["called"].sum()
    assert table["right_sign"].isna().sum() == (table["effect"] == 0).sum()
    assert paths.spike_in_plot.stat().st_size > 5000
    assert not list(paths.root.glob(".spike_in-*"))


def test_it_is_kept_until_its_settings_change(whole):
    cfg, paths = whole
    before = paths.spike_in.stat().st_mtime_ns
    apart = (paths.gene_summary, paths.controls, paths.concordance)
    others = [path.stat().st_mtime_ns for path in apart]
    pipeline.run(cfg)
    assert paths.spike_in.stat().st_mtime_ns == before
    changed = dataclasses.replace(cfg.calibration, spike_in=1)
    pipeline.run(dataclasses.replace(cfg, calibration=changed))
    assert paths.spike_in.stat().st_mtime_ns > before
    assert len(pd.read_csv(paths.spike_in)) == 4 * 4
    assert others == [path.stat().st_mtime_ns for path in apart]


def test_real_genes_are_the_same_without_it(whole, tmp_path):
    cfg, paths = whole
    off = dataclasses.replace(cfg.calibration, spike_in=0)
    other = pipeline.run(dataclasses.replace(cfg, out_dir=str(tmp_path), calibration=off))
    assert not other.spike_in.exists()
    for name in ("gene_summary", "mash_out", "hits", "controls"):
        assert getattr(paths, name).read_bytes() == getattr(other, name).read_bytes()


def test_too_few_ntc_guides_leave_it_out(tmp_path, caplog):
    cfg = settings(tmp_path)
    cfg.calibration.spike_in = 1
    simulate = dataclasses.replace(cfg.data.simulate, n_ntc_guides=4, n_cells=600)
    paths = pipeline.run(dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, simulate=simulate)))
    assert not paths.spike_in.exists()
    assert "no spike_in: 4 NTC guides, 6 are needed" in caplog.text

"""Effects on commitment: bias, delay and both are told apart; columns of commitment are read and checked."""

from __future__ import annotations

import dataclasses

import anndata
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fatebias.checks.commitment import Commitment, may_be_left, overall_verdict, verdicts
from fatebias.checks.commitment_labels import (
    by_bias_alone,
    commitment_screen,
    expected_sharpness,
    regressed,
    weighted,
)
from fatebias.config import Config, DataConfig, InferenceConfig, PriorsConfig, SimulateConfig
from fatebias.data.collapse import collapse
from fatebias.data.load import load_screen, source_files
from fatebias.data.reading.build import build_screen
from fatebias.data.reading.reader import read_raw
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.data.synthetic import sharpness, subset, tilt_cells
from fatebias.errors import DataError
from fatebias.estimates.sandwich import fit_broad
from fatebias.files.record import RunRecord
from fatebias.model.design_matrix import DesignMatrix
from fatebias.run import pipeline
from tests.checks.test_controls import settings


@pytest.fixture(scope="module")
def simulated():
    """Labels of known bias, and settings whose weight is right."""
    simulate = SimulateConfig(
        n_cells=8000, n_genes=20, concentration=20.0, design="persistent", active_share=0.4, sigma_guide=0.1
    )
    cfg = Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=400),
        likelihood_weight=21.0,
    )
    return *simulate_screen(simulate, cfg.data, PriorsConfig()), cfg


def carriers(screen, gene):
    return (screen.gene_of_guide[screen.guide_ids] == gene).any(axis=1)


def delayed(screen, gene, share=0.5):
    """Cells of a gene are drawn towards the mean of their day and replicate: flatter, with the same mean."""
    p = screen.p.copy()
    for d in range(screen.D):
        for r in range(screen.R):
            here = (screen.day == d) & (screen.rep == r)
            hit = here & carriers(screen, gene)
            p[hit] = (1 - share) * p[hit] + share * p[here].mean(axis=0)
    return dataclasses.replace(screen, p=p)


def test_sharpness_runs_from_flat_to_one_hot():
    p = np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])
    assert_allclose(sharpness(p), [1, 0, 1 - np.log(2) / np.log(3)], atol=1e-12)


def test_the_screen_of_commitment_has_two_fates(simulated):
    screen, _, _ = simulated
    own = commitment_screen(screen, "entropy")
    assert own.fates == ("uncommitted", "committed")
    assert own.contrast_index == 0
    assert_allclose(own.p[:, 1], sharpness(screen.p))
    assert_allclose(own.p.sum(axis=1), 1)
    assert own.guide_ids is screen.guide_ids


def test_one_hot_cells_are_all_committed_and_say_nothing(simulated):
    screen, _, _ = simulated
    settled = dataclasses.replace(screen, p=np.eye(3)[screen.p.argmax(axis=1)])
    with pytest.raises(DataError, match="all cells are committed alike\n.*\n  found: commitment 1 in every"):
        commitment_screen(settled, "entropy")


@pytest.mark.parametrize("concentration", [1e-3, 1.0, 20.0, 1e6])
def test_expected_sharpness_is_that_of_drawn_labels(concentration):
    pi = np.array([0.6, 0.3, 0.1])
    drawn = sharpness(np.random.default_rng(0).dirichlet(concentration * pi, 100_000))
    expected = expected_sharpness(pi[None], np.array([concentration]))[0]
    assert expected == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(1e5) + 1e-6)
    if concentration > 1e5:
        assert expected == pytest.approx(sharpness(pi[None])[0], abs=1e-5)


def effects(screen, own, cfg):
    """Effects on commitment, free by gene and day, over their errors."""
    own, weight = weighted(own, cfg)
    design = DesignMatrix(collapse(own))
    fit = fit_broad(design, cfg.priors, weight, sigma_guide=0.1)
    index = design.theta_index[:, 0]
    return fit.mean[index] / np.sqrt(np.diagonal(np.linalg.inv((fit.factor @ fit.factor.T).numpy()))[index])


def test_bias_alone_explains_what_it_does_to_commitment(simulated):
    screen, truth, cfg = simulated
    own = commitment_screen(screen, "entropy")
    bias = by_bias_alone(screen, cfg, float(cfg.likelihood_weight), "entropy")
    assert not bias[(screen.guide_ids == 0).all(axis=1)].any()
    active = np.abs(truth.theta[:, screen.contrast_index, 0]) > 0
    before = effects(screen, own, cfg)
    after = effects(screen, tilt_cells(own, bias[:, None], back=True), cfg)
    assert np.sqrt((before[active] ** 2).mean()) > 3
    assert np.sqrt((after**2).mean()) == pytest.approx(1, abs=0.25)
    assert np.sqrt((after[active] ** 2).mean()) < 1.4


@pytest.mark.parametrize("kind", ["entropy", "kl_divergence"])
def test_a_priming_degree_as_cellrank_writes_it_is_predicted_exactly(simulated, kind):
    """CellRank: entropy, or KL divergence from the mean label, each scaled to run from 0 to 1."""
    screen, _, cfg = simulated
    mean = screen.p.mean(axis=0)
    log_p = np.log(np.where(screen.p > 0, screen.p, 1))
    raw = (screen.p * (log_p - np.log(mean) * (kind == "kl_divergence"))).sum(axis=1)
    column = dataclasses.replace(screen, commitment=(raw - raw.min()) / np.ptp(raw))
    assert_allclose(commitment_screen(column, "column").p[:, 1], column.commitment)
    slopes = regressed(column)
    design = np.column_stack([np.ones(screen.N), sharpness(screen.p), screen.p[:, 1:]])
    assert_allclose((design * slopes[screen.day]).sum(axis=1), column.commitment, atol=1e-9)
    if kind == "entropy":
        expected = by_bias_alone(screen, cfg, float(cfg.likelihood_weight), "entropy")
        held = np.abs(expected) > 0.1
        found = by_bias_alone(column, cfg, float(cfg.likelihood_weight), "column")[held]
        assert np.corrcoef(found, expected[held])[0, 1] > 0.95


def test_days_weigh_by_their_own_scatter(simulated):
    """On the first day labels are nearly settled or nearly flat, on others all alike."""
    screen, _, cfg = simulated
    own = commitment_screen(screen, "entropy")
    c = own.p[:, 1].copy()
    first = screen.day == 0
    c[first] = np.where(np.random.default_rng(0).random(first.sum()) < 0.3, 0.99, 0.01)
    rough = dataclasses.replace(own, p=np.stack([1 - c, c], axis=1))
    made, weight = weighted(rough, cfg)
    assert made.weight.mean() == pytest.approx(1, abs=1e-9)
    effective = weight * made.weight
    assert effective[first].mean() == pytest.approx(1, rel=0.15)  # one draw, one cell
    assert effective[~first].mean() > 10


def test_verdicts_by_day_and_over_days():
    yes, no = True, False
    verdict = verdicts(
        np.array([[no, yes], [no, no], [yes, yes], [yes, no], [no, no], [no, no]]),
        np.array([[no, no], [yes, yes], [no, yes], [no, yes], [yes, yes], [no, no]]),
        np.array([[0.1, 0.1], [-1, -1], [1, -1], [1, -1], [-1, 1], [0, 0]]),
    )
    assert verdict.tolist() == [
        ["none", "bias"],
        ["delay", "delay"],
        ["bias", "both"],
        ["bias", "delay"],
        ["delay", "advance"],
        ["none", "none"],
    ]
    assert [overall_verdict(row) for row in verdict] == ["bias", "delay", "both", "mixed", "mixed", "none"]


def test_a_small_rest_of_a_large_bias_is_not_taken_for_an_effect():
    effect, plain = np.array([0.2, 0.2, -0.2, 0.5]), np.array([0.7, 0.3, 0.3, 0.4])
    assert may_be_left(effect, plain).tolist() == [True, False, True, False]


def test_a_subset_keeps_its_commitment(simulated):
    screen, _, _ = simulated
    column = dataclasses.replace(screen, commitment=np.linspace(0, 1, screen.N))
    keep = screen.day == 2
    assert_array_equal(subset(column, keep).commitment, column.commitment[keep])
    assert column.fingerprint() == screen.fingerprint()  # the fit does not see it


def written_screen(folder, change):
    """A screen in a file: simulated, then changed in place."""
    cfg = settings(folder)
    simulate = dataclasses.replace(
        cfg.data.simulate, n_cells=6000, n_genes=12, design="persistent", sigma_guide=0.1, active_share=0.5
    )
    data = dataclasses.replace(cfg.data, simulate=simulate)
    cfg = dataclasses.replace(cfg, data=data, stages=["fit"])
    pipeline.run(cfg)
    adata = anndata.read_h5ad(folder / "screen.h5ad")
    change(adata)
    adata.write_h5ad(folder / "changed.h5ad")
    data = DataConfig(
        source="anndata", adata_path=str(folder / "changed.h5ad"), guide_map_csv=str(folder / "guides.csv")
    )
    return dataclasses.replace(cfg, data=data, out_dir=str(folder / "out"))


@pytest.fixture(scope="module")
def told_apart(tmp_path_factory):
    """A screen with genes of bias; the strongest of them and a null gene are delayed as well."""
    folder = tmp_path_factory.mktemp("told")
    names = {}

    def change(adata):
        screen = build_screen(read_raw(adata, folder / "guides.csv", DataConfig()), DataConfig())
        theta = pd.read_csv(folder / "truth.csv").query("contrast == 'MES'")
        size = theta.assign(size=theta["theta"].abs()).groupby("gene")["size"].max().sort_values()
        names.update(bias=size.index[-4:-1].tolist(), both=size.index[-1], delay=size.index[0])
        for name, share in ((names["both"], 0.5), (names["delay"], 0.8)):
            screen = delayed(screen, screen.gene_names.index(name) + 1, share)
        adata.obsm["lineages_fwd"] = pd.DataFrame(screen.p, index=adata.obs_names, columns=screen.fates)[
            ["EC", "MES", "NEU"]
        ]
        adata.obs["priming_degree_fwd"] = sharpness(screen.p)

    cfg = written_screen(folder, change)
    cfg = dataclasses.replace(cfg, stages=["fit", "discover", "commitment"])
    cfg = dataclasses.replace(cfg, export=dataclasses.replace(cfg.export, estimates="unshrunken"))
    cfg.calibration.commitment = "entropy"
    return cfg, pipeline.run(cfg), names


@pytest.mark.slow
def test_bias_delay_and_both_are_told_apart(told_apart):
    _, paths, genes = told_apart
    table = pd.read_csv(paths.commitment).set_index("gene")
    assert table.loc[genes["delay"], "bias_or_delay"] == "delay"
    assert (table.loc[genes["delay"], [f"betahat_d{d}" for d in range(4)]] < 0).all()
    assert table.loc[genes["both"], "bias_or_delay"] == "both"
    assert set(table.loc[genes["bias"], "bias_or_delay"]) == {"bias"}
    rest = table.drop(index=[genes["delay"], genes["both"], *genes["bias"]])
    assert set(rest["bias_or_delay"]) <= {"none", "bias"}
    plain = table.loc[genes["bias"], [f"betahat_plain_d{d}" for d in range(4)]].abs().to_numpy()
    left = table.loc[genes["bias"], [f"betahat_d{d}" for d in range(4)]].abs().to_numpy()
    assert left.mean() < 0.6 * plain.mean()


def test_the_report_counts_what_the_table_says(told_apart):
    _, paths, genes = told_apart
    report = RunRecord(paths).content["stages"]["commitment"]["report"]
    table = pd.read_csv(paths.commitment)
    counted = table["bias_or_delay"].value_counts()
    assert {kind: report[kind] for kind in ("bias", "both", "delay")} == {
        kind: counted.get(kind, 0) for kind in ("bias", "both", "delay")
    }
    assert report["moved"] == table["moved"].sum()
    assert f"{report['moved']} of 12 genes move it" in Commitment().summary_line(report)
    assert report["both_genes"] == [genes["both"]]
    assert f"bias or delay (1 less committed, 0 more): '{genes['both']}'" in Commitment().summary_line(report)
    assert not list(paths.root.glob(".commitment-*"))


@pytest.mark.slow
def test_a_column_says_the_same_and_other_results_stay(told_apart, tmp_path):
    cfg, paths, _ = told_apart
    before = {name: getattr(paths, name).read_bytes() for name in ("gene_summary", "hits")}
    column = dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, commitment_key="priming_degree_fwd"))
    column = dataclasses.replace(
        column, calibration=dataclasses.replace(cfg.calibration, commitment="column")
    )
    entropy = pd.read_csv(paths.commitment)
    stamp = paths.gene_summary.stat().st_mtime_ns
    again = pipeline.run(column)
    assert again.gene_summary.stat().st_mtime_ns == stamp  # the fit is kept
    assert RunRecord(again).content["stages"]["commitment"]["report"]["measure"] == "column"
    table = pd.read_csv(again.commitment)
    assert_allclose(table["betahat_d1"], entropy["betahat_d1"], atol=1e-6)
    changed = paths.commitment.stat().st_mtime_ns
    pipeline.run(column)
    assert paths.commitment.stat().st_mtime_ns == changed
    off = dataclasses.replace(
        cfg, out_dir=str(tmp_path), calibration=dataclasses.replace(cfg.calibration, commitment="none")
    )
    other = pipeline.run(off)
    assert not other.commitment.exists()
    assert other.gene_summary.read_bytes() == before["gene_summary"]
    assert other.hits.read_bytes() == before["hits"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda obs: obs.pop("degree"), "obs\\['degree'\\] is absent"),
        (
            lambda obs: obs.__setitem__("degree", [np.nan, *obs["degree"][1:]]),
            "1 cells have a commitment that is",
        ),
        (lambda obs: obs.__setitem__("degree", obs["degree"] * 100), "missing or outside \\[0, 1\\]"),
    ],
)
def test_a_column_that_is_no_commitment_is_refused(tmp_path, change, message):
    cfg = settings(tmp_path)
    simulate = dataclasses.replace(cfg.data.simulate, n_cells=300, n_genes=3)
    data = dataclasses.replace(cfg.data, simulate=simulate)
    files = source_files(data, PriorsConfig(), tmp_path)
    adata = anndata.read_h5ad(files.adata)
    adata.obs["degree"] = np.random.default_rng(0).random(adata.n_obs)
    change(adata.obs)
    adata.write_h5ad(tmp_path / "changed.h5ad")
    data = DataConfig(
        source="anndata",
        adata_path=str(tmp_path / "changed.h5ad"),
        guide_map_csv=str(files.guide_map),
        commitment_key="degree",
    )
    with pytest.raises(DataError, match=message):
        load_screen(data, PriorsConfig(), tmp_path)

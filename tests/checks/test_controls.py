"""Negative controls through the whole pipeline."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from fatebias.checks.base import share_with_interval
from fatebias.checks.controls import Controls, day_differences, spread_with_interval
from fatebias.config import (
    CalibrationConfig,
    Config,
    DataConfig,
    DiscoveryConfig,
    InferenceConfig,
    SimulateConfig,
    TrackingConfig,
)
from fatebias.errors import DataError
from fatebias.files.record import RunRecord
from fatebias.run import pipeline


def settings(out_dir, **changed):
    simulate = SimulateConfig(n_cells=2000, n_genes=10, concentration=30.0)
    cfg = Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=200),
        discovery=DiscoveryConfig(engine="native"),
        tracking=TrackingConfig(backend="off"),
        plots=False,
        likelihood_weight="auto",
        out_dir=str(out_dir),
    )
    return dataclasses.replace(cfg, **changed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    cfg = settings(tmp_path_factory.mktemp("whole"))
    return cfg, pipeline.run(cfg)


def test_pseudo_genes_are_counted_and_not_called(whole):
    _, paths = whole
    report = RunRecord(paths).content["stages"]["controls"]["report"]
    table = pd.read_csv(paths.controls)
    assert report["pseudo_genes"] == len(table) == 4  # 20 NTC guides in two parts, four guides a pseudo-gene
    assert report["called"] == int(table["hit_anyday"].sum()) == 0
    assert report["rate_low"] == 0 < report["rate_high"] < 1
    assert paths.controls_plot.stat().st_size > 1000


def test_further_contrasts_leave_the_check_of_the_own_one(whole, tmp_path):
    cfg, paths = whole
    shutil.copytree(paths.root, tmp_path, dirs_exist_ok=True)
    discovery = dataclasses.replace(cfg.discovery, contrasts=["NEU-MES"])
    again = pipeline.run(
        dataclasses.replace(cfg, out_dir=str(tmp_path), stages=["discover"], discovery=discovery)
    )
    assert again.contrast("NEU-MES").hits.is_file()
    entries = [RunRecord(each).content["stages"]["controls"] for each in (paths, again)]
    assert entries[0] == entries[1]
    assert again.controls.is_file()
    discovery = dataclasses.replace(discovery, mash_lfsr_thresh=0.01)
    pipeline.run(dataclasses.replace(cfg, out_dir=str(tmp_path), stages=["discover"], discovery=discovery))
    assert not again.controls.exists()


def test_each_draw_groups_the_guides_anew_and_spreads_have_intervals(whole, tmp_path):
    cfg, paths = whole
    cfg = dataclasses.replace(
        cfg,
        out_dir=str(tmp_path),
        calibration=CalibrationConfig(control_draws=2),
        stages=["fit", "discover", "controls"],
    )
    drawn = pipeline.run(cfg)
    once, twice = pd.read_csv(paths.controls), pd.read_csv(drawn.controls)
    assert twice["draw"].tolist() == [0] * 4 + [1] * 4
    pd.testing.assert_frame_equal(once, twice[twice["draw"] == 0])
    columns = ["betahat_d0", "betahat_d1"]
    assert not (twice[columns].to_numpy()[:4] == twice[columns].to_numpy()[4:]).any()
    report = RunRecord(drawn).content["stages"]["controls"]["report"]
    assert (report["draws"], report["pseudo_genes"]) == (2, 8)
    assert report["rate_high"] == RunRecord(paths).content["stages"]["controls"]["report"]["rate_high"]
    for name in ("z_sd", "day_difference_sd"):
        assert report[f"{name}_low"] < report[name] < report[f"{name}_high"]


def test_differences_of_days_are_judged_by_their_own_errors():
    """What all days share makes their z scores small, but not those of differences."""
    rng = np.random.default_rng(0)
    shared, own = 1.0, 0.1
    covariance = np.broadcast_to(shared**2 + own**2 * np.eye(3), (4000, 3, 3))
    betahat = own * rng.normal(size=(4000, 3))  # the shared part of the errors is not there
    z = day_differences(betahat, covariance)
    assert z.shape == (4000, 3)
    found = spread_with_interval("sd", z, 1)
    assert found["sd"] == pytest.approx(1, abs=0.03)
    assert found["sd_low"] < 1 < found["sd_high"]
    assert (betahat / np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))).std() < 0.2


def test_draws_do_not_make_a_spread_look_surer():
    z = np.random.default_rng(1).normal(size=(12, 4))
    once, thrice = spread_with_interval("sd", z, 1), spread_with_interval("sd", np.tile(z, (3, 1)), 3)
    assert once["sd"] == pytest.approx(thrice["sd"])
    assert thrice["sd_high"] == pytest.approx(once["sd_high"], rel=0.05)


def test_real_genes_are_the_same_without_controls(whole, tmp_path):
    cfg, paths = whole
    other = pipeline.run(dataclasses.replace(cfg, out_dir=str(tmp_path), stages=["fit", "discover"]))
    assert not other.controls.exists()
    for name in ("gene_summary", "mash_out", "hits"):
        assert getattr(paths, name).read_bytes() == getattr(other, name).read_bytes()


def test_a_fit_is_not_checked_with_other_data(whole, tmp_path):
    cfg, paths = whole
    shutil.copytree(paths.root, tmp_path / "copy")
    simulate = dataclasses.replace(cfg.data.simulate, seed=7)
    other = dataclasses.replace(cfg.data, simulate=simulate)
    (tmp_path / "copy" / "screen.h5ad").unlink()
    with pytest.raises(DataError, match="not the one that was fitted"):
        pipeline.run(
            dataclasses.replace(cfg, data=other, stages=["controls"], out_dir=str(tmp_path / "copy"))
        )
    assert (tmp_path / "copy" / "controls.csv").read_bytes() == paths.controls.read_bytes()


def test_controls_that_are_done_are_kept(whole):
    cfg, paths = whole
    before = paths.controls.stat().st_mtime_ns
    pipeline.run(cfg)
    assert paths.controls.stat().st_mtime_ns == before
    assert "controls" in RunRecord(paths).content["stages"]


def test_the_weight_from_the_data_is_used_and_written_down(whole):
    _, paths = whole
    fit = RunRecord(paths).content["stages"]["fit"]
    assert fit["likelihood_weight"] == fit["suggested_weight"] == pytest.approx(31, rel=0.1)
    assert '"dispersion_by_day"' in paths.calibration.read_text()


@pytest.mark.parametrize("taken", ["ntc", "genes"])
def test_pseudo_genes_are_counted_from_what_the_genes_were(whole, tmp_path, monkeypatch, taken):
    """With a part of the NTC guides as genes, `auto` might choose otherwise than the fit did."""
    cfg, paths = whole
    out = tmp_path / "out"
    shutil.copytree(paths.root, out)
    record = json.loads((out / "run.json").read_text())
    record["stages"]["fit"]["baseline"] = taken
    (out / "run.json").write_text(json.dumps(record))
    seen = []

    def fitted(own, split):
        seen.append(own.config.export.baseline)
        raise Stopped

    class Stopped(Exception):
        pass

    monkeypatch.setattr("fatebias.checks.own_fit.OwnFit.with_pseudo_genes", fitted)
    free = dataclasses.replace(cfg.export, estimates="unshrunken", baseline="auto")
    again = dataclasses.replace(cfg, out_dir=str(out), export=free, stages=["controls"], resume=True)
    with pytest.raises(Stopped):
        pipeline.run(again)
    assert seen == [taken]


def test_too_few_ntc_guides_leave_controls_out(tmp_path):
    cfg = settings(tmp_path)
    simulate = dataclasses.replace(cfg.data.simulate, n_ntc_guides=4, n_cells=600)
    paths = pipeline.run(dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, simulate=simulate)))
    assert paths.hits.is_file()
    assert not paths.controls.exists()


def test_the_fits_correlation_reaches_mash_and_its_file_is_asked_for(whole, tmp_path):
    cfg, _ = whole
    fit = dataclasses.replace(cfg.discovery, null_correlation="fit")
    paths = pipeline.run(dataclasses.replace(cfg, out_dir=str(tmp_path), discovery=fit))
    record = RunRecord(paths).content["stages"]["discover"]["report"]
    assert record["V"][0][1] > 0.2
    paths.posterior.unlink()
    again = dataclasses.replace(cfg, out_dir=str(tmp_path), discovery=fit, stages=["discover"], resume=False)
    with pytest.raises(Exception, match="needs the errors of the fit"):
        pipeline.run(again)


@pytest.mark.parametrize(
    ("z_sd", "day_sd", "from_data", "advice"),
    [
        ((0.7, 1.3), (0.8, 1.2), False, None),
        (
            (0.1, 0.5),
            (0.1, 0.4),
            False,
            "errors are too large .* run the same command with experiment=calibrated",
        ),
        ((0.1, 0.5), (0.1, 0.4), True, None),  # nothing left to set
        (
            (1.1, 2.0),
            (0.8, 1.2),
            False,
            "errors are too small .* run the same command with experiment=calibrated",
        ),
        ((0.7, 1.3), (1.1, 2.0), True, "errors are too small .*: calibration.method=controls"),
        ((None, None), (None, None), False, None),
    ],
)
def test_a_spread_far_from_one_says_what_to_do(z_sd, day_sd, from_data, advice):
    report = {
        "called": 0, "pseudo_genes": 40, "rate_low": 0.0, "rate_high": 0.09, "ntc_guides": 160,
        "weight_from_data": from_data,
        "z_sd": 1.0, "z_sd_low": z_sd[0], "z_sd_high": z_sd[1],
        "day_difference_sd": 1.0, "day_difference_sd_low": day_sd[0], "day_difference_sd_high": day_sd[1],
    }  # fmt: skip
    first, *more = Controls().summary_line(report).splitlines()
    assert first.startswith("calibration check: 0 of 40")
    assert len(more) == (advice is not None)
    assert advice is None or re.search(advice, more[0])


def test_few_pseudo_genes_are_said_to_say_little_and_how_many_would_say_more():
    def told(called, n, draws=1, **more):
        rate = share_with_interval("rate", called, n, draws)
        spread = dict.fromkeys(f"{name}{end}" for name in ("z_sd", "day_difference_sd")
                               for end in ("", "_low", "_high"))  # fmt: skip
        report = {
            "called": called,
            "pseudo_genes": n,
            "draws": draws,
            "ntc_guides": 20,
            **rate,
            **spread,
            **more,
        }
        return Controls().summary_line(report | {"weight_from_data": True}).splitlines()[1:]

    assert told(0, 4, guides_per_pseudo_gene=4) == [
        "  4 pseudo-genes say little: with none called, the true rate may be anything from 0% to 60%. It "
        "takes 36 of them, here 144 NTC guides, and none called, to show that it is below 10%."
    ]
    (line,) = told(0, 12, draws=3)
    assert line.startswith("  12 pseudo-genes of the same guides, grouped 3 times, say as little as 4: with")
    assert "36 of them, and none called" in line
    assert "2 called, the true rate may be anything from 7% to 93%" in told(2, 4)[0]
    assert told(0, 36) == []
    high = [share_with_interval("rate", 0, n)["rate_high"] for n in (36, 35)]
    assert high[0] < 0.1 < high[1]

"""The whole way on a small screen: what is written, what is kept, and what is said when it fails."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from fatebias.config import (
    CalibrationConfig,
    Config,
    DataConfig,
    DiscoveryConfig,
    InferenceConfig,
    SimulateConfig,
    TrackingConfig,
)
from fatebias.data import load
from fatebias.errors import DataError, DiscoveryError, FitError, OutputError
from fatebias.files.tables import read_table
from fatebias.run import discover_stage, fit_stage, pipeline


def config(out_dir, **more):
    settings = {
        "data": DataConfig(
            source="simulated",
            simulate=SimulateConfig(n_cells=800, n_genes=12, guides_per_gene=2, n_ntc_guides=4),
        ),
        "inference": InferenceConfig(num_steps=20, num_posterior_draws=300, progress=False),
        "discovery": DiscoveryConfig(engine="native"),
        "tracking": TrackingConfig(backend="off"),
        "out_dir": str(out_dir),
        "plots": False,
    } | more
    return Config(**settings)


def record(out_dir):
    return json.loads((out_dir / "run.json").read_text(encoding="utf-8"))


def bytes_of(out_dir):
    kept = ("gene_summary_for_mash.csv", "guide_summary.csv", "gene_summary_mash_out.csv", "hits_ranked.csv")
    return {name: (out_dir / name).read_bytes() for name in kept}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    pipeline.run(config(folder))
    return folder


def test_a_run_writes_all_that_the_format_asks_for(finished):
    ranked = pd.read_csv(finished / "hits_ranked.csv")
    summary = pd.read_csv(finished / "gene_summary_for_mash.csv")
    days = range(4)
    assert summary.columns.tolist() == [
        "gene", *(f"betahat_d{d}" for d in days), *(f"se_d{d}" for d in days),
    ]  # fmt: skip
    assert len(summary) == len(ranked) == 12
    expected = [f"{prefix}{d}" for prefix in ("postmean_d", "postsd_d", "lfsr_d") for d in days]
    assert set(expected + ["lfsr_min", "best_day", "hit_anyday"]) <= set(ranked.columns)
    assert ranked["lfsr_min"].is_monotonic_increasing
    for name in (
        "guide_summary.csv",
        "posterior.npz",
        "gene_summary_mash_out.csv",
        "hits.png",
        "loss.png",
        "report.html",
    ):
        assert (finished / name).stat().st_size > 0
    assert len(pd.read_csv(finished / "loss_trace.csv")) == 20
    leftovers = [path.name for path in finished.rglob(".*") if path.name != ".lock"]
    assert leftovers == []


def test_run_json_says_what_ran(finished):
    told = record(finished)
    assert told["status"] == "done"
    assert told["why"] is None
    assert told["seed"] == 0
    assert told["engine"] == "native"
    assert told["versions"]["torch"].startswith("2.")
    assert told["day_labels"] == ["d0", "d1", "d2", "d3"]
    assert set(told["seconds"]) == {"fit", "discover"}
    assert told["peak_memory_mb"] > 50
    fit = told["stages"]["fit"]
    assert fit["screen"]["fingerprint"] == told["data_fingerprint"]
    assert len(fit["files"]["data"]["sha256"]) == 64
    assert len(fit["diagnostics"]["k_hat"]) == 12


def test_same_seed_same_bytes(finished, tmp_path):
    pipeline.run(config(tmp_path))
    assert bytes_of(tmp_path) == bytes_of(finished)


@pytest.mark.parametrize("weight", [2.0, "auto"])
def test_a_run_of_a_sweep_has_the_bytes_of_a_single_one(finished, tmp_path, monkeypatch, weight):
    """What runs of one process share, screen, design and suggested weight, changes nothing."""
    files = {"adata_path": str(finished / "screen.h5ad"), "guide_map_csv": str(finished / "guides.csv")}
    data = DataConfig(source="anndata", **files)
    read = []
    load._LAST.clear()
    monkeypatch.setattr(load, "read_screen", lambda *a, own=load.read_screen: read.append(a) or own(*a))
    for out, asked in (("first", 1.0), ("shared", weight)):
        pipeline.run(config(tmp_path / out, data=data, likelihood_weight=asked))
    assert len(read) == 1
    load._LAST.clear()
    pipeline.run(config(tmp_path / "single", data=data, likelihood_weight=weight))
    assert len(read) == 2
    assert bytes_of(tmp_path / "shared") == bytes_of(tmp_path / "single")


@pytest.fixture
def again(finished, monkeypatch):
    """Run once more in the finished folder and tell which stages were done again."""
    done: list[str] = []
    fit, discover = fit_stage.fit, discover_stage.discover
    monkeypatch.setattr(fit_stage, "fit", lambda *given: (done.append("fit"), fit(*given))[1])
    monkeypatch.setattr(
        discover_stage,
        "discover",
        lambda *given, **more: (done.append("discover"), discover(*given, **more))[1],
    )

    def go(**more):
        done.clear()
        pipeline.run(config(finished, **more))
        return list(done)

    return go


@pytest.mark.slow
def test_what_is_unchanged_is_kept_and_what_changed_is_redone(finished, again):
    assert again() == []
    assert record(finished)["n_hits"] is not None
    assert record(finished)["day_labels"] == ["d0", "d1", "d2", "d3"]
    assert again(discovery=DiscoveryConfig(engine="native", mash_lfsr_thresh=0.01)) == ["discover"]
    assert again(seed=5) == ["fit", "discover"]
    assert again(resume=False, seed=5) == ["fit", "discover"]
    before = bytes_of(finished)
    (finished / "gene_summary_for_mash.csv").write_text("gene\n")  # no longer what the fit wrote
    assert again(seed=5) == ["fit"]
    assert bytes_of(finished) == before
    assert again() == ["fit", "discover"]


def test_progress_and_tracking_do_not_count_as_changes(again):
    inference = InferenceConfig(num_steps=20, num_posterior_draws=300, progress=True)
    assert again(inference=inference) == []


def test_stages_apart_give_the_same_tables(finished, tmp_path):
    again = config(tmp_path, stages=["fit"])
    pipeline.run(again)
    assert not (tmp_path / "gene_summary_mash_out.csv").exists()
    pipeline.run(config(tmp_path, stages=["discover"]))
    assert bytes_of(tmp_path) == bytes_of(finished)


def test_discovery_needs_the_gene_table_alone_and_neither_torch_nor_anndata(finished, tmp_path):
    (tmp_path / "gene_summary_for_mash.csv").write_bytes(
        (finished / "gene_summary_for_mash.csv").read_bytes()
    )
    code = (
        "import sys; from fatebias.run import pipeline; from fatebias.config import *;"
        "pipeline.run(Config(out_dir=sys.argv[1], stages=['discover'],"
        " tracking=TrackingConfig(backend='off'), discovery=DiscoveryConfig(engine='native')));"
        "print([name for name in ('torch', 'pyro', 'anndata', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "hits_ranked.csv").read_bytes() == (finished / "hits_ranked.csv").read_bytes()


def test_discovery_without_a_gene_table_says_what_to_do(tmp_path):
    with pytest.raises(DiscoveryError, match=r"no gene_summary_for_mash\.csv(.|\n)*stages=\[fit,discover\]"):
        pipeline.run(config(tmp_path, stages=["discover"]))
    assert record(tmp_path)["status"] == "failed"


def test_tracking_off_needs_no_mlflow(tmp_path):
    code = (
        "import sys; sys.modules['mlflow'] = None\n"
        "from tests.run.test_pipeline import config\n"
        "from fatebias.run import pipeline; from pathlib import Path\n"
        "pipeline.run(config(Path(sys.argv[1])))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=600, capture_output=True)
    assert "tracking" not in record(tmp_path)


@pytest.mark.slow
def test_a_failed_fit_keeps_the_earlier_result_and_says_why(tmp_path, monkeypatch):
    pipeline.run(config(tmp_path))
    before = bytes_of(tmp_path)

    def failing(*given):
        raise FitError("no posterior today")

    monkeypatch.setattr(fit_stage, "fit", failing)
    with pytest.raises(FitError, match="no posterior today"):
        pipeline.run(config(tmp_path, seed=1))
    told = record(tmp_path)
    assert (told["status"], told["why"]) == ("failed", "no posterior today")
    assert told["stages"]["fit"]["status"] == "failed"
    assert bytes_of(tmp_path) == before
    monkeypatch.undo()
    pipeline.run(config(tmp_path, seed=1))
    assert record(tmp_path)["status"] == "done"


def test_data_that_cannot_be_read_fail_the_run_before_any_fit(tmp_path):
    data = DataConfig(source="anndata", adata_path=str(tmp_path / "none.h5ad"), guide_map_csv="guides.csv")
    with pytest.raises(DataError, match=r"none\.h5ad"):
        pipeline.run(config(tmp_path / "out", data=data))
    assert record(tmp_path / "out")["status"] == "failed"


def test_a_folder_at_work_is_not_shared(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(OutputError, match="another run is working"):
        pipeline.run(config(tmp_path))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_ends_in_one_clear_error(tmp_path):
    (tmp_path / "loss_trace.csv").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"loss trace cannot be written(.|\n)*No space left"):
        pipeline.run(config(tmp_path))
    assert not (tmp_path / "gene_summary_for_mash.csv").exists()


def test_a_fit_that_has_not_converged_is_said_in_the_record_and_the_last_lines(tmp_path, caplog):
    inference = InferenceConfig(max_rounds=1, num_steps=20, num_posterior_draws=300, progress=False)
    with caplog.at_level("INFO", logger="fatebias"):
        pipeline.run(config(tmp_path, inference=inference))
    told = record(tmp_path)
    assert told["converged"] is False
    assert "raise inference.max_rounds" in told["stages"]["fit"]["warnings"][0]
    assert "NOT CONVERGED" in caplog.records[-1].getMessage()


@pytest.mark.slow
def test_true_effects_are_found_and_null_genes_are_not(tmp_path):
    simulate = SimulateConfig(
        n_cells=6000,
        n_genes=20,
        guides_per_gene=3,
        n_ntc_guides=8,
        design="persistent",
        effect_min=0.8,
        concentration=5,
    )
    paths = pipeline.run(config(tmp_path, data=DataConfig(source="simulated", simulate=simulate)))
    truth = pd.read_csv(tmp_path / "truth.csv")
    active = set(truth.loc[(truth["contrast"] == "MES") & (truth["theta"].abs() > 0.5), "gene"])
    ranked = pd.read_csv(paths.hits)
    called = set(ranked.loc[ranked["hit_anyday"], "gene"])
    assert len(active) >= 3
    assert called <= set(truth.loc[(truth["contrast"] == "MES") & (truth["theta"] != 0), "gene"])
    assert len(called & active) >= 0.7 * len(active)
    assert np.isfinite(ranked["lfsr_min"]).all()


def test_a_new_fit_alone_does_not_pass_old_hits_off_as_its_own(tmp_path, caplog):
    pipeline.run(config(tmp_path))
    with caplog.at_level("INFO", logger="fatebias"):
        pipeline.run(config(tmp_path, stages=["fit"], seed=9))
    assert "are hits" not in caplog.records[-1].getMessage()
    told = record(tmp_path)
    assert told["n_hits"] is None
    assert "discover" not in told["stages"]
    assert not (tmp_path / "hits_ranked.csv").exists()
    assert (tmp_path / "superseded" / "hits_ranked.csv").is_file()


def test_genes_called_na_and_dollar_keep_their_names(tmp_path):
    summary = pd.DataFrame({"gene": ["NA", "nan", r"$\frac$", "007"], "betahat_d0": [0.1, -0.2, 3.0, 0.0]})
    summary["se_d0"] = 0.1
    summary.to_csv(tmp_path / "gene_summary_for_mash.csv", index=False)
    pipeline.run(config(tmp_path, stages=["discover"]))
    ranked = pd.read_csv(tmp_path / "hits_ranked.csv", dtype=str, keep_default_na=False)
    assert set(ranked["gene"]) == {"NA", "nan", r"$\frac$", "007"}
    assert record(tmp_path)["converged"] is None


@pytest.mark.parametrize("n_days", [2, 3, 4])
def test_one_gene_gets_its_picture(tmp_path, n_days):
    row = {"gene": ["A"], **{f"betahat_d{d}": [1.0] for d in range(n_days)}}
    pd.DataFrame(row | {f"se_d{d}": [0.1] for d in range(n_days)}).to_csv(
        tmp_path / "gene_summary_for_mash.csv", index=False
    )
    pipeline.run(config(tmp_path, stages=["discover"]))
    assert (tmp_path / "hits.png").stat().st_size > 0


@pytest.mark.parametrize(
    "content", ['{"stages": {"fit": "x"}}', '{"stages": {"fit": {"status": "done"}}}', "[", ""]
)
def test_a_spoilt_run_json_counts_as_none(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    pipeline.run(config(tmp_path))
    assert record(tmp_path)["status"] == "done"


def test_a_run_json_that_is_a_folder_is_said(tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(OutputError, match="run.json cannot be read"):
        pipeline.run(config(tmp_path))


def test_an_address_s_password_is_left_out_of_the_files(tmp_path, monkeypatch):
    uri = "http://me:secret@127.0.0.1:9"
    monkeypatch.setattr("sys.argv", ["run.py", f"tracking.uri='{uri}'"])
    server = TrackingConfig(backend="server", uri=uri)
    with pytest.raises(DiscoveryError, match="no gene_summary_for_mash.csv"):
        pipeline.run(config(tmp_path, stages=["discover"], tracking=server))
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert tmp_path / "config.yaml" in written
    assert not [path.name for path in written if "secret" in path.read_text()]
    assert "http://***@127.0.0.1:9" in (tmp_path / "config.yaml").read_text()


def test_when_there_is_no_room_to_say_that_a_run_failed_its_own_error_is_told(tmp_path, monkeypatch):
    def no_room(self, why):
        raise OutputError("run.json could not be written")

    monkeypatch.setattr("fatebias.files.record.RunRecord.fail", no_room)
    with pytest.raises(DiscoveryError, match="no gene_summary_for_mash.csv"):
        pipeline.run(config(tmp_path, stages=["discover"]))


def checked(out_dir, **calibration):
    more = CalibrationConfig(spike_in=1, heldout="replicate", heldout_folds=2, **calibration)
    simulate = SimulateConfig(n_cells=800, n_genes=8, guides_per_gene=2, n_ntc_guides=8)
    return config(
        out_dir,
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=100, progress=False),
        calibration=more,
    )


@pytest.mark.slow
def test_checks_of_an_earlier_fit_do_not_pass_for_those_of_this_one(tmp_path, caplog):
    asked = checked(tmp_path)
    pipeline.run(asked)
    assert set(record(tmp_path)["stages"]) == {"fit", "discover", "controls", "spike_in", "heldout"}
    with caplog.at_level("INFO"):
        pipeline.run(asked)
    for name in ("fit", "discover", "controls", "spike_in", "heldout"):
        assert f"{name}: inputs and settings unchanged, kept" in caplog.text
    # a run that does not ask for them leaves them, as long as they are of its fit and its calls
    unasked = dataclasses.replace(asked, calibration=CalibrationConfig())
    pipeline.run(unasked)
    assert "spike_in" in record(tmp_path)["stages"]
    pipeline.run(
        dataclasses.replace(unasked, discovery=DiscoveryConfig(engine="native", mash_lfsr_thresh=0.01))
    )
    assert "spike_in" not in record(tmp_path)["stages"]
    assert "heldout" in record(tmp_path)["stages"]  # it rests on the fit alone
    assert not (tmp_path / "spike_in.csv").exists()
    assert (tmp_path / "superseded" / "spike_in.csv").is_file()
    caplog.clear()
    with caplog.at_level("INFO"):
        pipeline.run(dataclasses.replace(unasked, likelihood_weight=3.0))
    assert "heldout" not in record(tmp_path)["stages"]
    assert not (tmp_path / "heldout.json").exists()
    assert "held-out score" not in caplog.text


def test_a_check_without_a_fit_says_what_it_needs(tmp_path, caplog):
    pipeline.run(dataclasses.replace(checked(tmp_path), stages=["spike_in"]))
    assert "no spike_in: it needs fit, not done in this folder" in caplog.text


def test_notes_of_a_fit_are_said_once_in_the_last_lines(tmp_path, caplog):
    one = SimulateConfig(n_cells=800, n_genes=8, guides_per_gene=2, n_ntc_guides=0)
    cfg = dataclasses.replace(
        checked(tmp_path, method="controls"),
        data=DataConfig(source="simulated", simulate=one),
        likelihood_weight="auto",
        stages=["fit"],
    )
    with caplog.at_level("INFO", logger="fatebias"):
        pipeline.run(cfg)
    note = "calibration.method=controls is not possible on this screen"
    assert note in caplog.records[-1].getMessage()
    assert caplog.text.count(note) == 1


def test_a_report_that_fails_costs_nothing_else(finished, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)

    def fail(_):
        raise ValueError("no such axis")

    monkeypatch.setattr("fatebias.report.page.write_page", fail)
    pipeline.run(config(folder))
    assert record(folder)["status"] == "done"
    assert not (folder / "report.html").exists()  # that of the earlier run is not taken for this one's
    (told,) = [
        each for each in caplog.records if "report.html" in each.getMessage() and each.levelname == "WARNING"
    ]
    assert told.getMessage() == "no report.html, all other results are there: no such axis"


def test_tables_are_read_once_for_page_figures_and_closing_lines(finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "permutation_fdr.csv").touch()  # of the hits that are kept
    read = []

    def counted(path):
        read.append(path.relative_to(folder).as_posix())
        return pd.DataFrame() if path.name == "permutation_fdr.csv" else read_table(path)

    monkeypatch.setattr("fatebias.report.run_files.read_table", counted)
    pipeline.run(config(folder, plots=["svg"]))
    assert {"hits_ranked.csv", "gene_calls.csv", "contrasts/NEU/hits_ranked.csv"} <= set(read)
    assert len(read) == len(set(read))
    other = DiscoveryConfig(engine="native", mash_lfsr_thresh=0.01)
    pipeline.run(config(folder, stages=["discover"], discovery=other, plots=False))
    assert not (folder / "permutation_fdr.csv").exists()  # other hits, which these shuffles do not judge


def test_figures_are_drawn_in_the_formats_asked_for_and_their_failure_costs_nothing_else(
    finished, tmp_path, monkeypatch, caplog
):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    asked = []

    def draw(run, formats):
        asked.append((run.paths.root, formats))
        raise ValueError("no such axis")

    monkeypatch.setattr("fatebias.report.figures.write_figures", draw)
    pipeline.run(config(folder, plots=["svg", "pdf"]))
    assert asked == [(folder, ["svg", "pdf"])]
    assert record(folder)["status"] == "done"
    assert (folder / "report.html").exists()
    assert "not all of figures/, all other results are there: no such axis" in caplog.text
    for stage in ("fit", "discover"):  # pictures make no stage be done again
        assert record(folder)["stages"][stage] == record(finished)["stages"][stage]


def test_figures_stay_where_none_are_asked_for_and_their_results_are_kept(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "hits_MES.png").touch()
    pipeline.run(config(folder, plots=False))
    assert (folder / "figures" / "hits_MES.png").exists()
    own_alone = DiscoveryConfig(engine="native", contrasts=[])
    pipeline.run(config(folder, stages=["discover"], discovery=own_alone))
    assert not (folder / "figures").exists()
    assert (folder / "superseded" / "figures" / "hits_MES.png").exists()


def test_without_hits_an_earlier_report_is_set_aside(tmp_path):
    (tmp_path / "report.html").write_text("of an earlier fit")
    pipeline.run(config(tmp_path, stages=["fit"]))
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "superseded" / "report.html").read_text() == "of an earlier fit"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_its_reason_and_how_it_continues(tmp_path, monkeypatch, caplog, number):
    """What Slurm, or a closed terminal, sends."""

    def stopped(*_, **__):
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(discover_stage, "discover", stopped)
        with pytest.raises(SystemExit) as left:
            pipeline.run(config(tmp_path))
    assert left.value.code == 128 + number
    assert "type the same command again" in caplog.text
    assert record(tmp_path)["status"] == "failed"
    assert record(tmp_path)["why"].startswith("stopped by a signal")
    assert signal.getsignal(number) is signal.SIG_DFL
    before = (tmp_path / "gene_summary_for_mash.csv").stat().st_mtime_ns
    pipeline.run(config(tmp_path))
    assert record(tmp_path)["status"] == "done"
    assert (tmp_path / "gene_summary_for_mash.csv").stat().st_mtime_ns == before

"""A disk that fills up while a run fits, exports and ranks, and while runs are brought to MLflow."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fatebias.config import (
    Config,
    DataConfig,
    DiscoveryConfig,
    InferenceConfig,
    SimulateConfig,
    TrackingConfig,
)
from fatebias.errors import OutputError
from fatebias.inference.checkpoint import DIGEST_BYTES
from fatebias.run import pipeline
from tests.conftest import LIMIT_S
from tests.tracking.folders import FILES, finished_run
from tests.tracking.stored import Stored

pytestmark = [pytest.mark.slow, pytest.mark.soak]
TABLES = ("gene_summary_for_mash.csv", "guide_summary.csv", "gene_summary_mash_out.csv", "hits_ranked.csv")
FULL = r"(could not|cannot) be written(.|\n)*No space left on device"
STEPS = 2000


def config(out_dir: Path, *, seed: int = 0, **inference: object) -> Config:
    simulate = SimulateConfig(n_cells=800, n_genes=12, guides_per_gene=2, n_ntc_guides=4)
    settings = {"num_steps": 20, "num_posterior_draws": 300, "progress": False} | inference
    return Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(**settings),  # type: ignore[arg-type]
        discovery=DiscoveryConfig(engine="native"),
        tracking=TrackingConfig(),
        out_dir=str(out_dir),
        seed=seed,
        plots=False,
    )


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES if (folder / name).exists()}


def used(folder: Path) -> int:
    """Count the bytes of all files but the report, without which a run is whole."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "report.html"]
    return sum(path.stat().st_blocks * 512 for path in files)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Runs that had room, by their seed."""
    folders = {seed: tmp_path_factory.mktemp(f"seed {seed}") for seed in (0, 1)}
    for seed, folder in folders.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            pipeline.run(config(folder / "out", seed=seed))
    return {seed: folder / "out" for seed, folder in folders.items()}


def drafts(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if path.name != ".lock"]


# From reading over fitting, export and discovery to the end of run.json. Where a run was there before, only
# what is new needs room.
WHERE = [(0, share) for share in (0.1, 0.55, 0.65, 0.75, 0.85, 0.9, 0.95, 0.98)]
WHERE += [(1, leaving) for leaving in (0, 8192, 16384, 36864)]


@pytest.mark.parametrize(("earlier", "room"), WHERE)
def test_a_run_that_meets_a_full_disk(disk, whole, tmp_path, monkeypatch, earlier, room):
    """It fails wherever the disk happens to be full, and all tables that are there are whole."""
    monkeypatch.chdir(tmp_path)
    out = disk.root / "out"
    if earlier:
        pipeline.run(config(out, seed=1))
        assert tables(out) == tables(whole[1])
    disk.fill(leaving=room if earlier else int(room * used(whole[0])))
    with pytest.raises(OutputError, match=FULL) as failed:
        pipeline.run(config(out))
    print(failed.value)
    for name, content in tables(out).items():
        either = [whole[0]] + [whole[1]] * earlier
        assert content in [(run / name).read_bytes() for run in either], name
    assert set(tables(out)) == set(TABLES) or not earlier
    assert not drafts(out)
    disk.make_room()
    pipeline.run(config(out))
    assert tables(out) == tables(whole[0])
    assert json.loads((out / "run.json").read_text())["status"] == "done"


def test_a_report_that_finds_no_room_ends_in_one_warning(disk, whole, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    out = disk.root / "out"
    disk.fill(leaving=used(whole[0]) + 40_960)  # run.json is written beside itself
    pipeline.run(config(out))
    assert [each.getMessage() for each in caplog.records if "report.html" in each.getMessage()][0].startswith(
        "no report.html, all other results are there: report.html could not be written"
    )
    assert tables(out) == tables(whole[0])
    assert json.loads((out / "run.json").read_text())["status"] == "done"
    assert not (out / "report.html").exists()
    assert not drafts(out)
    disk.make_room()
    pipeline.run(config(out))
    assert (out / "report.html").read_bytes().endswith(b"</html>")


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(disk, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    settings = {"num_steps": STEPS, "stop": "never", "checkpoint_every_s": 0.05}
    pipeline.run(config(tmp_path / "whole", **settings))
    out = disk.root / "out"

    def fill_up() -> None:
        until = time.monotonic() + 600
        while not (out / "checkpoint.pt").exists() and time.monotonic() < until:
            time.sleep(0.005)
        disk.fill(leaving=24_576)

    filling = threading.Thread(target=fill_up)
    filling.start()
    with pytest.raises(OutputError, match=rf"checkpoint\.pt {FULL}"):
        pipeline.run(config(out, **settings))
    filling.join()
    saved = io.BytesIO((out / "checkpoint.pt").read_bytes()[DIGEST_BYTES:])
    step = torch.load(saved, weights_only=True)["state"]["step"]
    assert 0 < step < STEPS
    assert json.loads((out / "run.json").read_text())["status"] == "failed"
    disk.make_room()
    with caplog.at_level("INFO", logger="fatebias"):
        pipeline.run(config(out, **settings))
    assert f"resuming from step {step}" in caplog.text
    assert tables(out) == tables(tmp_path / "whole")


@pytest.mark.parametrize("leaving", [0, 8192, 20_480, 60_000, 300_000])
def test_the_command_line_says_it_without_a_traceback(disk, terminal, tmp_path, leaving):
    """Room for nothing; a part of Hydra's own files; those alone; not the screen; not all of the results."""
    words = [
        "data.simulate.n_cells=800",
        "data.simulate.n_genes=12",
        "inference.num_steps=20",
        "tracking=off",
    ]
    words += ["data=simulated", "discovery.engine=native", f"out_dir={disk.root / 'out'}"]
    disk.fill(leaving=leaving)

    failed = terminal(*words, fits=True)
    assert failed.returncode == 1
    print(failed.stderr)
    assert "No space left on device" in failed.stderr
    assert "fix: free some room" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "Logging error" not in failed.stderr
    assert failed.stderr.count("run.log cannot be written") <= 1
    disk.make_room()
    again = terminal(*words, fits=True)
    assert again.returncode == 0, again.stderr


@pytest.fixture
def imported(warm_fits) -> Callable[[Path, Path], subprocess.CompletedProcess[str]]:
    def run(folder: Path, database: Path) -> subprocess.CompletedProcess[str]:
        words = ["-m", "fatebias.tracking", "sync", ".", "--uri", f"sqlite:///{database}"]
        return warm_fits.run(*words, cwd=folder, env=dict(os.environ), timeout=LIMIT_S)

    return run


@pytest.mark.parametrize("earlier", [0, 2])
def test_an_import_that_fills_the_disk(disk, imported, tmp_path, earlier):
    """Into a database that is not there yet, and into one with two runs."""
    names_of_runs = [f"{number:02}" for number in range(5)]
    for name in names_of_runs[:earlier]:
        finished_run(tmp_path / "runs" / name, name=name, steps=STEPS)
    database = disk.root / "mlflow.db"
    if earlier:
        assert imported(tmp_path / "runs", database).returncode == 0
    for name in names_of_runs[earlier:]:
        finished_run(tmp_path / "runs" / name, name=name, steps=STEPS)
    disk.fill(leaving=400_000)
    full = imported(tmp_path / "runs", database)
    assert full.returncode == 1
    assert "not written" in full.stderr
    assert "Traceback" not in full.stderr
    assert "full" in full.stderr or "No space left" in full.stderr
    if earlier:
        stored = Stored(f"sqlite:///{database}")
        before = [run for run in stored.runs() if run.info.run_name in names_of_runs[:earlier]]
        assert [len(stored.loss(run)) for run in before] == [STEPS] * earlier
    disk.make_room()
    again = imported(tmp_path / "runs", database)
    assert again.returncode == 0, again.stderr
    stored = Stored(f"sqlite:///{database}")
    assert [run.info.run_name for run in stored.runs()] == names_of_runs
    for run in stored.runs():
        assert run.info.status == "FINISHED"
        assert len(stored.loss(run)) == STEPS
        assert len(stored.points(run, "hits")) == 1
        assert stored.artifacts(run) == FILES

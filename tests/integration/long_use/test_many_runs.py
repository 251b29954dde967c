"""Days of use in one process: hundreds of runs leave no memory, files or handles behind."""

from __future__ import annotations

import gc
import os
import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest

from fatebias.config import (
    Config,
    DataConfig,
    DiscoveryConfig,
    ExportConfig,
    InferenceConfig,
    SimulateConfig,
    TrackingConfig,
)
from fatebias.run import pipeline

pytestmark = [pytest.mark.slow, pytest.mark.soak]

RUNS, SETTLED_AFTER = 500, 100  # caches of torch, matplotlib and MLflow fill in the first runs
MOST_GROWTH_MB = 40.0


def resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_five_hundred_runs_in_one_process_and_one_store(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    seen: dict[int, tuple[float, int, int]] = {}
    for number in range(1, RUNS + 1):
        simulate = SimulateConfig(n_cells=300, n_genes=4, n_ntc_guides=2, seed=number % 7)
        pipeline.run(
            Config(
                data=DataConfig(source="simulated", simulate=simulate),
                inference=InferenceConfig(method="laplace", num_posterior_draws=64, progress=False),
                export=ExportConfig(estimates="unshrunken", guides="mixture"),
                discovery=DiscoveryConfig(engine="native"),
                tracking=TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db"),
                likelihood_weight="auto",
                plots=[],
                out_dir=str(tmp_path / f"run{number % 20}"),
                seed=number,
            )
        )
        if number in (SETTLED_AFTER, RUNS):
            seen[number] = resident_mb(), handles(), threading.active_count()
            print(f"after {number} runs: {seen[number][0]:.0f} MB, {seen[number][1]} handles")
    (before, open_before, threads_before), (after, open_after, threads_after) = seen.values()
    assert after - before < MOST_GROWTH_MB
    assert open_after <= open_before + 2
    assert threads_after <= threads_before
    assert not list(temporary.iterdir())
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        [(runs,)] = store.execute("select count(*) from runs where status = 'FINISHED'").fetchall()
    assert runs == RUNS

"""Real runs of run.py with ``tracking=server``, their server and they themselves killed in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fatebias.tracking.trace import thin_trace
from tests.conftest import NO_LOCAL, RUN_PY, TINY_SCREEN
from tests.integration.mlflow.server import PATIENCE_S, Server
from tests.tracking.stored import Stored

pytestmark = pytest.mark.slow
STEPS = 6000
RUN = [
    *TINY_SCREEN,
    f"inference.num_steps={STEPS}",
    "inference.stop=never",
    "inference.num_posterior_draws=200",
    "inference.checkpoint_every_s=0.5",
    "inference.progress=false",
    "discovery.engine=native",
    "device=cpu",
]


def started(folder: Path, server: Server, *words: str) -> subprocess.Popen[str]:
    """Type the run; it lasts about twenty seconds."""
    command = [sys.executable, str(RUN_PY), *RUN, "tracking=server", f"tracking.uri={server.url}", *words]
    return subprocess.Popen(
        [*command, "tracking.every_s=0.5", "out_dir=out", *NO_LOCAL],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(
    condition: Callable[[], object], what: str, run: subprocess.Popen[str], seconds: float = PATIENCE_S
) -> None:
    patience = time.monotonic() + seconds
    while not condition():
        if run.poll() is not None:
            raise AssertionError(f"the run ended before: {what}\n{run.communicate()[0]}")
        if time.monotonic() > patience:
            run.kill()
            raise AssertionError(f"not within {seconds:g} s: {what}\n{run.communicate()[0]}")
        time.sleep(0.1)


def seen(stored: Stored, experiment: str) -> int:
    """Return the last step that the server shows, -1 before there is one."""
    runs = stored.runs(experiment)
    return max(stored.loss(runs[0]), default=-1) if runs else -1


def all_there_once(stored: Stored, experiment: str, folder: Path) -> None:
    run = stored.only(experiment)
    assert run.info.status == "FINISHED"
    trace = (folder / "out" / "loss_trace.csv").read_text().splitlines()[1:]
    assert len(trace) == STEPS
    points = thin_trace(folder / "out" / "loss_trace.csv", finished=True, planned_steps=STEPS).points
    assert stored.loss(run) == {point.step: point.value for point in points}
    for name in run.data.metrics:
        if name != "loss":
            assert len(stored.points(run, name)) == 1, name
    record = json.loads((folder / "out" / "run.json").read_text())
    assert run.data.metrics["final/fit_s"] == record["stages"]["fit"]["seconds"]
    assert {"hits_ranked.csv", "gene_summary_for_mash.csv", "run.json"} <= stored.artifacts(run)
    assert not list((folder / "out").glob("**/mlflow.db"))


def test_a_fit_is_seen_while_it_runs_and_its_server_may_come_and_go(server: Server, tmp_path: Path) -> None:
    stored = Stored(server.url)
    words = ["tracking.experiment=live", "inference.num_steps=100000"]
    run = started(tmp_path, server, *words)
    until(lambda: seen(stored, "live") >= 0, "a loss on the server", run)
    first = seen(stored, "live")
    assert stored.only("live").info.status == "RUNNING"
    until(lambda: seen(stored, "live") > first, "a later loss on the server", run)
    server.kill()
    log = tmp_path / "out" / "run.log"
    until(lambda: "cannot be shown on the MLflow server now" in log.read_text(), "word of it", run)
    reached = json.loads((tmp_path / "out" / "run.json").read_text())["status"]
    server.start()
    run.kill()
    run.communicate()
    assert reached == "running"
    patience = time.monotonic() + PATIENCE_S
    while stored.only("live").info.status == "RUNNING" and time.monotonic() < patience:
        time.sleep(0.2)
    assert stored.only("live").info.status == "KILLED"


@pytest.mark.soak
def test_a_run_killed_and_resumed_is_one_run_with_every_metric_once(server: Server, tmp_path: Path) -> None:
    stored = Stored(server.url)
    words = ["tracking.experiment=resumed"]
    run = started(tmp_path, server, *words)
    until(lambda: (tmp_path / "out" / "checkpoint.pt").exists(), "a checkpoint", run)
    until(lambda: seen(stored, "resumed") >= 0, "a loss on the server", run)
    run.kill()
    run.communicate()
    server.kill()
    run = started(tmp_path, server, *words)
    log = tmp_path / "out" / "run.log"
    away = log.read_text().count("cannot be shown")
    until(lambda: log.read_text().count("cannot be shown") > away, "word that the server is away", run)
    server.start()
    told, _ = run.communicate(timeout=600)
    assert run.returncode == 0, told
    all_there_once(stored, "resumed", tmp_path)
    again = started(tmp_path, server, *words)
    told, _ = again.communicate(timeout=600)
    assert again.returncode == 0, told
    assert "fit: inputs and settings unchanged, kept" in told
    all_there_once(stored, "resumed", tmp_path)

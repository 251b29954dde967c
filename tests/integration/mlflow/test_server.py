"""A real ``mlflow ui``: what it shows of local runs, and runs written to it over http."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from fatebias.config import TrackingConfig
from fatebias.tracking.sync import sync_run
from tests.integration.mlflow.server import Server
from tests.tracking.folders import FILES, finished_run
from tests.tracking.stored import Stored

pytestmark = pytest.mark.slow
N_RUNS, STEPS = 8, 2000


def at(server: Server) -> TrackingConfig:
    return TrackingConfig(backend="server", uri=server.url)


def test_a_bare_mlflow_ui_shows_a_local_run_with_its_files(server: Server) -> None:
    assert b"<title>MLflow</title>" in server.get("/")
    run = Stored(server.url).only()
    assert run.info.run_name == "tracked without a server"
    found = json.loads(server.get(f"/ajax-api/2.0/mlflow/artifacts/list?run_id={run.info.run_id}"))
    assert {file["path"] for file in found["files"]} == {name.partition("/")[0] for name in FILES}
    for path, content in (
        ("hits_ranked.csv", b"gene,hit_anyday\nJAK2,True\n"),
        ("plots/loss.txt", b"a picture"),
    ):
        assert server.get(f"/get-artifact?path={quote(path)}&run_uuid={run.info.run_id}") == content


def test_a_run_written_over_http_has_all_that_its_folder_tells(server: Server, tmp_path: Path) -> None:
    many = {f"p{number}": "x" * 7000 if number == 0 else str(number) for number in range(250)}
    finished_run(
        tmp_path / "run", experiment="http", steps=STEPS, choices=many, tags=many | {"mlflow.user": "me"}
    )
    first = sync_run(tmp_path / "run", at(server))
    assert [each.action for each in first.runs] == ["created"], first.text()
    assert [each.action for each in sync_run(tmp_path / "run", at(server)).runs] == ["unchanged"]

    stored = Stored(server.url)
    run = stored.only("http")
    assert (run.info.status, run.info.user_id) == ("FINISHED", "me")
    assert set(many) < set(run.data.params)
    assert run.data.params["p249"] == run.data.tags["p249"] == "249"
    assert run.data.metrics["hits"] == 4
    assert len(stored.loss(run)) == STEPS
    assert stored.artifacts(run) == FILES
    download = server.get(f"/get-artifact?path=hits_ranked.csv&run_uuid={run.info.run_id}")
    assert download == (tmp_path / "run" / "hits_ranked.csv").read_bytes()


def test_a_server_killed_and_restarted_has_every_metric_once(server: Server, tmp_path: Path) -> None:
    for number in range(N_RUNS):
        finished_run(tmp_path / str(number), experiment="killed", name=str(number), steps=STEPS)
    command = [sys.executable, "-m", "fatebias.tracking", "sync", str(tmp_path), "--uri", server.url]
    importer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    stored = Stored(server.url)
    while len(stored.runs("killed")) < N_RUNS // 2:
        assert importer.poll() is None
        time.sleep(0.01)
    server.kill()
    try:
        _, told = importer.communicate(timeout=600)
        away = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    finally:
        server.start()
    partly = stored.runs("killed")
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)

    assert importer.returncode == 1
    assert "not written" in told
    assert away.returncode == 1
    assert (
        away.stderr == f"{N_RUNS} runs not written ({tmp_path}/0 and others): no answer from {server.url}\n"
    )
    assert N_RUNS // 2 <= len(partly) < N_RUNS
    assert f"{N_RUNS} finished" in again.stdout
    runs = stored.runs("killed")
    assert [run.info.run_name for run in runs] == [str(number) for number in range(N_RUNS)]
    for run in runs:
        assert len(stored.loss(run)) == STEPS
        assert len(stored.points(run, "hits")) == 1
        assert stored.artifacts(run) == FILES
        assert run.info.status == "FINISHED"

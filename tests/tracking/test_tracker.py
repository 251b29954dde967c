"""What a run writes about itself is read back from its folder, whatever happens to its process."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from fatebias.config import Config, TrackingConfig
from fatebias.errors import OutputError
from fatebias.tracking.describe import describe_run, parameters
from fatebias.tracking.events import TrackedRun, read_run
from fatebias.tracking.sync import SyncReport
from tests.tracking.folders import FIGURES, FILES, begin, finished_run, started, write_loss

ROOT = Path(__file__).parents[2]


def read(root: Path) -> TrackedRun:
    run = read_run(root)
    assert run is not None
    return run


def edit_entry(root: Path, **changes: object) -> None:
    """Change the entry of run.json, as another machine or another time would have written it."""
    record = json.loads((root / "run.json").read_text())
    record["tracking"] |= changes
    (root / "run.json").write_text(json.dumps(record))


def test_all_that_a_run_notes_is_read_back(tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    begin(tmp_path)
    running = read(tmp_path)
    done = finished_run(tmp_path)

    run = read(tmp_path)
    assert (running.status, running.end_ms, running.metrics) == ("running", None, {})
    assert (run.id, run.name, run.experiment) == (running.id, "priors=weak", "fatebias")
    assert run.run_key == running.run_key
    assert run.params == parameters(dataclasses.asdict(done.config), {"priors": "weak"})
    assert run.tags == {
        "host": "here",
        "mlflow.user": "someone",
        "data_fingerprint": "key",
        "data_sha256": "1234",
        "converged": "true",
        "discovery_engine": "native",
        "discovery_method": "mash",
    }
    assert run.metrics == {name: value for name, value in FIGURES.items() if name != "n_nonfinite"}
    assert set(run.artifacts) == set(run.files()) == FILES
    assert (run.status, run.planned_steps, run.has_loss) == ("finished", 50, True)
    assert run.end_ms is not None
    assert before <= run.start_ms <= run.end_ms <= time.time_ns() // 1_000_000


def test_settings_are_the_same_parameters_from_config_yaml(composed: Callable[..., Config]) -> None:
    config = composed("likelihood_weight=auto", "data.fates=['1e3',on,EC,MES]", "priors.s_alpha=1e-5")
    written = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(OmegaConf.structured(config))))
    assert isinstance(written, dict)
    assert parameters({str(key): value for key, value in written.items()}, {}) == parameters(
        dataclasses.asdict(config), {}
    )


@pytest.mark.parametrize("content", [None, "{", "[]", '{"stages": {}}', '{"tracking": null, "stages": {}}'])
def test_a_folder_without_a_tracked_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert read_run(tmp_path) is None


def test_the_same_run_is_resumed(tmp_path: Path) -> None:
    begin(tmp_path, name="as it was called", experiment="first").finish("failed", why="the loss is NaN")
    failed = read(tmp_path)
    begin(tmp_path, name="otherwise", experiment="second", tags={"restarts": 1})
    resumed = read(tmp_path)
    finished_run(tmp_path)

    assert failed.tags["failure"] == "the loss is NaN"
    assert (resumed.status, resumed.end_ms, resumed.tags["failure"]) == ("running", None, "")
    assert (resumed.tags["restarts"], resumed.tags["host"]) == ("1", "here")
    assert (resumed.name, resumed.experiment) == ("as it was called", "first")
    assert resumed.start_ms == failed.start_ms
    assert failed.id == resumed.id == read(tmp_path).id


def test_another_run_takes_the_folder_over(tmp_path: Path) -> None:
    begin(tmp_path, key="one").finish("failed", why="the loss is NaN")
    first = read(tmp_path)
    begin(tmp_path, key="two")
    second = read(tmp_path)
    assert first.id != second.id
    assert (second.status, "failure" in second.tags) == ("running", False)


def test_until_its_data_are_read_a_run_is_not_mistaken_for_the_one_before(tmp_path: Path) -> None:
    finished_run(tmp_path)
    earlier = read(tmp_path)
    started(tmp_path, seed=1)
    assert read_run(tmp_path) is None
    begin(tmp_path)  # of the settings and data that were there first
    assert read(tmp_path).id == earlier.id


def test_a_run_that_is_stopped_while_it_reads_its_data_and_requeued_is_one_run(tmp_path: Path) -> None:
    started(tmp_path).finish("killed", why="stopped by a signal")
    stopped = read(tmp_path)
    finished_run(tmp_path)
    done = read(tmp_path)
    assert (stopped.status, stopped.tags["data_fingerprint"]) == ("killed", "unread")
    assert (done.id, done.status, done.tags["data_fingerprint"]) == (stopped.id, "finished", "key")


@pytest.mark.parametrize(
    ("words", "backend", "is_run"),
    [
        ([], "local", False),
        (["priors=weak"], "local", False),
        (["tracking=local"], "local", True),
        (["tracking.experiment=screens"], "local", True),
        ([], "server", True),
    ],
)
def test_a_screen_that_is_refused_is_a_run_only_where_tracking_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], backend: str, is_run: bool
) -> None:
    uri = "http://127.0.0.1:9" if backend == "server" else None
    config = Config(tracking=TrackingConfig(backend=backend, uri=uri))
    asked = describe_run(config, words, {}).tracking_asked
    run = started(tmp_path)
    run.tracker.description = dataclasses.replace(run.tracker.description, tracking_asked=asked)
    run.finish("failed", why="the guide map has no rows")
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["status"], record["why"]) == ("failed", "the guide map has no rows")
    assert (read_run(tmp_path) is not None) == is_run
    sent: list[Path] = []

    def imported(root: Path, _: TrackingConfig) -> SyncReport:
        sent.append(root)
        return SyncReport(None)

    monkeypatch.setattr("fatebias.tracking.tracker.sync_run", imported)
    run.tracker.send()
    assert sent == ([tmp_path] if is_run else [])


def test_a_screen_that_is_refused_leaves_the_run_before_it_to_be_resumed(tmp_path: Path) -> None:
    finished_run(tmp_path)
    earlier = read(tmp_path)
    started(tmp_path).finish("failed", why="no such file")
    assert read_run(tmp_path) is None
    finished_run(tmp_path)
    assert read(tmp_path).id == earlier.id


def test_a_run_without_tracking_leaves_nothing_to_import(tmp_path: Path) -> None:
    finished_run(tmp_path)
    finished_run(tmp_path, backend="off")
    assert read_run(tmp_path) is None
    assert "tracking" not in json.loads((tmp_path / "run.json").read_text())


def test_the_loss_of_an_earlier_fit_is_not_that_of_a_fit_that_begins(tmp_path: Path) -> None:
    finished_run(tmp_path)
    os.utime(tmp_path / "loss_trace.csv", (1_700_000_000, 1_700_000_000))
    kept = read(tmp_path).has_loss
    run = begin(tmp_path, key="other")
    found = []
    with run.record.stage("fit", "other", []):
        found.append(read(tmp_path).has_loss)
        write_loss(tmp_path, 3)
        found.append(read(tmp_path).has_loss)
    assert (kept, found) == (True, [False, True])


def test_a_killed_process_leaves_a_killed_run(tmp_path: Path) -> None:
    program = f"""
import signal
from pathlib import Path
from tests.tracking.folders import begin, write_loss
begin(Path({str(tmp_path)!r}))
write_loss(Path({str(tmp_path)!r}), 5)
print("ready", flush=True)
signal.pause()
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline() == "ready\n"
    alive = read(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    dead = read(tmp_path)

    assert (alive.status, alive.end_ms, alive.pid) == ("running", None, process.pid)
    last_sign = (tmp_path / "loss_trace.csv").stat().st_mtime_ns // 1_000_000
    assert (dead.status, dead.end_ms) == ("killed", last_sign)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux' /proc")
def test_a_process_that_died_and_was_not_asked_for_counts_as_killed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    begin(tmp_path)
    edit_entry(tmp_path, pid=dead.pid)
    before = read(tmp_path).status
    dead.kill()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
    after = read(tmp_path).status
    dead.communicate()
    assert (before, after) == ("running", "killed")


def test_a_run_of_another_machine_counts_as_running_until_someone_knows(tmp_path: Path) -> None:
    begin(tmp_path)
    edit_entry(tmp_path, host=f"not {platform.node()}", pid=2**22 - 1)
    assert read(tmp_path).status == "running"
    edit_entry(tmp_path, status="killed", end_ms=5)
    assert (read(tmp_path).status, read(tmp_path).end_ms) == ("killed", 5)


def test_an_unknown_status_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="status is 'done', allowed: finished, failed, killed"):
        begin(tmp_path).finish("done")


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(OutputError, match=r"run.json could not be written\n  where: .*run.json\n  found: No"):
        run.tracker.begin("key")


def test_metrics_keep_every_digit(tmp_path: Path) -> None:
    run = begin(tmp_path)
    entry: dict[str, Any] = {"status": "done", "report": {"engine": "", "method": "", "n_hits": 0}}
    entry["report"]["loglik"] = 0.1 + 0.2
    run.record.content["stages"]["discover"] = entry
    run.finish()
    assert read(tmp_path).metrics["final/mash_loglik"] == 0.1 + 0.2


def test_writing_and_reading_need_no_mlflow(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from fatebias.config import Config, TrackingConfig
from fatebias.files.paths import RunPaths
from fatebias.files.record import RunRecord
from fatebias.tracking.describe import describe_run
from fatebias.tracking.events import read_run
from fatebias.tracking.sync import sync_run
from fatebias.tracking.tracker import Tracker
for backend in ("local", "off"):
    config = Config(tracking=TrackingConfig(backend=backend))
    record = RunRecord(RunPaths(Path(".")))
    tracker = Tracker(config, record, describe_run(config, [], {}))
    tracker.begin("0")
    tracker.stage_begins()
    tracker.close("finished")
    record.finish()
    assert (read_run(Path(".")) is not None) == (backend == "local")
tracker.send()
assert sync_run(Path("."), config.tracking).text() == "tracking is off"
heavy = {"mlflow", "torch", "pyro", "pandas", "anndata", "sqlalchemy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=600)
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_final_figures_are_those_of_a_run_that_finished(tmp_path: Path, status: str) -> None:
    run = begin(tmp_path)
    run.finish(status)
    ended = read(tmp_path)
    finished_run(tmp_path)
    assert (ended.status, ended.metrics) == (status, {})
    assert read(tmp_path).metrics["final/wall_s"] == 12.75

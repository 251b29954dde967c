"""The journal: what is appended is read back, whatever happens to the process that wrote it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fatebias.errors import OutputError
from fatebias.tracking.journal import JOURNAL, Point, SpooledRun, read_journal
from fatebias.tracking.spool import Spool

WORDS = {"name": "defaults", "experiment": "e", "params": {"seed": "0"}}


def begin(root: Path, key: str = "key") -> Spool:
    return Spool.begin(
        root / "tracking", run_key=key, tags={"host": "h", "absent": None, "ok": True}, **WORDS
    )  # type: ignore[arg-type]


def last(root: Path) -> SpooledRun:
    return read_journal(root)[-1]


def journal(root: Path) -> Path:
    return root / "tracking" / JOURNAL


def test_all_that_is_said_is_read_back(tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    spool = begin(tmp_path)
    spool.metric("final/n_hits", 3)
    spool.metrics({"a": 1.5, "b": float("nan")}, step=7)
    spool.artifact(tmp_path / "plots" / "loss.png")
    spool.tag({"discovery_engine": "native"})
    running = last(tmp_path)
    spool.finish()

    run = last(tmp_path)
    assert (running.status, running.end_ms) == ("running", None)
    assert (run.id, run.name, run.experiment, run.run_key) == (spool.id, "defaults", "e", "key")
    assert run.params == {"seed": "0"}
    assert run.tags == {"host": "h", "ok": "true", "discovery_engine": "native"}
    assert [(point.name, point.step) for point in run.points] == [("a", 7), ("b", 7), ("final/n_hits", 0)]
    assert run.artifacts == ["plots/loss.png"]
    assert run.status == "finished"
    assert run.end_ms is not None
    assert before <= run.start_ms <= run.points[0].time_ms <= run.end_ms <= time.time_ns() // 1_000_000


def test_a_folder_without_a_journal_has_no_runs(tmp_path: Path) -> None:
    assert read_journal(tmp_path) == []
    assert Spool.last(tmp_path / "tracking") is None


def test_the_same_run_goes_on_in_its_journal(tmp_path: Path) -> None:
    first = begin(tmp_path)
    first.metrics({"a": 1.0, "b": 1.0})
    first.finish("failed", why="the loss is NaN")
    (failed,) = read_journal(tmp_path)
    again = begin(tmp_path)
    again.metrics({"a": 1.0, "b": 2.0})
    (resumed,) = read_journal(tmp_path)

    assert again.id == first.id
    assert failed.tags["failure"] == "the loss is NaN"
    assert (resumed.status, resumed.end_ms, resumed.tags["failure"]) == ("running", None, "")
    assert resumed.start_ms == failed.start_ms
    assert [(point.name, point.value) for point in resumed.points] == [("a", 1.0), ("b", 1.0), ("b", 2.0)]


def test_another_run_takes_the_folder_over(tmp_path: Path) -> None:
    first = begin(tmp_path, key="one")
    first.metric("a", 1.0)
    second = begin(tmp_path, key="two")
    old, new = read_journal(tmp_path)

    assert (old.id, new.id) == (first.id, second.id)
    assert (old.current, old.status, old.end_ms) == (False, "killed", old.points[0].time_ms)
    assert (new.current, new.status, new.points) == (True, "running", [])


def test_half_a_line_spoils_neither_its_neighbours_nor_the_next_one(tmp_path: Path) -> None:
    spool = begin(tmp_path)
    spool.metric("a", 1.0)
    with journal(tmp_path).open("a") as file:
        file.write('{"event": "metrics", "step": 0, "val')
    assert [point.name for point in last(tmp_path).points] == ["a"]
    spool.metric("b", 2.0)
    assert [point.name for point in last(tmp_path).points] == ["a", "b"]


def test_a_killed_process_leaves_a_killed_run(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from fatebias.tracking.spool import Spool
folder = Path({str(tmp_path)!r}) / "tracking"
spool = Spool.begin(folder, run_key="key", name="n", experiment="e", params={{}})
spool.metric("a", 1.0)
print("ready", flush=True)
signal.pause()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline() == "ready\n"
    alive = last(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    dead = last(tmp_path)

    assert (alive.status, alive.end_ms, alive.pid) == ("running", None, process.pid)
    assert (dead.status, dead.end_ms) == ("killed", dead.points[0].time_ms)


def test_a_run_of_another_machine_counts_as_running_until_someone_knows(tmp_path: Path) -> None:
    begin(tmp_path)
    event = json.loads(journal(tmp_path).read_text().splitlines()[0])
    journal(tmp_path).write_text(json.dumps(event | {"host": "node-07", "pid": 2**22 - 1}) + "\n")
    assert last(tmp_path).status == "running"

    known = Spool.last(tmp_path / "tracking")
    assert known is not None
    known.finish("killed", why="NODE_FAIL")
    assert (last(tmp_path).status, last(tmp_path).tags["failure"]) == ("killed", "NODE_FAIL")


def test_an_unknown_status_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="status is 'done', allowed: finished, failed, killed"):
        begin(tmp_path).finish("done")


def test_an_artifact_lies_below_out_dir(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not in the subpath"):
        begin(tmp_path / "run").artifact(tmp_path / "elsewhere.csv")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "tracking").write_text("a file")
    with pytest.raises(
        OutputError, match=r"journal cannot be written\n  where: .*journal.jsonl\n  found: File exists"
    ):
        begin(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
def test_a_full_disk_is_said_but_does_not_hide_what_ended_the_run(tmp_path: Path) -> None:
    spool = begin(tmp_path)
    journal(tmp_path).unlink()
    journal(tmp_path).symlink_to("/dev/full")
    with pytest.raises(OutputError, match="found: No space left on device"):
        spool.metric("a", 1.0)
    with pytest.raises(OutputError, match="found: No space left on device"):
        spool.finish()
    spool.finish("failed", why="the disk is full")


def test_points_keep_every_digit(tmp_path: Path) -> None:
    value = 0.1 + 0.2
    begin(tmp_path).metric("a", value)
    assert last(tmp_path).points == [Point("a", value, 0, last(tmp_path).points[0].time_ms)]


def test_writing_and_reading_need_no_mlflow(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from fatebias.config import Config, TrackingConfig
from fatebias.tracking.describe import describe_run, run_key
from fatebias.tracking.follow import Follower
from fatebias.tracking.spool import Spool
from fatebias.tracking.sync import sync_run
what = describe_run(Config(), [], {})
spool = Spool.begin(Path("tracking"), run_key=run_key(Config(), "0"), name=what.name, experiment="e",
                    params=what.params, tags=what.tags)
follower = Follower(Path("."), TrackingConfig(backend="off"))
follower.start()
spool.finish()
assert follower.finish().text() == "tracking is off"
assert not sync_run(Path("."), TrackingConfig(backend="off")).failed
heavy = {"mlflow", "torch", "pyro", "pandas", "anndata", "sqlalchemy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=600)
    assert os.listdir(tmp_path) == ["tracking"]


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_final_figures_are_those_of_a_run_that_finished(tmp_path: Path, status: str) -> None:
    for seconds, end in ((3.0, status), (8.0, "finished")):
        spool = begin(tmp_path)
        spool.metrics({"final/wall_s": seconds, "grad_norm": 1.0})
        spool.finish(end)
    (run,) = read_journal(tmp_path)
    assert run.status == "finished"
    assert sorted((point.name, point.value) for point in run.points) == [
        ("final/wall_s", 8.0),
        ("grad_norm", 1.0),
    ]

"""Many processes and one database: nothing is lost, nothing is there twice."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fatebias.config import TrackingConfig
from fatebias.tracking.sync import sync
from tests.tracking.folders import FIGURES, FILES, finished_run
from tests.tracking.stored import Stored

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
STEPS = 2000

# A job as in an array: it appends its loss step by step, without MLflow. Half-way it waits to be seen.
JOB = """
import sys, time
from pathlib import Path
from tests.tracking.folders import begin
root = Path(sys.argv[1])
run = begin(root, steps=2000, name=root.name)
with run.record.stage("fit", "fit", []), (root / "loss_trace.csv").open("w") as trace:
    trace.write("step,loss,timestamp_ms\\n")
    for step in range(2000):
        trace.write(f"{step},{1000 / (step + 1)!r},{time.time_ns() // 1_000_000}\\n")
        if step % 100 == 0:
            trace.flush()
            time.sleep(0.05)
        while step == 1000 and not (root.parent / "seen").exists():
            time.sleep(0.05)
with run.record.stage("discover", "discover", []) as found:
    found["report"] = {"engine": "native", "method": "mash", "n_hits": 5, "loglik": 0.0}
run.finish()
assert "mlflow" not in sys.modules
"""


def importer(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fatebias.tracking", "sync", "."]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def check_all(folder: Path, names: list[str]) -> None:
    """Every run once, every metric of it once, every file."""
    stored = Stored(f"sqlite:///{folder}/mlflow.db")
    runs = stored.runs()
    assert [run.info.run_name for run in runs] == sorted(names)
    for run in runs:
        assert run.info.status == "FINISHED"
        assert len(stored.loss(run)) == STEPS
        assert len(stored.points(run, "hits")) == 1


@pytest.mark.soak
def test_sixteen_jobs_write_while_they_are_imported(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(16)]
    jobs = [subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path / name)], cwd=ROOT) for name in names]
    stored = Stored(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        while any(process.poll() is None for process in jobs):
            report = sync([tmp_path], TrackingConfig(), tmp_path)
            assert not report.failed, report.text()
            if not (tmp_path / "seen").exists() and [each.status for each in report.runs] == ["running"] * 16:
                assert all(run.info.status == "RUNNING" for run in stored.runs())
                (tmp_path / "seen").touch()
    finally:
        for process in jobs:
            process.kill()
            process.wait()
    assert [process.returncode for process in jobs] == [0] * 16
    assert not sync([tmp_path], TrackingConfig(), tmp_path).failed

    check_all(tmp_path, names)


def test_imports_at_once_into_a_database_that_is_not_there_yet(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        finished_run(tmp_path / name, name=name, steps=STEPS)
    importers = [importer(tmp_path) for _ in range(3)]
    told = [each.communicate(timeout=600)[0] for each in importers]
    assert [each.returncode for each in importers] == [0, 0, 0], told
    assert all(text.startswith(f"4 runs in sqlite:///{tmp_path}/mlflow.db") for text in told)
    check_all(tmp_path, names)


def rows(database: Path) -> int:
    """Count the metric points in a database that another process is writing."""
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return -1
    try:
        (number,) = connection.execute("SELECT count(*) FROM metrics").fetchone()
        return int(number)
    except sqlite3.OperationalError:  # locked just now, or still without tables
        return -1
    finally:
        connection.close()


@pytest.mark.soak
def test_an_import_killed_half_way_is_completed_by_the_next(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(6)]
    for name in names:
        finished_run(tmp_path / name, name=name, steps=STEPS)
    database = tmp_path / "mlflow.db"
    reached = []
    for target in (None, 0, 3_000, 9_000):  # None: while the database is being made
        process = importer(tmp_path)
        while process.poll() is None:
            if any(tmp_path.glob("mlflow.db.new-*")) if target is None else rows(database) > target:
                break
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        reached.append(rows(database))
    last = importer(tmp_path)
    told, _ = last.communicate(timeout=600)

    assert reached[0] == -1
    assert sorted(reached) == reached
    assert reached[-1] < rows(database) == len(names) * (STEPS + len(FIGURES))
    assert last.returncode == 0, told
    check_all(tmp_path, names)
    stored = Stored(f"sqlite:///{database}")
    assert all(stored.artifacts(run) == FILES for run in stored.runs())
    assert not list(tmp_path.glob("mlflow.db.new-*"))


@pytest.mark.soak
def test_a_disk_that_fills_up_while_importing(tmp_path: Path) -> None:
    """No file may grow beyond 1.6 MB: room for a database with about two of five runs."""
    names = [f"{number:02}" for number in range(5)]
    for name in names:
        finished_run(tmp_path / name, name=name, steps=STEPS)
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1_600_000, 1_600_000));"
        "from fatebias.tracking.__main__ import main; sys.exit(main(['sync', '.']))"
    )
    full = subprocess.run(
        [sys.executable, "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    reached = rows(tmp_path / "mlflow.db")
    again = importer(tmp_path)
    told, _ = again.communicate(timeout=600)

    assert full.returncode == 1
    assert re.search(r"\d runs not written .*disk (is full|I/O error)", full.stderr)
    assert 0 < reached < len(names) * (STEPS + len(FIGURES))
    assert again.returncode == 0, told
    check_all(tmp_path, names)

"""A run shown while it is at work: the process beside it, and what it says of a server that is away."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fatebias.config import TrackingConfig
from fatebias.tracking.live import Follower, follow
from fatebias.tracking.sync import SyncedRun, SyncReport
from tests.tracking.folders import begin
from tests.tracking.stored import Stored

ROOT = Path(__file__).parents[2]
NOWHERE = TrackingConfig(backend="server", uri="http://127.0.0.1:9", every_s=0.2)  # the discard port: closed
AWAY = SyncReport(None, (SyncedRun(Path(), "", "", "not written", why="away"),))


def followed(reports: list[SyncReport]) -> tuple[list[float], list[tuple[str, bool]]]:
    """Follow with fake imports until they are used up; return the rests and what was said."""
    rests: list[float] = []
    said: list[tuple[str, bool]] = []
    coming = iter(reports)
    follow(
        Path(),
        TrackingConfig(backend="server", uri="http://me:secret@x", every_s=30),
        lambda rest: (rests.append(rest), len(rests) == len(reports))[1],
        lambda text, warning: said.append((text, warning)),
        bring=lambda *_, **__: next(coming),
    )
    return rests, said


def test_a_server_that_is_away_is_said_once_and_asked_ever_more_rarely() -> None:
    rests, said = followed([AWAY] * 6)
    assert rests == [60, 120, 240, 300, 300, 300]
    ((text, warning),) = said
    assert warning
    assert "away" in text


def test_a_server_that_comes_back_is_said_too() -> None:
    rests, said = followed([SyncReport(None), AWAY, SyncReport(None), AWAY])
    assert rests == [30, 60, 30, 60]
    assert [warning for _, warning in said] == [True, False, True]
    assert said[1][0].endswith("//***@x")


def test_a_run_continues_when_its_server_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = begin(tmp_path)
    run.config.tracking, run.tracker._follower = NOWHERE, Follower(tmp_path, NOWHERE)
    with caplog.at_level(logging.WARNING):
        run.tracker.stage_begins()
        patience = time.monotonic() + 600
        while not caplog.records and time.monotonic() < patience:
            time.sleep(0.05)
        early = [record.getMessage() for record in caplog.records]
        run.finish()
        run.tracker.send()
    assert len(early) == 1
    assert "no answer from http://127.0.0.1:9" in early[0]
    assert "found: no answer from http://127.0.0.1:9" in caplog.records[-1].getMessage()
    assert "import it later" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 2


def test_the_process_beside_a_run_does_not_outlive_it(tmp_path: Path) -> None:
    begin(tmp_path)
    code = (
        "import os, sys, time; from pathlib import Path; from fatebias.config import TrackingConfig\n"
        "from fatebias.tracking.live import Follower\n"
        f"follower = Follower(Path({str(tmp_path)!r}), TrackingConfig('server', 'http://127.0.0.1:9'))\n"
        "follower.start(); print(follower._importer.pid, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    beside = int(run.stdout.readline())
    alive = Path(f"/proc/{beside}").exists()
    run.kill()
    run.communicate()
    patience = time.monotonic() + 600
    while _runs(beside) and time.monotonic() < patience:
        time.sleep(0.1)
    assert alive
    assert not _runs(beside)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_words_of_the_address_are_not_in_the_process_list(tmp_path: Path) -> None:
    begin(tmp_path)
    follower = Follower(tmp_path, TrackingConfig(backend="server", uri="http://me:secret@127.0.0.1:9"))
    follower.start()
    try:
        assert follower._importer is not None
        shown = Path(f"/proc/{follower._importer.pid}/cmdline").read_text()
    finally:
        follower.finish(0)
    assert "fatebias.tracking.live" in shown or shown == ""  # empty until the new program is loaded
    assert "secret" not in shown


@pytest.fixture
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has just begun."""
    monkeypatch.setattr(Follower, "_used", False)
    monkeypatch.setattr("fatebias.tracking.live._is_imported", lambda: False)


def local(tmp_path: Path) -> TrackingConfig:
    return TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.usefixtures("without_mlflow")
def test_no_process_is_started_where_nothing_is_tracked(tmp_path: Path) -> None:
    follower = Follower(tmp_path, TrackingConfig(backend="off"))
    follower.start()
    assert follower._importer is None


@pytest.mark.usefixtures("without_mlflow")
@pytest.mark.parametrize("why", ["a run before", "imported", "a job of Slurm"])
def test_a_database_is_written_in_this_process_where_that_costs_no_more(tmp_path, monkeypatch, why) -> None:
    if why == "a run before":
        monkeypatch.setattr(Follower, "_used", True)
    elif why == "imported":
        monkeypatch.setattr("fatebias.tracking.live._is_imported", lambda: True)
    else:
        monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    follower = Follower(tmp_path, local(tmp_path))
    follower.start()
    assert follower._importer is None
    assert not follower.finish()


@pytest.mark.slow
@pytest.mark.usefixtures("without_mlflow")
def test_a_database_is_made_ready_beside_a_run_and_written_at_its_end(tmp_path, monkeypatch) -> None:
    run = begin(tmp_path / "out")
    run.config.tracking = local(tmp_path)
    run.tracker._follower = Follower(tmp_path / "out", local(tmp_path))
    monkeypatch.setattr("fatebias.tracking.tracker.sync_run", None)  # would be called in this process
    run.tracker.stage_begins()
    patience = time.monotonic() + 600
    while not (tmp_path / "mlflow.db").exists() and time.monotonic() < patience:
        time.sleep(0.1)
    stored = Stored(f"sqlite:///{tmp_path}/mlflow.db")
    assert not stored.runs()
    run.finish()
    run.tracker.send()
    [found] = stored.runs()
    assert found.info.status == "FINISHED"


@pytest.mark.slow
def test_a_run_that_is_killed_is_in_its_database_all_the_same(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from fatebias.config import TrackingConfig\n"
        "from fatebias.tracking.live import Follower; from tests.tracking.folders import begin\n"
        f"root = Path({str(tmp_path)!r}); begin(root / 'out')\n"
        "follower = Follower(root / 'out', TrackingConfig(uri=f'sqlite:///{root}/mlflow.db'))\n"
        "follower.start(); print(follower._importer.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False
    )
    beside = int(run.stdout)
    patience = time.monotonic() + 600
    while _runs(beside) and time.monotonic() < patience:
        time.sleep(0.1)
    [found] = Stored(f"sqlite:///{tmp_path}/mlflow.db").runs()
    assert found.info.status == "KILLED"


def test_a_process_that_cannot_be_started_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    follower = Follower(tmp_path, NOWHERE)
    follower.start()
    assert not follower.finish()


def test_a_hung_import_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = tmp_path / "python that hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    follower = Follower(tmp_path, NOWHERE)
    follower.start()
    importer = follower._importer
    assert importer is not None
    assert not follower.finish(0.2)
    assert importer.returncode == -9

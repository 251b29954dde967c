"""One run at a time in a folder, also where the file system has no locks."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys

import pytest

from fatebias.errors import OutputError
from fatebias.files import lock
from fatebias.files.lock import is_at_work, one_run

IN_SLURM = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")


@pytest.fixture(
    params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=lambda number: errno.errorcode[number]
)
def no_locks(request, monkeypatch):
    """A fake: flock as it answers on a file system without locks."""

    def refused(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refused)
    for name in IN_SLURM:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lock"


def note(path, **changed):
    """Write the note of another run."""
    held = {"host": "sh03-01n01", "pid": 77, "born": "1", "job": None, "since": "2026-11-01T00:00:00+00:00"}
    path.with_name(".lock-note").write_text(json.dumps(held | changed))


def test_a_second_run_is_refused_and_the_first_seen(path):
    assert not is_at_work(path)
    with one_run(path):
        assert is_at_work(path)
        with pytest.raises(OutputError, match="another run is working in this folder"), one_run(path):
            pass
    assert not is_at_work(path)


def test_without_locks_a_note_says_who_works(path, no_locks):
    with one_run(path):
        written = json.loads(path.with_name(".lock-note").read_text())
        assert (written["host"], written["pid"]) == (socket.gethostname(), os.getpid())
        assert is_at_work(path)
        with pytest.raises(OutputError) as refused, one_run(path):
            pass
        assert f"process {os.getpid()} on {socket.gethostname()}" in str(refused.value)
        assert "this file system has no locks" in str(refused.value)
    assert not path.with_name(".lock-note").exists()
    with one_run(path):
        pass


def test_an_error_within_takes_the_note_away(path, no_locks):
    with pytest.raises(ValueError, match="of the run"), one_run(path):
        raise ValueError("of the run")
    assert not path.with_name(".lock-note").exists()


KILLED_WITHIN = """
import errno, fcntl, os, sys
from pathlib import Path

def refused(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

fcntl.flock = refused
from fatebias.files.lock import one_run

held = one_run(Path(sys.argv[1]))  # kept: its end would tidy up
held.__enter__()
os._exit(9)
"""


def test_the_note_of_a_killed_process_is_taken_over(path, no_locks, caplog):
    done = subprocess.run([sys.executable, "-c", KILLED_WITHIN, str(path)], check=False)
    assert done.returncode == 9
    assert path.with_name(".lock-note").exists()
    assert not is_at_work(path)
    with one_run(path):
        assert json.loads(path.with_name(".lock-note").read_text())["pid"] == os.getpid()
    assert "taken over from process" in caplog.text
    assert "its process has ended" in caplog.text


def test_a_later_process_of_the_same_number_is_another(path, no_locks):
    note(path, host=socket.gethostname(), pid=os.getpid(), born="1")
    path.touch()
    assert not is_at_work(path)
    with one_run(path):
        pass


def test_a_run_of_another_machine_stays(path, no_locks):
    note(path)
    path.touch()
    assert is_at_work(path)
    with pytest.raises(OutputError) as refused, one_run(path):
        pass
    assert "process 77 on sh03-01n01, since 2026-11-01" in str(refused.value)
    assert f"rm {path.with_name('.lock-note')}" in str(refused.value)
    assert path.with_name(".lock-note").exists()


def test_a_job_that_slurm_knows_to_be_gone_is_taken_over(path, no_locks, monkeypatch, caplog):
    monkeypatch.setattr(lock, "gone", lambda jobs: {"41_2"} & set(jobs))
    note(path, job="41_3")
    with pytest.raises(OutputError, match="Slurm job 41_3"), one_run(path):
        pass
    note(path, job="41_2")
    with one_run(path):
        pass
    assert "Slurm says that job 41_2 has ended" in caplog.text


def test_a_job_that_is_queued_again_is_not_blocked_by_its_earlier_start(path, no_locks, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "41")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setattr(lock, "gone", lambda jobs: pytest.fail("its own job needs no question"))
    note(path, job="41_3")  # on another node, which went down
    with one_run(path):
        assert json.loads(path.with_name(".lock-note").read_text())["job"] == "41_3"


def test_a_note_that_cannot_be_read_is_someone_s(path, no_locks):
    path.with_name(".lock-note").write_text("")
    with pytest.raises(OutputError, match="process unknown on an unknown machine"), one_run(path):
        pass


def test_another_error_of_the_file_system_is_told(path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), one_run(path):
        pass

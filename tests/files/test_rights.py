"""Folders and files of another user: one message that says whose they are, and nothing is written."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fatebias.errors import OutputError
from fatebias.files.lock import is_at_work, one_run
from fatebias.files.paths import prepare_out_dir
from tests.conftest import LIMIT_S, NO_LOCAL, NOBODY, RUN_PY

IN_PLACE = ["run.log", ".lock", "loss_trace.csv", ".hydra/config.yaml"]


def written(root: Path, *names: str) -> Path:
    """Write files as an earlier run would, in folders that everybody may write to."""
    for name in names:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o777)
        path.write_text("of an earlier run")
        path.chmod(0o644)
    return root


def state(root: Path) -> dict[Path, tuple[float, int]]:
    return {path: (path.stat().st_mtime, path.stat().st_mode) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_file_of_another_user_that_a_run_writes_over_is_refused(open_folder, nobody, name):
    before = state(written(open_folder, name))
    with nobody(), pytest.raises(OutputError, match=rf"(?s)where: {open_folder}.*{name} of root.*ask root"):
        prepare_out_dir(open_folder)
    assert state(open_folder) == before


@pytest.mark.parametrize("name", [".hydra", "figures", "superseded"])
def test_a_folder_of_another_user_in_it_is_refused(open_folder, nobody, name):
    (open_folder / name).mkdir(mode=0o755)
    with nobody(), pytest.raises(OutputError, match=f"found: {name} of root"):
        prepare_out_dir(open_folder)


def test_results_of_another_user_that_are_replaced_are_no_obstacle(open_folder, nobody):
    written(open_folder, "run.json", "hits_ranked.csv")
    with nobody():
        prepare_out_dir(open_folder)


def test_where_others_files_cannot_be_replaced_none_may_be_there(open_folder, nobody):
    written(open_folder, "hits_ranked.csv")
    open_folder.chmod(0o1777)
    with nobody(), pytest.raises(OutputError, match=r"found: hits_ranked\.csv of root"):
        prepare_out_dir(open_folder)


def test_a_folder_of_another_user_is_refused_with_its_owner(open_folder, nobody):
    open_folder.chmod(0o755)
    for folder in (open_folder, open_folder / "new" / "run"):
        with (
            nobody(),
            pytest.raises(OutputError, match=f"found: .* {open_folder} belongs to root") as refused,
        ):
            prepare_out_dir(folder)
        assert "room" not in str(refused.value)


def test_one_s_own_files_without_the_right_to_write_are_refused_with_the_command(open_folder, nobody):
    (written(open_folder, "run.log") / "run.log").chmod(0o444)
    os.chown(open_folder / "run.log", NOBODY, NOBODY)
    with (
        nobody(),
        pytest.raises(OutputError, match=rf"(?s)run\.log, without.*or chmod -R u\+w {open_folder}"),
    ):
        prepare_out_dir(open_folder)


def test_a_lock_of_another_user_that_nobody_holds_is_refused_with_what_to_do(open_folder, nobody):
    lock = written(open_folder, ".lock") / ".lock"
    with (
        nobody(),
        pytest.raises(OutputError, match=rf"{lock} belongs to root\n  fix: .*let root type: rm {lock}"),
        one_run(lock),
    ):
        pass


def test_a_run_of_another_user_is_seen_at_work_and_seen_to_have_ended(open_folder, nobody):
    lock = written(open_folder, ".lock") / ".lock"
    open_folder.chmod(0o755)
    with one_run(lock), nobody():
        assert is_at_work(lock)
    with nobody():
        assert not is_at_work(lock)


def test_a_folder_that_is_closed_has_nobody_at_work_who_could_be_seen(open_folder, nobody):
    lock = written(open_folder, ".lock") / ".lock"
    open_folder.chmod(0o700)
    with nobody():
        assert not is_at_work(lock)


@pytest.mark.parametrize(("note", "at_work"), [(None, False), ('{"host": "another"}', True)])
def test_without_locks_the_note_of_another_user_decides(open_folder, nobody, monkeypatch, note, at_work):
    lock = written(open_folder, ".lock") / ".lock"
    if note:
        written(open_folder, ".lock-note")
        (open_folder / ".lock-note").write_text(note)

    def refused(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with nobody():
        assert is_at_work(lock) == at_work


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PLACE)
def test_a_run_in_a_folder_with_files_of_another_user_is_one_message(open_folder, nobody, name):
    """Root without its powers has the rights of any user, and reaches Python wherever that is installed."""
    if shutil.which("setpriv") is None:
        pytest.skip("util-linux has no setpriv here")
    before = state(written(open_folder, name))
    for path in (open_folder, *open_folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, str(RUN_PY)]
    words = ["data=simulated", "tracking=off", f"out_dir={open_folder}", *NO_LOCAL]
    done = subprocess.run(
        [*powerless, *words], capture_output=True, text=True, timeout=LIMIT_S, cwd=open_folder, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("files of an earlier run in this folder cannot be written\n")
    assert f"found: {name} of nobody\n" in done.stderr
    assert len(done.stderr.splitlines()) == 4
    assert state(open_folder) == before

"""Addresses of stores, and whether something answers there."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fatebias.config import TrackingConfig
from fatebias.errors import ConfigError
from fatebias.tracking import place as module
from fatebias.tracking.place import Place, check_place, resolve_place


def server(uri: str) -> Place:
    return resolve_place(TrackingConfig(backend="server", uri=uri), Path("/somewhere"))


def test_the_local_database_stands_where_the_command_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = resolve_place(TrackingConfig())
    assert here.database == tmp_path / "mlflow.db"
    assert here.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert here.artifacts == f"file://{tmp_path}/mlartifacts"
    assert here.ui_command() == "fatebias ui"
    assert here.ui_command("a sweep") == "fatebias ui 'a sweep'"
    assert here.address("/#/x") is None
    monkeypatch.setattr("sys.argv", ["/checkout/run.py"])
    assert here.ui_command() == "python run.py ui"


@pytest.mark.parametrize(
    ("uri", "file"), [("sqlite:///a/b.db", "/base/a/b.db"), ("sqlite:////c/d.db", "/c/d.db")]
)
def test_a_database_elsewhere(uri: str, file: str) -> None:
    place = resolve_place(TrackingConfig(uri=uri), Path("/base"))
    assert place.uri == f"sqlite:///{file}"
    assert place.ui_command() == f"fatebias ui 'tracking.uri=\"sqlite:///{file}\"'"


@pytest.mark.parametrize(
    "uri", ["mlruns", "file:///x", "http://host:5000", "sqlite:///", "sqlite:///:memory:"]
)
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(
        ConfigError, match=r"SQLite file\n  where: tracking.uri\n  found: .*\n  allowed: sqlite:///FILE"
    ):
        resolve_place(TrackingConfig(uri=uri), Path("/base"))


@pytest.mark.parametrize("folder", ["50%", "what?"])
def test_signs_that_sqlite_would_misread_are_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot hold % or \?"):
        resolve_place(TrackingConfig(), Path("/base") / folder)


def test_a_password_is_never_shown() -> None:
    place = server("https://me:secret@host/mlflow/")
    assert place.uri == "https://me:secret@host/mlflow"
    assert place.shown == "https://***@host/mlflow"
    assert place.address("/#/x") == "https://***@host/mlflow/#/x"
    assert "secret" not in place.ui_command()
    assert place.sync_command(Path("/a b")) == (
        "python -m fatebias.tracking sync '/a b' --uri 'https://***@host/mlflow'"
    )


@pytest.fixture
def answering() -> Iterator[tuple[int, list[str]]]:
    """A server that knows nothing but answers."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening.server_address[1], asked
        listening.shutdown()
        thread.join()


def test_any_answer_is_an_answer(answering: tuple[int, list[str]]) -> None:
    port, asked = answering
    assert server(f"http://me:secret@127.0.0.1:{port}/under").answers()
    assert asked == ["/under/health"]


def test_a_closed_port_does_not_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not server(f"http://127.0.0.1:{taken.getsockname()[1]}").answers()


def test_a_port_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not server(f"http://127.0.0.1:{silent.getsockname()[1]}").answers()


@pytest.mark.parametrize(
    "uri", ["http://", "http://:5000", "http://host:abc", "http://host:99999", "http://[x"]
)
def test_an_address_without_host_or_port_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"is not the address of a server\n  where: tracking.uri"):
        check_place(TrackingConfig(backend="server", uri=uri))


def test_a_server_that_is_away_is_not_refused() -> None:
    check_place(TrackingConfig(backend="server", uri="http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("sqlite:///folder", "folder is a folder"),
        ("sqlite:///notes.txt", "notes.txt is not a SQLite database"),
        ("sqlite:///notes.txt/a/mlflow.db", "notes.txt is a file, not a folder"),
        ("mlruns", "sqlite:///FILE"),
    ],
)
def test_a_database_that_could_not_be_written_is_refused(tmp_path: Path, uri: str, found: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("my notes")
    with pytest.raises(ConfigError, match=found):
        check_place(TrackingConfig(uri=uri), tmp_path)
    check_place(TrackingConfig(backend="off", uri=uri), tmp_path)


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ConfigError, match=f"you may not write in {tmp_path}"):
        check_place(TrackingConfig(), tmp_path)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")  # a job leaves the database to the client
    check_place(TrackingConfig(), tmp_path)


def test_a_database_that_is_there_or_can_be_made_is_taken(tmp_path: Path) -> None:
    check_place(TrackingConfig(uri="sqlite:///to/be/made.db"), tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\0 and so on")
    check_place(TrackingConfig(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]

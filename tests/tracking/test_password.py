"""A password in the address of a server is in no file and no line of a run or a sweep, and MLflow gets it."""

from __future__ import annotations

import base64
import http.server
import os
import secrets
import threading
from pathlib import Path

import pytest

from fatebias.tracking.password import PASSWORD, USER, set_apart, set_words_apart
from tests.conftest import TINY_SCREEN

SECRET = secrets.token_hex(8)  # which uncommitted changes of this file have not
ADDRESS = f"http://user:{SECRET}@127.0.0.1:1"
TINY = [
    *TINY_SCREEN,
    "inference.num_posterior_draws=200",
    "inference.num_steps=5",
    "inference.stop=never",
    "stages=[fit]",
    "tracking=server",
    "out_dir=out",
]
FILES = {"config.yaml", "hydra.yaml", "overrides.yaml", "run.json", "run.log"}


@pytest.fixture
def environment(monkeypatch) -> None:
    """Give back the environment as it was."""
    for name in (USER, PASSWORD):
        monkeypatch.setenv(name, "before")


@pytest.mark.parametrize(
    ("address", "without", "kept"),
    [
        ("http://me:a@127.0.0.1:1", "http://127.0.0.1:1", ("me", "a")),
        ("https://me:a%40b%2Fc@host/path", "https://host/path", ("me", "a@b/c")),
        ("http://me:a@b@host", "http://host", ("me", "a@b")),
        ("http://me@host", "http://host", ("before", "before")),
        ("http://host/a@b", "http://host/a@b", ("before", "before")),
        ("sqlite:////a@b/mlflow.db", "sqlite:////a@b/mlflow.db", ("before", "before")),
    ],
)
def test_user_and_password_go_to_where_mlflow_looks_for_them(environment, address, without, kept):
    assert set_apart(address) == without
    assert (os.environ[USER], os.environ[PASSWORD]) == kept


def test_only_words_on_tracking_are_changed(environment):
    words = ["+tracking.uri='http://a:b@h'", "tracking={uri:'http://a:b@h'}", "x=http://a:b@h"]
    assert set_words_apart(words) == ["+tracking.uri='http://h'", "tracking={uri:'http://h'}", words[2]]


def assert_nowhere(done, folder: Path) -> None:
    assert done.returncode == 0, done.stderr
    assert "no answer from http://127.0.0.1:1" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= FILES
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"]], ids=["one run", "a sweep"])
def test_a_password_that_was_typed_is_written_nowhere(terminal, tmp_path, words):
    assert_nowhere(terminal(*words, *TINY, f"tracking.uri={ADDRESS}", fits=True), tmp_path)


@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"]], ids=["one run", "a sweep"])
def test_a_password_in_a_file_of_settings_is_written_nowhere_else(
    terminal, tmp_path, tmp_path_factory, words
):
    own = tmp_path_factory.mktemp("own")
    (own / "experiment").mkdir()
    (own / "experiment" / "lab.yaml").write_text(f"# @package _global_\ntracking: {{uri: '{ADDRESS}'}}\n")
    done = terminal("--config-dir", str(own), *words, *TINY, "experiment=lab", fits=True)
    assert_nowhere(done, tmp_path)


@pytest.mark.slow
def test_mlflow_sends_what_was_set_apart(environment):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    seen = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = set_apart(f"http://user:{SECRET}@127.0.0.1:{server.server_address[1]}")
        with pytest.raises(MlflowException, match="403"):
            MlflowClient(address).get_experiment_by_name("fatebias")
        server.shutdown()
    assert set(seen) == {f"Basic {base64.b64encode(f'user:{SECRET}'.encode()).decode()}"}

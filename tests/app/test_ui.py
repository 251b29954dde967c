"""What ``fatebias ui`` refuses; tests/integration/mlflow/test_browser.py has it at work."""

from __future__ import annotations

import socket

import pytest

from fatebias.app.ui import main
from fatebias.config import TrackingConfig
from fatebias.errors import ConfigError
from fatebias.tracking.place import resolve_place
from fatebias.tracking.ui import local_server


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "MLflow has no runs in the experiment fatebias\n  where: sqlite:///"),
        (["no-such-sweep"], "there is no sweep in this folder: it has no sweep.json"),
        (
            ["priors=weak"],
            "only settings of tracking say where runs are kept\n  where: command line, priors=weak",
        ),
        (["tracking.url=x"], "there is no setting tracking.url"),
        (["tracking=off"], "tracking=off keeps no runs in MLflow"),
        (["tracking=server", "tracking.uri=http://127.0.0.1:9"], "the MLflow server does not answer"),
    ],
)
def test_where_there_are_no_runs_one_message_says_so(words, told, tmp_path, capsys):
    assert main([*words, "--no-browser"]) == 1
    out, err = capsys.readouterr()
    assert (out, told in err) == ("", True), err
    assert list(tmp_path.iterdir()) == []  # no database is made by looking


def test_a_port_that_is_taken_is_refused_where_it_was_asked_for(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=rf"on this port\n  where: --port {port}\n  found: .*in use"),
            local_server(resolve_place(TrackingConfig(), tmp_path), port),
        ):
            pass

"""One real MLflow server for all tests of this folder: a start costs 5 to 20 seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fatebias.config import TrackingConfig
from fatebias.tracking.sync import sync_run
from tests.integration.mlflow.server import Server
from tests.tracking.folders import finished_run


@pytest.fixture(scope="session")
def typed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where commands are typed."""
    return tmp_path_factory.mktemp("typed in")


@pytest.fixture(scope="session")
def server(typed_in: Path) -> Iterator[Server]:
    """Return the server, started after one local run was tracked in its folder."""
    finished_run(typed_in / "outputs" / "local", name="tracked without a server")
    assert not sync_run(typed_in / "outputs" / "local", TrackingConfig(), typed_in).failed
    running = Server(typed_in)
    try:
        running.start()
        yield running
    finally:
        running.kill()

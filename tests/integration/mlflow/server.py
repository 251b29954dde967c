"""A real MLflow server as a process that tests may kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

PATIENCE_S = 600  # of tests that wait for processes: a busy machine is no failure


class Server:
    """A bare ``mlflow ui``, as a user types it in the folder where the runs were started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = [sys.executable, "-m", "mlflow", "ui", "--port", str(self.port), "--workers", "1"]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                words, cwd=self.folder, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
            )
        patience = time.monotonic() + PATIENCE_S
        while self._process.poll() is None and time.monotonic() < patience:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.2)
        pytest.fail(f"mlflow ui did not start:\n{(self.folder / 'server.log').read_text()}")

    def kill(self) -> None:
        """Kill it and its workers without a chance to finish anything."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session, so nothing else
            self._process.wait()
            self._process = None

    def get(self, path: str) -> bytes:
        """Ask for a page, as a browser does."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            content: bytes = answer.read()
        return content

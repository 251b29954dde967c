"""MLflow's own pages on this machine: a server that is started for a look, and ends with Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fatebias.errors import ConfigError, OutputError
from fatebias.tracking.place import Place

HOST = "127.0.0.1"  # nobody else on the network sees it
PORT = 5000
PATIENCE_S = 180.0  # a cold start takes 5 to 20 s; a home folder on a slow network much longer
END_S = 10.0
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # of language models; each takes processes of its own
}


def show(
    place: Place, pages: Sequence[tuple[str, str]], *, port: int | None = None, browser: bool = True
) -> None:
    """Open the first of some pages of a store, each given with what it is, and print all of them.

    For a database MLflow's server is started, and kept until Ctrl-C. Raises ConfigError when `port` is taken,
    OutputError when the server does not start.
    """
    if place.database is None:
        _tell(place.shown, pages, browser)
        return
    with local_server(place, port) as root:
        _tell(root, pages, browser)
        print("Ctrl-C ends it", flush=True)
        with _ended_by(signal.SIGTERM):
            while True:
                signal.pause()


@contextmanager
def local_server(place: Place, port: int | None = None) -> Iterator[str]:
    """Yield the address of an ``mlflow ui`` of a database; it has ended when the block ends."""
    chosen = _free_port(port)
    words = ["-m", "mlflow", "ui", "--host", HOST, "--port", str(chosen), "--workers", "1"]
    words += ["--backend-store-uri", place.uri]
    if place.artifacts is not None:
        words += ["--default-artifact-root", place.artifacts]
    with tempfile.TemporaryDirectory(prefix="fatebias-ui-") as folder:
        log = Path(folder) / "mlflow.log"
        with log.open("wb") as told:
            server = subprocess.Popen(
                [sys.executable, "-P", *words],  # -P: nothing in the user's folder is imported
                cwd=folder,
                env=os.environ | QUIET,
                stdout=told,
                stderr=told,
                start_new_session=True,  # Ctrl-C is ours, so that it ends once and without tracebacks
            )
        try:
            root = f"http://{HOST}:{chosen}"
            _wait_for(root, server, log)
            yield root
        finally:
            _end(server)


def _tell(root: str, pages: Sequence[tuple[str, str]], browser: bool) -> None:
    for what, page in pages:
        print(f"{what}: {root}{page}", flush=True)
    if browser and not webbrowser.open(root + pages[0][1]):
        print("no browser could be opened here: open the address in yours", file=sys.stderr)


def _free_port(wanted: int | None) -> int:
    for port in (PORT if wanted is None else wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will ask for it
            try:
                probe.bind((HOST, port))
            except (OSError, OverflowError) as error:
                if wanted is None and port:
                    continue
                raise ConfigError(
                    "no server can be started on this port",
                    where=f"--port {wanted}",
                    found=getattr(error, "strerror", None) or str(error),
                    fix="leave out --port: a free one is taken",
                ) from error
            return int(probe.getsockname()[1])
    raise AssertionError("port 0 is any free one")


def _wait_for(root: str, server: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + PATIENCE_S
    while server.poll() is None and time.monotonic() < patience:
        try:
            with urllib.request.urlopen(f"{root}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise OutputError(
        "MLflow's server did not start",
        where=root,
        found=said[-1] if said else f"no answer within {PATIENCE_S:g} s",
        fix="see what it says: mlflow ui, with --backend-store-uri where the database has another name",
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers: asked first, then forced."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)  # its own session, so nothing else
            server.wait(END_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def _ended_by(number: signal.Signals) -> Iterator[None]:
    """Let a signal end the block as Ctrl-C does, and neither of them be an error."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before: Callable[..., object] | int | None = signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        print()
    finally:
        signal.signal(number, before)

"""Where MLflow's runs are kept: a SQLite file where the command was typed, or a server."""

from __future__ import annotations

import dataclasses
import os
import shlex
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from fatebias.config import TrackingConfig
from fatebias.errors import ConfigError
from fatebias.tracking.describe import without_password

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
PROBE_S = 5.0
SQLITE = b"SQLite format 3\0"


@dataclasses.dataclass(frozen=True)
class Place:
    """One MLflow store.

    Attributes
    ----------
    uri
        As MLflow takes it; a database with its absolute path.
    database
        The SQLite file; None for a server.
    base
        The folder where the command was typed.
    """

    uri: str
    database: Path | None
    base: Path

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return without_password(self.uri)

    @property
    def artifacts(self) -> str | None:
        """Where artifacts of a new experiment go, as an absolute address; None: the server knows."""
        return None if self.database is None else (self.database.parent / ARTIFACTS).as_uri()

    @property
    def view(self) -> str:
        """The command that shows the runs, or the address to open."""
        if self.database is None:
            return self.shown
        if self.database != self.base / DATABASE:
            return f"mlflow ui --backend-store-uri {shlex.quote(self.uri)}"
        if any((self.base / "mlruns").glob("*/meta.yaml")):  # a bare `mlflow ui` would open that instead
            return f"mlflow ui --backend-store-uri sqlite:///{DATABASE}"
        return "mlflow ui"

    def sync_command(self, folder: Path) -> str:
        """Give the command that imports what lies below a folder.

        Parameters
        ----------
        folder
            Runs, or a run.

        Returns
        -------
        str
            To be typed anywhere.
        """
        return shlex.join(["python", "-m", "fatebias.tracking", "sync", str(folder), "--uri", self.shown])

    def answers(self) -> bool:
        """Tell whether the store can be reached, in a few seconds at most.

        Returns
        -------
        bool
            False only for a server that refuses the connection, is unknown or says nothing for 5 s.
        """
        if self.database is not None:
            return True
        parts = urllib.parse.urlsplit(self.uri)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/health")
        try:
            with urllib.request.urlopen(bare.geturl(), timeout=PROBE_S):
                return True
        except urllib.error.HTTPError:
            return True  # it answered; whether it lets us in is seen when we write
        except urllib.error.URLError as error:
            return isinstance(error.reason, ssl.SSLError)
        except OSError:
            return False


def resolve_place(tracking: TrackingConfig, base: Path | None = None) -> Place:
    """Say where runs go.

    Parameters
    ----------
    tracking
        With backend ``local`` or ``server``.
    base
        Folder that a relative SQLite path is meant from; the working directory by default.

    Returns
    -------
    Place
        With absolute addresses.

    Raises
    ------
    ConfigError
        For an address that is neither SQLite nor http, that has no host, or that SQLite cannot take.
    """
    folder = Path.cwd() if base is None else base.resolve()
    uri = tracking.uri or f"sqlite:///{DATABASE}"
    if tracking.backend == "server":
        _check_address(uri)
        return Place(uri.rstrip("/"), None, folder)
    path = uri.removeprefix("sqlite:///")
    if path == uri or path in ("", ":memory:"):
        raise ConfigError(
            "tracking=local keeps runs in a SQLite file",
            where="tracking.uri",
            found=without_password(uri),
            allowed="sqlite:///FILE, or null for sqlite:///mlflow.db where the command is typed",
            fix="tracking=server for an http(s) address",
        )
    database = folder / path
    if any(sign in str(database) for sign in "%?"):
        raise ConfigError(
            "SQLite's addresses cannot carry % or ?",
            where="tracking.uri",
            found=database,
            fix="tracking.uri=sqlite:////ANOTHER/FOLDER/mlflow.db",
        )
    return Place(f"sqlite:///{database}", database, folder)


def check_place(tracking: TrackingConfig, base: Path | None = None) -> None:
    """Refuse, before a run begins, an address that cannot work at its end.

    A server that does not answer is no reason to refuse: it may be back by then.

    Parameters
    ----------
    tracking
        Any backend.
    base
        As of `resolve_place`.

    Raises
    ------
    ConfigError
        When the address makes no sense, or its SQLite file cannot be written or is something else.
    """
    if tracking.backend == "off":
        return
    database = resolve_place(tracking, base).database
    if database is None or is_left_for_later(tracking):  # the folder may be there on the login node alone
        return
    found = _obstacle(database)
    if found is not None:
        raise ConfigError(
            "MLflow's database could not be written at the end of the run",
            where=f"tracking.uri={without_password(tracking.uri)}" if tracking.uri else "tracking=local",
            found=found,
            fix="tracking.uri=sqlite:////ANOTHER/FOLDER/mlflow.db, or tracking=off",
        )


def is_left_for_later(tracking: TrackingConfig) -> bool:
    """Tell whether this process must leave MLflow's store alone: a job of many that would share one file.

    Parameters
    ----------
    tracking
        Where to.

    Returns
    -------
    bool
        True in a Slurm job of a sweep that is not told of a server.
    """
    return tracking.backend == "local" and os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def _check_address(uri: str) -> None:
    try:
        parts = urllib.parse.urlsplit(uri)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, half a bracket
        usable = False
    if not usable:
        raise ConfigError(
            "tracking.uri is no address of a server",
            where="tracking.uri",
            found=without_password(uri),
            allowed="http(s)://HOST or http(s)://HOST:PORT",
            fix="python run.py tracking=server tracking.uri=http://127.0.0.1:5000",
        )


def _obstacle(database: Path) -> str | None:
    """Say what stands against writing a database; nothing is made."""
    try:
        if database.is_dir():
            return f"{database} is a folder"
        if database.exists():
            with database.open("rb") as file:
                begin = file.read(len(SQLITE))
            if begin not in (b"", SQLITE):
                return f"{database} is no SQLite database"
            return None if os.access(database, os.W_OK) else f"{database} may not be written"
        folder = next(parent for parent in database.parents if parent.exists())
    except OSError as error:
        return f"{database}: {error.strerror or error}"
    if not folder.is_dir():
        return f"{folder} is a file and no folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"nothing may be written in {folder}"

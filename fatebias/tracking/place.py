"""Where MLflow's runs are kept: a SQLite file where the command was typed, or a server."""

from __future__ import annotations

import dataclasses
import shlex
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from fatebias.config import TrackingConfig
from fatebias.errors import ConfigError, explain
from fatebias.tracking.describe import without_password

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
PROBE_S = 5.0


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
        For an address that is neither SQLite nor http, or that SQLite cannot take.
    """
    folder = Path.cwd() if base is None else base.resolve()
    uri = tracking.uri or f"sqlite:///{DATABASE}"
    if tracking.backend == "server":
        return Place(uri.rstrip("/"), None, folder)
    path = uri.removeprefix("sqlite:///")
    if path == uri or path in ("", ":memory:"):
        raise ConfigError(
            explain(
                "tracking=local keeps runs in a SQLite file",
                where="tracking.uri",
                found=without_password(uri),
                allowed="sqlite:///FILE, or null for sqlite:///mlflow.db where the command is typed",
                fix="tracking=server for an http(s) address",
            )
        )
    database = folder / path
    if any(sign in str(database) for sign in "%?"):
        raise ConfigError(
            explain(
                "SQLite's addresses cannot carry % or ?",
                where="tracking.uri",
                found=database,
                fix="tracking.uri=sqlite:////ANOTHER/FOLDER/mlflow.db",
            )
        )
    return Place(f"sqlite:///{database}", database, folder)

"""Where MLflow's runs are kept: a SQLite file where the command was typed, or a server."""

from __future__ import annotations

import dataclasses
import os
import shlex
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from fatebias.config import TrackingConfig
from fatebias.errors import ConfigError
from fatebias.pasted import setting
from fatebias.tracking.password import without_password

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
PROBE_S = 5.0
SQLITE = b"SQLite format 3\0"


@dataclasses.dataclass(frozen=True)
class Place:
    """One MLflow store."""

    uri: str  # as MLflow takes it; a database with its absolute path
    database: Path | None  # the SQLite file; None for a server
    base: Path  # the folder where the command was typed

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return without_password(self.uri)

    @property
    def artifacts(self) -> str | None:
        """Where artifacts of a new experiment go, as an absolute address; None: the server knows."""
        return None if self.database is None else (self.database.parent / ARTIFACTS).as_uri()

    def address(self, page: str) -> str | None:
        """Return the address of a page that begins at ``/#/``; None without a server."""
        return None if self.database is not None else self.shown + page

    def ui_command(self, *words: str) -> str:
        """Return the command that opens this store in a browser, `words` behind its name."""
        program = "python run.py" if Path(sys.argv[0]).name == "run.py" else "fatebias"
        named: list[str] = []
        if self.database is None:
            named = [setting("tracking", "server"), setting("tracking.uri", self.shown)]
        elif self.database != self.base / DATABASE:
            named = [setting("tracking.uri", self.uri)]
        return " ".join([program, "ui", *map(shlex.quote, words), *named])

    def sync_command(self, folder: Path) -> str:
        """Return the command that imports what lies below a folder."""
        return shlex.join(["python", "-m", "fatebias.tracking", "sync", str(folder), "--uri", self.shown])

    def answers(self) -> bool:
        """Return whether the store can be reached; a server that says nothing for 5 s cannot."""
        if self.database is not None:
            return True
        parts = urllib.parse.urlsplit(self.uri)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/health")
        try:
            with urllib.request.urlopen(bare.geturl(), timeout=PROBE_S):
                return True
        except urllib.error.HTTPError:
            return True  # it answered; writing will show whether it lets us in
        except urllib.error.URLError as error:
            return isinstance(error.reason, ssl.SSLError)
        except OSError:
            return False


def resolve_place(tracking: TrackingConfig, base: Path | None = None) -> Place:
    """Return where runs go; a relative SQLite path starts at `base`, by default the working directory."""
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
            "an address of SQLite cannot hold % or ?",
            where="tracking.uri",
            found=database,
            fix="tracking.uri=sqlite:////ANOTHER/FOLDER/mlflow.db",
        )
    return Place(f"sqlite:///{database}", database, folder)


def check_place(tracking: TrackingConfig, base: Path | None = None) -> None:
    """Refuse, before a run begins, an address that cannot work at its end; a server may be back by then."""
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
    """Return whether this is a Slurm job of a sweep, one of many that would write the same SQLite file."""
    return tracking.backend == "local" and os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def _check_address(uri: str) -> None:
    try:
        parts = urllib.parse.urlsplit(uri)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, half a bracket
        usable = False
    if not usable:
        raise ConfigError(
            "tracking.uri is not the address of a server",
            where="tracking.uri",
            found=without_password(uri),
            allowed="http(s)://HOST or http(s)://HOST:PORT",
            fix="python run.py tracking=server tracking.uri=http://127.0.0.1:5000",
        )


def _obstacle(database: Path) -> str | None:
    """Return why a database cannot be written, or None; nothing is created."""
    try:
        if database.is_dir():
            return f"{database} is a folder"
        if database.exists():
            with database.open("rb") as file:
                begin = file.read(len(SQLITE))
            if begin not in (b"", SQLITE):
                return f"{database} is not a SQLite database"
            return None if os.access(database, os.W_OK) else f"you may not write {database}"
        folder = next(parent for parent in database.parents if parent.exists())
    except OSError as error:
        return f"{database}: {error.strerror or error}"
    if not folder.is_dir():
        return f"{folder} is a file, not a folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"you may not write in {folder}"

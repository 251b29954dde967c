"""Where a run's files stand, how they appear (whole or not at all), and run.json, the run's own record."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fatebias import names
from fatebias.errors import OutputError, explain

RECORDED_PACKAGES = (
    "fatebias",
    "torch",
    "pyro-ppl",
    "anndata",
    "numpy",
    "scipy",
    "pandas",
    "hydra-core",
    "mlflow",
)


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """Every file of a run, as a property.

    Parameters
    ----------
    root
        The run's folder, ``out_dir``.
    """

    root: Path

    @property
    def gene_summary(self) -> Path:
        """Daywise effects and standard errors, what mash is given."""
        return self.root / names.GENE_SUMMARY_CSV

    @property
    def guide_summary(self) -> Path:
        """The same for each CRISPR guide."""
        return self.root / names.GUIDE_SUMMARY_CSV

    @property
    def posterior(self) -> Path:
        """Means and SDs of all effects, both contrasts, with names."""
        return self.root / names.POSTERIOR_NPZ

    @property
    def mash_out(self) -> Path:
        """What the discovery engine returned."""
        return self.root / names.MASH_OUT_CSV

    @property
    def hits(self) -> Path:
        """The ranked table."""
        return self.root / names.HITS_CSV

    @property
    def hits_plot(self) -> Path:
        """Picture of the top of the ranking."""
        return self.root / names.HITS_PNG

    @property
    def loss(self) -> Path:
        """The whole loss trace."""
        return self.root / names.LOSS_CSV

    @property
    def loss_plot(self) -> Path:
        """Picture of the loss trace."""
        return self.root / names.LOSS_PNG

    @property
    def screen_summary(self) -> Path:
        """What was read, what was dropped and why."""
        return self.root / names.SCREEN_SUMMARY_JSON

    @property
    def config(self) -> Path:
        """The composed config."""
        return self.root / names.CONFIG_YAML

    @property
    def record(self) -> Path:
        """run.json."""
        return self.root / names.RUN_JSON

    @property
    def tracking(self) -> Path:
        """What the run has to tell MLflow, before it is told."""
        return self.root / names.TRACKING_DIR


def prepare_out_dir(root: Path) -> RunPaths:
    """Make the run's folder and see that files can be written there.

    Parameters
    ----------
    root
        The folder; its parents are made too.

    Returns
    -------
    RunPaths
        The paths below it.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to.
    """
    probe = root / f".probe-{uuid.uuid4().hex[:8]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            explain(
                "out_dir cannot be written",
                where=root,
                found=error.strerror or error,
                fix="give a folder that you may write to: out_dir=PATH",
            )
        ) from error
    return RunPaths(root)


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Give a path beside `final` to write to; it takes the final name only when the block ends well.

    Parameters
    ----------
    final
        The name under which the whole file shall appear.

    Yields
    ------
    Path
        The temporary path, in the same folder and with the same suffix.

    Raises
    ------
    OutputError
        When the disk is full or the folder cannot be written; an older `final` stays as it was.
    """
    draft = final.with_name(f".{final.stem}.{uuid.uuid4().hex[:8]}{final.suffix}")
    try:
        yield draft
        with draft.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(draft, final)
    except OSError as error:
        raise OutputError(
            explain(
                f"{final.name} could not be written",
                where=final,
                found=error.strerror or error,
                fix="free some room or give another out_dir, then run the same command again: "
                "finished stages are kept",
            )
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def atomic_text(final: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Parameters
    ----------
    final
        Where it shall stand.
    text
        Its content, written as UTF-8.
    """
    with atomic_path(final) as draft:
        draft.write_text(text, encoding="utf-8")


def atomic_json(final: Path, content: Any) -> None:
    """Write JSON whole or not at all.

    Parameters
    ----------
    final
        Where it shall stand.
    content
        What `json` can write; paths and numpy numbers are turned into text and numbers.
    """
    atomic_text(final, json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def sha256_file(path: Path) -> str:
    """Hash a file in constant memory.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        Its SHA-256 in hexadecimal.
    """
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(content: Any) -> str:
    """Hash settings or other plain content, independent of the order of its keys.

    Parameters
    ----------
    content
        What `json` can write.

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=_plain).encode()).hexdigest()


def git_state(folder: Path) -> dict[str, Any]:
    """Tell which commit of this code runs.

    Parameters
    ----------
    folder
        A folder of the checkout.

    Returns
    -------
    dict
        ``commit`` and ``dirty``; both None outside a git checkout.
    """

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = ask("rev-parse", "HEAD")
    status = ask("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def peak_memory_mb() -> float:
    """Tell the largest resident size of this process so far.

    Returns
    -------
    float
        Megabytes (10^6 bytes).
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def package_versions() -> dict[str, str]:
    """Tell the versions of Python and of what results depend on.

    Returns
    -------
    dict
        Package name to version; packages that are absent are left out.
    """
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def now() -> str:
    """Give the time as run.json writes it: ISO 8601, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunRecord:
    """run.json: status, what ran with which versions, and which stage stands on which inputs.

    Every change is written at once, so the file tells the truth whatever dies.

    Parameters
    ----------
    paths
        The run's files.
    """

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.content: dict[str, Any] = self._previous()

    def _previous(self) -> dict[str, Any]:
        try:
            found = json.loads(self.paths.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            return {"stages": {}}
        if not isinstance(found, dict) or not isinstance(found.get("stages"), dict):
            return {"stages": {}}
        return found

    def update(self, **parts: Any) -> None:
        """Set top-level entries and write the file.

        Parameters
        ----------
        **parts
            The entries.
        """
        self.content.update(parts)
        atomic_json(self.paths.record, self.content)

    def start(self, *, command: list[str], seed: int) -> None:
        """Note that a run begins: versions, command line, seed, host.

        Parameters
        ----------
        command
            The command line as typed.
        seed
            The run's seed.
        """
        self.content = {"stages": self.content["stages"]}
        self.update(
            status="running",
            why=None,
            started=now(),
            ended=None,
            command=command,
            seed=seed,
            host=platform.node(),
            git=git_state(Path(__file__).parent),
            versions=package_versions(),
        )

    def finish(self) -> None:
        """Note that every stage asked for is done."""
        self.update(status="done", ended=now(), peak_memory_mb=round(peak_memory_mb(), 1))

    def fail(self, why: str) -> None:
        """Note that the run ended early.

        Parameters
        ----------
        why
            The error's message.
        """
        self.update(status="failed", why=why, ended=now())

    def is_current(self, stage: str, key: str) -> bool:
        """Tell whether a stage was done with the same inputs and settings and its files are still whole.

        Parameters
        ----------
        stage
            ``fit`` or ``discover``.
        key
            Digest of the stage's inputs and settings.

        Returns
        -------
        bool
            True only when the key matches and every output has the hash written down.
        """
        entry = self.content["stages"].get(stage)
        if not entry or entry.get("status") != "done" or entry.get("key") != key:
            return False
        files: Mapping[str, str] = entry.get("outputs", {})
        return bool(files) and all(
            (self.paths.root / name).is_file() and sha256_file(self.paths.root / name) == expected
            for name, expected in files.items()
        )

    @contextlib.contextmanager
    def stage(self, stage: str, key: str, outputs: list[Path]) -> Iterator[dict[str, Any]]:
        """Time a stage and note its outcome.

        Parameters
        ----------
        stage
            ``fit`` or ``discover``.
        key
            Digest of the stage's inputs and settings.
        outputs
            Files that the stage must have written.

        Yields
        ------
        dict
            The stage's entry, to which the stage adds what it has to tell.
        """
        entry: dict[str, Any] = {"status": "running", "key": key, "started": now()}
        self.content["stages"][stage] = entry
        self.update()
        begun = time.perf_counter()
        try:
            yield entry
        except BaseException:
            entry["status"] = "failed"
            raise
        finally:
            entry["seconds"] = round(time.perf_counter() - begun, 3)
        entry["outputs"] = {
            str(path.relative_to(self.paths.root)): sha256_file(path) for path in outputs if path.is_file()
        }
        entry["status"] = "done"
        self.update()

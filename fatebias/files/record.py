"""run.json, the record of a run: what ran, with which versions, on which inputs, and how it ended."""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fatebias.errors import OutputError
from fatebias.files.atomic import atomic_json, sha256_file
from fatebias.files.paths import RunPaths
from fatebias.files.provenance import git_state, now, package_versions, peak_memory_mb

# What code raises that reads a run.json of another shape than this version writes.
OTHER_SHAPE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
STOPPED = "stopped by a signal; the next run in this folder continues from its checkpoint"


class RunRecord:
    """Status, versions and stages of a run; every change is written at once, so it is true whatever dies."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.content: dict[str, Any] = self._previous()

    def _previous(self) -> dict[str, Any]:
        try:
            found = json.loads(self.paths.record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"stages": {}}
        except OSError as error:
            raise OutputError(
                "run.json cannot be read",
                where=self.paths.record,
                found=error.strerror or error,
                fix="move it away, or give another out_dir",
            ) from error
        except ValueError:
            return {"stages": {}}
        return sound(found)

    def update(self, **parts: Any) -> None:
        """Set top-level entries and write the file."""
        self.content.update(parts)
        atomic_json(self.paths.record, self.content)

    def start(self, *, command: list[str], seed: int) -> None:
        """Record that a run begins: versions, command line, seed, host."""
        kept = ("stages", "tracking")  # the latter is fatebias.tracking's, which knows what of it holds
        self.content = {name: self.content[name] for name in kept if name in self.content}
        self.update(
            status="running",
            why=None,
            started=now(),
            ended=None,
            command=command,
            seed=seed,
            host=platform.node(),
            git=git_state(Path(__file__).parents[1]),
            versions=package_versions(),
        )

    def finish(self) -> None:
        """Record that every stage asked for is done, with what most readers look for first."""
        fit, found = (self.content["stages"].get(name, {}) for name in ("fit", "discover"))
        report = found.get("report", {})
        self.update(
            data_fingerprint=fit.get("screen", {}).get("fingerprint"),
            day_labels=fit.get("screen", {}).get("day_labels"),
            converged=not fit["warnings"] if "warnings" in fit else None,
            engine=report.get("engine"),
            n_hits=report.get("n_hits"),
            seconds={name: stage.get("seconds") for name, stage in self.content["stages"].items()},
            peak_memory_mb=self.peak_memory_mb(),
            status="done",
            ended=now(),
        )

    def wall_seconds(self) -> float:
        """Return the seconds that the stages took, also those done by an earlier run in this folder."""
        parts = ("seconds", "load_seconds")
        taken = [stage.get(part) or 0.0 for stage in self.content["stages"].values() for part in parts]
        return round(sum(taken), 3)

    def peak_memory_mb(self) -> float:
        """Return the largest memory of the stages in megabytes, also those done by an earlier run."""
        noted = [
            stage["peak_memory_mb"] for stage in self.content["stages"].values() if "peak_memory_mb" in stage
        ]
        return max(noted) if noted else round(peak_memory_mb(), 1)

    def fail(self, why: str) -> None:
        """Record that the run ended early."""
        self.update(status="failed", why=why, ended=now())

    def is_current(self, stage: str, key: str) -> bool:
        """Return whether a stage was done with the same `key` (inputs, settings) and its files are whole."""
        entry = self.content["stages"].get(stage)
        if not entry or entry.get("status") != "done" or entry.get("key") != key:
            return False
        root, files = self.paths.root, entry.get("outputs", {})
        return bool(files) and all((root / name).is_file() for name in files) and not altered(root, entry)

    @contextlib.contextmanager
    def stage(self, stage: str, key: str, outputs: list[Path]) -> Iterator[dict[str, Any]]:
        """Time a stage and record its outcome; yields the entry, to which the stage adds what it found.

        Time that an earlier attempt put into the checkpoint from which the stage continues counts too.
        """
        earlier = self._seconds_in_checkpoint(stage, key)
        entry: dict[str, Any] = {"status": "running", "key": key, "started": now()}
        if earlier:
            entry["seconds_before"] = earlier
        self.content["stages"][stage] = entry
        self.update()
        begun = time.perf_counter()
        try:
            yield entry
        except BaseException:
            entry["status"] = "failed"
            raise
        finally:
            entry["seconds"] = round(earlier + time.perf_counter() - begun, 3)
            entry["peak_memory_mb"] = round(peak_memory_mb(), 1)
        entry["outputs"] = {
            str(path.relative_to(self.paths.root)): sha256_file(path) for path in outputs if path.is_file()
        }
        entry["status"] = "done"
        self.update()

    def _seconds_in_checkpoint(self, stage: str, key: str) -> float:
        entry = self.content["stages"].get(stage, {})
        if entry.get("key") != key or entry.get("status") == "done":
            return 0.0
        try:
            saved = self.paths.checkpoint.stat().st_mtime
            took = saved - datetime.fromisoformat(entry["started"]).timestamp()
        except (OSError, KeyError, TypeError, ValueError):
            return 0.0
        return round(max(took, 0.0) + float(entry.get("seconds_before", 0.0)), 3)


def sound(content: Any) -> dict[str, Any]:
    """Return what run.json holds, without stages that no run writes: damaged, or by something else."""
    if not isinstance(content, dict):
        return {"stages": {}}
    stages = content.get("stages")
    entries = stages.items() if isinstance(stages, dict) else ()
    return {**content, "stages": {name: entry for name, entry in entries if _is_stage(entry)}}


def _is_stage(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("report", {}), dict):
        return False
    outputs = entry.get("outputs", {})
    return isinstance(outputs, dict) and all(isinstance(each, str) for each in outputs.values())


def altered(root: Path, stage: Mapping[str, Any]) -> list[str]:
    """Return the files of a stage, by its entry in run.json, that are there with another content."""
    written: Mapping[str, str] = stage.get("outputs", {})
    there = {name: root / name for name in written if (root / name).is_file()}
    return [name for name, path in there.items() if sha256_file(path) != written[name]]

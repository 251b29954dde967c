"""A run as its folder describes it: run.json, config.yaml and loss_trace.csv, read for MLflow.

run.json has one entry for this alone, `tracking`, which `tracker.Tracker` writes. All of it can be read while
the run is at work. A sweep as a whole is one more run in MLflow: sweep_run.json in its folder has that entry
alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from fatebias.files.outputs import PLACES
from fatebias.files.record import OTHER_SHAPE, sound
from fatebias.slurm_queue import job_name
from fatebias.tracking.describe import parameters

RUNNING, FINISHED, FAILED, KILLED = "running", "finished", "failed", "killed"
SWEEP_RUN = "sweep_run.json"


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    step: int
    time_ms: int  # since 1970, from the run's own files: a second import writes the same time


@dataclasses.dataclass
class TrackedRun:
    """One run as its folder describes it."""

    root: Path  # out_dir
    id: str  # made when the run began; MLflow has it as the tag store.ID_TAG
    name: str
    experiment: str
    run_key: str
    start_ms: int
    end_ms: int | None  # None while the run is at work
    status: str
    host: str
    pid: int  # of the process that is, or was last, at work
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]  # of a finished run
    artifacts: list[str]  # relative to `root`
    planned_steps: int | None  # of the fit, if nothing ends it early
    has_loss: bool  # False while loss_trace.csv is still that of an earlier fit

    @property
    def slurm_job(self) -> str | None:
        """Its Slurm job as Slurm's commands name it; None where it ran in none."""
        return job_name(self.tags)

    @property
    def loss_trace(self) -> Path:
        """The loss of every step."""
        return self.root / PLACES["loss"]

    def files(self) -> dict[str, Path]:
        """Return the artifacts that exist, by their path relative to `root`."""
        found = {name: self.root / name for name in self.artifacts}
        return {name: path for name, path in found.items() if path.is_file()}

    def mark_killed(self) -> None:
        """Set the status to killed, at the time of the last file it wrote."""
        signs = [self.root / PLACES["record"], *([self.loss_trace] if self.has_loss else [])]
        written = [path.stat().st_mtime_ns // 1_000_000 for path in signs if path.exists()]
        self.status, self.end_ms = KILLED, max(self.start_ms, *written)


def is_tracked(root: Path) -> bool:
    """Return whether a folder is that of a tracked run that has begun, or of a sweep with such runs."""
    return tracked_entry(root) is not None or tracked_entry(root, SWEEP_RUN) is not None


def tracked_entry(root: Path, file: str = PLACES["record"]) -> dict[str, Any] | None:
    """Return run.json of a tracked run that has begun; None for every other folder."""
    try:
        found = sound(json.loads((root / file).read_text(encoding="utf-8")))
        return found if "id" in found["tracking"] else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # absent, spoilt, or not tracked
        return None


def read_run(root: Path) -> TrackedRun | None:
    """Read a run's folder; None where no tracked run has begun, or its run.json is spoilt."""
    record = tracked_entry(root)
    try:
        return _read_sweep_run(root) if record is None else _described(root, record)
    except OTHER_SHAPE:
        return None


def _described(root: Path, record: Mapping[str, Any]) -> TrackedRun:
    entry, settings = record["tracking"], _settings(root)
    run = TrackedRun(
        root=root,
        id=entry["id"],
        name=entry["name"],
        experiment=entry["experiment"],
        run_key=entry["run_key"],
        start_ms=entry["start_ms"],
        end_ms=entry["end_ms"],
        status=entry["status"],
        host=entry["host"],
        pid=entry["pid"],
        params=parameters(settings, entry["choices"], entry.get("typed", ())),
        tags=entry["tags"],
        metrics=entry["metrics"],
        artifacts=_artifacts(root, record["stages"]),
        planned_steps=settings.get("inference", {}).get("num_steps"),
        has_loss=_has_loss(root, record["stages"].get("fit")),
    )
    if run.status == RUNNING and run.host == platform.node() and not _is_alive(run.pid):
        run.mark_killed()  # SIGKILL lets nothing be written; processes of other machines are unknown
    return run


def _read_sweep_run(root: Path) -> TrackedRun | None:
    found = tracked_entry(root, SWEEP_RUN)
    if found is None:
        return None
    return TrackedRun(root=root, **found["tracking"], planned_steps=None, has_loss=False)


def _settings(root: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    try:
        found: Any = OmegaConf.to_container(OmegaConf.load(root / PLACES["config"]), resolve=False)
    except FileNotFoundError:
        return {}
    return found


def _artifacts(root: Path, stages: Mapping[str, Any]) -> list[str]:
    of_no_stage = [name for name in ("report", "metrics") if (root / PLACES[name]).is_file()]
    found = dict.fromkeys(PLACES[name] for name in ("config", "record", "loss", *of_no_stage))
    for stage in stages.values():
        if stage.get("status") == "done":
            found |= dict.fromkeys(stage.get("outputs", {}))
    return list(found)


def _has_loss(root: Path, fit: Mapping[str, Any] | None) -> bool:
    """Return whether the loss trace is that of this fit, not of an earlier one in the folder."""
    path = root / PLACES["loss"]
    if fit is None or fit.get("status") == "done" or not path.exists():
        return path.exists()
    return path.stat().st_mtime >= datetime.fromisoformat(fit["started"]).timestamp()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is there and someone else's
    try:  # a dead process stays in Linux' list until its parent has asked how it ended
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return True
    return state.split()[:1] != ["Z"]

"""out_dir/tracking/journal.jsonl as the spool writes it, read back: one event a line, folded into runs.

A line that was cut short (the job was killed, or is writing just now) counts for nothing; the lines around it
stay good.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fatebias import names

JOURNAL = "journal.jsonl"
RUNNING, FINISHED, FAILED, KILLED = "running", "finished", "failed", "killed"


class Point(NamedTuple):
    """One value of one metric.

    Attributes
    ----------
    name, value, step
        As logged.
    time_ms
        When it was logged, milliseconds since 1970; kept so that a second import adds nothing.
    """

    name: str
    value: float
    step: int
    time_ms: int


@dataclasses.dataclass
class SpooledRun:
    """What one run has told so far.

    Attributes
    ----------
    root
        The run's folder, out_dir.
    id
        Made when the run began; MLflow's run carries it as the tag ``spool_id``.
    current
        False when a later run took over the folder: loss trace and artifacts there are no longer this run's.
    planned_steps
        Length of the loss trace if nothing ends the fit early; None when not known.
    host, pid
        Where the process runs, or ran last.
    end_ms
        None while the run goes on.
    """

    root: Path
    id: str
    name: str
    experiment: str
    run_key: str
    start_ms: int
    host: str
    pid: int
    planned_steps: int | None = None
    params: dict[str, str] = dataclasses.field(default_factory=dict)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    points: list[Point] = dataclasses.field(default_factory=list)
    artifacts: list[str] = dataclasses.field(default_factory=list)
    status: str = RUNNING
    end_ms: int | None = None
    current: bool = True

    @property
    def slurm_job(self) -> str | None:
        """Its Slurm job as Slurm's commands name it; None where it ran in none."""
        task = self.tags.get("slurm_array_task_id")
        return self.tags.get("slurm_job_id") if task is None else f"{self.tags['slurm_array_job_id']}_{task}"

    def end_without_word(self) -> None:
        """Count it as killed, at its last sign of life."""
        self.status, self.end_ms = KILLED, _last_sign_ms(self)

    @property
    def loss_trace(self) -> Path:
        """Where the SVI loop writes the loss."""
        return self.root / names.LOSS_CSV

    def files(self) -> dict[str, Path]:
        """Give the artifacts that are there.

        Returns
        -------
        dict
            Path relative to `root`, as written in the journal, to the file.
        """
        found = {name: self.root / name for name in self.artifacts}
        return {name: path for name, path in found.items() if path.is_file()}


def read_journal(root: Path) -> list[SpooledRun]:
    """Read every run that wrote to a folder, oldest first.

    Parameters
    ----------
    root
        The run's folder, out_dir.

    Returns
    -------
    list of SpooledRun
        Empty when there is no journal. All but the last have ended, whatever they said themselves.

    Raises
    ------
    OSError
        When the journal is there but cannot be read.
    """
    runs: list[SpooledRun] = []
    for event in _events(root / names.TRACKING_DIR / JOURNAL):
        if event.get("event") == "begin":
            if runs:
                _supersede(runs[-1])
            runs.append(_begun(root, event))
        elif runs:
            _apply(runs[-1], event)
    for run in runs:
        _end_if_dead(run)
    return runs


def _events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.split(b"\n"):
        try:
            event = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        if isinstance(event, dict):
            yield event


def _begun(root: Path, event: Mapping[str, Any]) -> SpooledRun:
    return SpooledRun(
        root=root,
        id=event["id"],
        name=event["name"],
        experiment=event["experiment"],
        run_key=event["run_key"],
        start_ms=event["time_ms"],
        host=event["host"],
        pid=event["pid"],
        planned_steps=event["planned_steps"],
        params=event["params"],
    )


def _apply(run: SpooledRun, event: Mapping[str, Any]) -> None:
    match event["event"]:
        case "resume":
            run.host, run.pid = event["host"], event["pid"]
            run.status, run.end_ms = RUNNING, None
            if "failure" in run.tags:
                run.tags["failure"] = ""
        case "tags":
            run.tags.update(event["tags"])
        case "metrics":
            step, time_ms = event["step"], event["time_ms"]
            run.points += [Point(name, value, step, time_ms) for name, value in event["values"].items()]
        case "artifact":
            if event["path"] not in run.artifacts:
                run.artifacts.append(event["path"])
        case "end":
            run.status, run.end_ms = event["status"], event["time_ms"]


def _supersede(run: SpooledRun) -> None:
    run.current = False
    if run.status == RUNNING:
        run.end_without_word()


def _end_if_dead(run: SpooledRun) -> None:
    """Ask the process list, since a SIGKILL leaves no word; a run of another machine counts as running."""
    if run.status != RUNNING or run.host != platform.node():
        return
    if not _is_alive(run.pid):
        run.end_without_word()


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


def _last_sign_ms(run: SpooledRun) -> int:
    signs = [run.start_ms, *(point.time_ms for point in run.points)]
    if run.current and run.loss_trace.exists():
        signs.append(run.loss_trace.stat().st_mtime_ns // 1_000_000)
    return max(signs)

"""What a run has to tell, appended to files in out_dir while it goes on. Needs no mlflow and no network."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fatebias.errors import OutputError
from fatebias.tracking.journal import FAILED, FINISHED, JOURNAL, KILLED, read_journal

FINAL = "final/"


class Spool:
    """The journal of one run; every call appends one whole line.

    Parameters
    ----------
    folder
        ``out_dir/tracking``.
    run_id
        The run's own id, made when it began.
    latest
        Last value logged of each (metric, step), so that a resumed run does not say a thing twice.
    """

    def __init__(self, folder: Path, run_id: str, latest: dict[tuple[str, int], float] | None = None) -> None:
        self.folder = folder
        self.id = run_id
        self._latest = latest or {}
        self._final: dict[str, float] = {}

    @classmethod
    def begin(
        cls,
        folder: Path,
        *,
        name: str,
        experiment: str,
        run_key: str,
        params: Mapping[str, str],
        tags: Mapping[str, object] | None = None,
        planned_steps: int | None = None,
    ) -> Spool:
        """Open the journal, or go on with it when the same run was here before.

        Parameters
        ----------
        folder
            ``out_dir/tracking``; made if absent.
        name, experiment
            What the run is called in MLflow, and under which experiment.
        run_key
            Digest of all that decides the result (describe.run_key). The same key in the same folder goes on
            with the same MLflow run; another key begins a new one.
        params
            Parameter to its value as text.
        tags
            First tags; None values are left out.
        planned_steps
            Steps of the fit, by which the loss trace of a running fit is thinned.

        Returns
        -------
        Spool
            Ready to append to.

        Raises
        ------
        OutputError
            When the journal cannot be written.
        """
        event: dict[str, Any] = {"time_ms": _now_ms(), "host": platform.node(), "pid": os.getpid()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            earlier = read_journal(folder.parent)
        except OSError as error:
            raise _unwritable(folder, error) from error
        if earlier and earlier[-1].run_key == run_key:
            last = earlier[-1]
            spool = cls(folder, last.id, {(point.name, point.step): point.value for point in last.points})
            spool._append({"event": "resume", **event})
        else:
            spool = cls(folder, uuid.uuid4().hex)
            spool._append(
                {
                    "event": "begin",
                    "id": spool.id,
                    "name": name,
                    "experiment": experiment,
                    "run_key": run_key,
                    "planned_steps": planned_steps,
                    "params": dict(params),
                    **event,
                }
            )
        spool.tag(tags or {})
        return spool

    @classmethod
    def last(cls, folder: Path) -> Spool | None:
        """Give the last run of a folder, to add what became known when its process was gone (killed).

        Parameters
        ----------
        folder
            ``out_dir/tracking``.

        Returns
        -------
        Spool or None
            None when no run has written there.
        """
        runs = read_journal(folder.parent)
        return cls(folder, runs[-1].id) if runs else None

    def tag(self, tags: Mapping[str, object]) -> None:
        """Set tags; a later value replaces an earlier one.

        Parameters
        ----------
        tags
            Tag to value, written as text; None values are left out.
        """
        texts = {key: _text(value) for key, value in tags.items() if value is not None}
        if texts:
            self._append({"event": "tags", "tags": texts})

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Log one value.

        Parameters
        ----------
        name
            For example ``final/n_hits``.
        value
            Any number.
        step
            Its place in a series.
        """
        self.metrics({name: value}, step)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log several values of one step; what the run said before in the same words is left out.

        ``final/...`` waits for `finish`, and is written when the run has finished: of one that is stopped
        and goes on later such a figure would be there twice.

        Parameters
        ----------
        values
            Metric to value.
        step
            Their place in a series.
        """
        self._final |= {name: float(value) for name, value in values.items() if name.startswith(FINAL)}
        self._log({name: value for name, value in values.items() if not name.startswith(FINAL)}, step)

    def _log(self, values: Mapping[str, float], step: int = 0) -> None:
        news = {
            name: float(value)
            for name, value in values.items()
            if self._latest.get((name, step)) != float(value)
        }
        if news:
            self._append({"event": "metrics", "step": step, "time_ms": _now_ms(), "values": news})
            self._latest.update({(name, step): value for name, value in news.items()})

    def artifact(self, path: Path) -> None:
        """Name a file to be copied to MLflow when the run has ended; it stays where it is.

        Parameters
        ----------
        path
            A file below out_dir.

        Raises
        ------
        ValueError
            When it lies elsewhere.
        """
        self._append({"event": "artifact", "path": path.relative_to(self.folder.parent).as_posix()})

    def finish(self, status: str = FINISHED, why: str | None = None) -> None:
        """Note that the run has ended.

        Parameters
        ----------
        status
            ``finished``, ``failed`` or ``killed``.
        why
            The error's message, kept as the tag ``failure``.

        Raises
        ------
        ValueError
            For any other status.
        OutputError
            When a finished run cannot note it. After a failure nothing is raised: the error that ended the
            run is the one to be told.
        """
        if status not in (FINISHED, FAILED, KILLED):
            raise ValueError(f"status is {status!r}, allowed: {FINISHED}, {FAILED}, {KILLED}")
        with contextlib.suppress(*(() if status == FINISHED else (OutputError,))):
            if status == FINISHED:
                self._log(self._final)
            self.tag({"failure": why})
            self._append({"event": "end", "status": status, "time_ms": _now_ms()}, sync=True)

    def _append(self, event: dict[str, Any], *, sync: bool = False) -> None:
        line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
        try:
            with (self.folder / JOURNAL).open("a+b", buffering=0) as journal:
                if journal.seek(0, os.SEEK_END):
                    journal.seek(-1, os.SEEK_END)
                    if journal.read(1) != b"\n":  # a killed process left half a line
                        line = b"\n" + line
                # One write in append mode: lines of two writers do not mix. A full disk may cut it short.
                if journal.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if sync:
                    os.fsync(journal.fileno())
        except OSError as error:
            raise _unwritable(self.folder, error) from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        "the run's journal cannot be written",
        where=folder / JOURNAL,
        found=error.strerror or error,
        fix="free some room or give another out_dir, then run the same command again: finished stages "
        "are kept",
    )

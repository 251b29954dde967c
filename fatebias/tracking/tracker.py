"""What a run does for MLflow: it keeps one entry of run.json, and imports the run's folder at the end.

tracker = Tracker(config, record, description)
tracker.begin(fingerprint)           # when the data are read and accepted; a second call changes nothing
tracker.stage_begins()               # from here a server shows the run
tracker.close("finished")            # in memory, so that record.finish() writes both at once
record.finish()
tracker.send()
"""

from __future__ import annotations

import logging
import os
import platform
import time
import uuid
from collections.abc import Mapping
from typing import Any

from fatebias.config import Config
from fatebias.files.record import RunRecord
from fatebias.tracking.describe import SWEEP_TAG, RunDescription, run_key, text
from fatebias.tracking.events import FAILED, FINISHED, KILLED, RUNNING
from fatebias.tracking.figures import as_metrics, figures, outcome_tags
from fatebias.tracking.live import PATIENCE_S, SEEN, Follower
from fatebias.tracking.password import without_password
from fatebias.tracking.place import is_left_for_later
from fatebias.tracking.sync import sync_run

ENTRY = "tracking"
log = logging.getLogger(__name__)
UNREAD = "unread"  # the fingerprint of data that could not be read
SHORT_PATIENCE_S = 5.0  # of a run that was stopped: Slurm may kill it soon


class Tracker:
    """One run for MLflow; with ``tracking=off`` every call does nothing."""

    def __init__(self, config: Config, record: RunRecord, description: RunDescription) -> None:
        self.config, self.record, self.description = config, record, description
        self._off = config.tracking.backend == "off"
        self._follower = Follower(record.paths.root, config.tracking)
        self._begun = False
        # Until `begin` the folder holds the settings of this run and the results of an earlier one: an entry
        # without an id, so that no import mistakes the two for one run.
        found = record.content.pop(ENTRY, None) or {}
        self._earlier: dict[str, Any] = found.get("earlier", found)
        if not self._off:
            record.content[ENTRY] = {"earlier": self._earlier}

    def begin(self, fingerprint: str) -> None:
        """Note that the run begins; one of the same settings, data and code in this folder is resumed."""
        if self._off or self._begun:
            return
        self._begun = True
        earlier = self._earlier
        key = run_key(self.config, fingerprint)
        new: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "name": self.description.name,
            "experiment": self.config.tracking.experiment,
            "choices": self.description.choices,
            "typed": list(self.description.typed),
            "start_ms": _now_ms(),
            "tags": {},
        }
        # A run that was stopped while it read its data had no fingerprint yet.
        same = earlier.get("run_key") in (key, run_key(self.config, UNREAD))
        resumed = same and set(new) <= set(earlier)
        entry = {name: earlier[name] for name in new} if resumed else new
        self.record.content[ENTRY] = {
            **entry,
            "run_key": key,
            "status": RUNNING,
            "end_ms": None,
            "host": platform.node(),
            "pid": os.getpid(),
            "metrics": {},
        }
        self._tag({"failure": ""} if "failure" in entry["tags"] else {})
        self._tag({**self.description.tags, "data_fingerprint": fingerprint})
        self.record.update()

    def stage_begins(self) -> None:
        """Let a server (``tracking=server``) show the run from now on."""
        if self._begun:
            self._follower.start()

    def close(self, status: str, why: str | None = None) -> None:
        """Add to run.json's content, which the caller writes, how the run ended."""
        if status not in (FINISHED, FAILED, KILLED):
            raise ValueError(f"status is {status!r}, allowed: {FINISHED}, {FAILED}, {KILLED}")
        if self._off or (status == FAILED and not self._begun and not self.description.tracking_asked):
            return  # a screen that was refused is no run to compare with others
        self.begin(UNREAD)
        self._tag({**outcome_tags(self.record), "failure": why and without_password(why)})
        self.record.content[ENTRY] |= {
            "status": status,
            "end_ms": _now_ms(),
            # MLflow would keep the times of a stopped run beside those of the resumed one.
            "metrics": as_metrics(figures(self.record)) if status == FINISHED else {},
        }

    def send(self) -> None:
        """Write the run to MLflow; a failure there is a warning and nothing else."""
        if not self._begun:
            return
        stopped = self.record.content[ENTRY]["status"] == KILLED
        if self._follower.finish(SHORT_PATIENCE_S if stopped else PATIENCE_S):
            return
        if not is_left_for_later(self.config.tracking):
            report = sync_run(self.record.paths.root, self.config.tracking)
            if (seen := report.how_to_see()) and SWEEP_TAG not in self.description.tags:  # which says it once
                log.info(SEEN, seen)

    def _tag(self, tags: Mapping[str, object]) -> None:
        texts = {name: text(value) for name, value in tags.items() if value is not None}
        self.record.content[ENTRY]["tags"] |= texts


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

"""The only import of mlflow: makes one run of an MLflow store equal to one run on disk.

Each import reads what the store holds and adds what is missing: it can be interrupted anywhere and repeated.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fatebias.errors import OutputError
from fatebias.files.atomic import digest, sha256_file
from fatebias.tracking.describe import NOTE, SUMMARY_TAG, SWEEP_TAG
from fatebias.tracking.events import FAILED, FINISHED, KILLED, RUNNING, Point, TrackedRun
from fatebias.tracking.place import Place
from fatebias.tracking.trace import LOSS, ThinTrace, thin_trace
from fatebias.tracking.view import ALL_RUNS, TAG, further_figures, key_for, run_page, runs_page, views_of

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

LONGEST_PARAM = 6000
LONGEST_TAG = 5000
STATUS = {RUNNING: "RUNNING", FINISHED: "FINISHED", FAILED: "FAILED", KILLED: "KILLED"}
ID_TAG = "fatebias.id"
IMPORTED_TAG = "fatebias.imported"  # digest of all that a complete import wrote, set last

CREATED, UPDATED, UNCHANGED, DELETED = "created", "updated", "unchanged", "deleted in MLflow"

# What the user set wins. By default MLflow retries for four minutes, each time for up to two.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
NOISY_LOGGERS = ("mlflow", "alembic", "urllib3")


@contextlib.contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Keep MLflow from sending usage data, waiting for minutes and printing; undone at the end.

    What MLflow prints it also raises, and the caller reports each failure once.
    """
    wanted = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    levels: dict[str, int] = {}
    os.environ.update(wanted)
    try:
        import mlflow  # noqa: F401  (sets its loggers' levels as it is imported)

        for name in NOISY_LOGGERS:
            levels[name] = logging.getLogger(name).level
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name in wanted:
            os.environ.pop(name, None)


class Store:
    """An MLflow store, to be used within `quiet_mlflow` and by one process at a time; made if absent."""

    def __init__(self, place: Place) -> None:
        from mlflow.tracking import MlflowClient

        self.place = place
        if place.database is not None and not place.database.exists():
            _make_database(place.database)
        self.client = MlflowClient(tracking_uri=place.uri)
        self._experiments: dict[str, str] = {}
        self._views: dict[str, dict[str, str]] = {}  # of each experiment, what it holds

    def record(self, run: TrackedRun) -> tuple[str, str]:
        """Make MLflow's run equal to the one on disk; return MLflow's id of it and what was done.

        A run that the user deleted in MLflow stays deleted. When MLflow raises, what was written until then
        stays and is not written again.
        """
        experiment = self._experiment(run.experiment)
        losses, figures = _points(run)
        files = run.files() if run.status != RUNNING else {}
        hashes = {name: sha256_file(path) for name, path in files.items()}
        seal = digest([_content(run), losses, figures, hashes])
        self._write_views(experiment, run)
        found = self._find(experiment, run.id)
        if found is not None and found.info.lifecycle_stage == "deleted":
            return found.info.run_id, DELETED
        if found is not None and found.data.tags.get(IMPORTED_TAG) == seal:
            return found.info.run_id, UNCHANGED
        target = found or self._create(experiment, run)
        self._write_words(target, run)
        self._write_points(target, losses, figures)
        self._write_files(target.info.run_id, files)
        self._write_status(target, run)
        if SUMMARY_TAG in run.tags:
            self._name_summary(experiment, target.info.run_id, run.tags[SUMMARY_TAG])
        self.client.set_tag(target.info.run_id, IMPORTED_TAG, seal, synchronous=True)
        return target.info.run_id, CREATED if found is None else UPDATED

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            found = self.client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                raise OutputError(
                    "the MLflow experiment is deleted",
                    where=self.place.shown,
                    found=name,
                    fix="restore it in MLflow, or give another one: tracking.experiment=NAME",
                )
            self._experiments[name] = (
                self.client.create_experiment(name, artifact_location=self.place.artifacts)
                if found is None
                else found.experiment_id
            )
        return self._experiments[name]

    def seen_in(self, run: TrackedRun) -> tuple[str, str]:
        """Return a run's experiment by its id, and the view that shows it beside others, empty without."""
        experiment, key = self._experiment(run.experiment), key_for(run.tags)
        return experiment, key if TAG + key in self._views.get(experiment, {}) else ""

    def find_view(self, key: str, experiment: str | None = None) -> str | None:
        """Return the page of the runs in a view, of one experiment or any; None where MLflow has none."""
        for each in self.client.search_experiments():  # active ones
            if experiment in (None, each.name) and TAG + key in each.tags:
                return runs_page(each.experiment_id, key)
        return None

    def find_summary(self, sweep: str) -> str | None:
        """Return the page of the summary of a sweep; None where MLflow has none."""
        every = [each.experiment_id for each in self.client.search_experiments()]
        found = self.client.search_runs(every, f"tags.{SUMMARY_TAG} = '{sweep}'", max_results=1)
        return run_page(found[0].info.experiment_id, found[0].info.run_id) if found else None

    def _write_views(self, experiment: str, run: TrackedRun) -> None:
        """Give the experiment the views of this run; a server that forbids it has the run all the same."""
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException, ValueError, KeyError):  # or a view that was edited
            if experiment not in self._views:
                self._views[experiment] = dict(self.client.get_experiment(experiment).tags)
            held = self._views[experiment]
            known = further_figures(held.get(TAG + ALL_RUNS))
            for key, content in views_of(run.tags, [*run.metrics, *known]).items():
                if run.metrics or TAG + key not in held:  # one at work does not know yet what it will count
                    if held.get(TAG + key) != content:
                        self.client.set_experiment_tag(experiment, TAG + key, content)
                        held[TAG + key] = content

    def _find(self, experiment: str, run_id: str) -> Run | None:
        from mlflow.entities import ViewType

        query = f"tags.`{ID_TAG}` = '{run_id}'"
        found = self.client.search_runs([experiment], query, run_view_type=ViewType.ALL)
        return min(found, key=lambda run: str(run.info.run_id), default=None)

    def _create(self, experiment: str, run: TrackedRun) -> Run:
        # Not retried: where only the answer was lost, a second request would make a second run.
        kept = os.environ.get(RETRIES)
        os.environ[RETRIES] = "0"
        try:
            user = run.tags.get("mlflow.user", "unknown")
            tags = {ID_TAG: run.id, "mlflow.user": user}
            return self.client.create_run(experiment, start_time=run.start_ms, tags=tags, run_name=run.name)
        finally:
            os.environ[RETRIES] = kept or ENVIRONMENT[RETRIES]

    def _write_words(self, target: Run, run: TrackedRun) -> None:
        from mlflow.entities import Param, RunTag

        params = [
            Param(key, _cut(value, LONGEST_PARAM))
            for key, value in run.params.items()
            if key not in target.data.params  # MLflow's parameters cannot change
        ]
        told = {**run.tags, "run_key": run.run_key}
        wanted = {key: _cut(value, LONGEST_TAG) for key, value in told.items()}
        tags = [RunTag(key, value) for key, value in wanted.items() if target.data.tags.get(key) != value]
        self.client.log_batch(target.info.run_id, params=params, tags=tags, synchronous=True)

    def _write_points(self, target: Run, losses: list[Point], figures: list[Point]) -> None:
        from mlflow.entities import Metric

        run_id, held = target.info.run_id, target.data.metrics
        # A fit that is repeated writes the same losses with new times: they are told apart by step alone.
        history = self.client.get_metric_history(run_id, LOSS) if LOSS in held else []
        steps = {metric.step for metric in history}
        missing = {point.step: point for point in losses if point.step not in steps}.values()
        news = [point for point in figures if held.get(point.name) != point.value]
        # MLflow lists metrics in the order in which they first came: the headline before the loss.
        metrics = [Metric(point.name, point.value, point.time_ms, point.step) for point in (*news, *missing)]
        # The client sends requests of 1,000; an asynchronous one would die with the process.
        self.client.log_batch(run_id, metrics=metrics, synchronous=True)

    def _write_files(self, run_id: str, files: dict[str, Path]) -> None:
        for name, path in files.items():
            folder = PurePosixPath(name).parent.as_posix()
            self.client.log_artifact(run_id, str(path), None if folder == "." else folder)

    def _name_summary(self, experiment: str, run_id: str, sweep: str) -> None:
        """Let the runs of a sweep say where its summary is, unless a user has described them."""
        page = run_page(experiment, run_id).lstrip("/")
        told = f"One run of a sweep: [its pictures and tables]({page})"
        for member in self.client.search_runs(
            [experiment], f"tags.{SWEEP_TAG} = '{sweep}'", max_results=1000
        ):
            if NOTE not in member.data.tags:
                self.client.set_tag(member.info.run_id, NOTE, told, synchronous=True)

    def _write_status(self, target: Run, run: TrackedRun) -> None:
        run_id, status = target.info.run_id, STATUS[run.status]
        if run.status != RUNNING:
            self.client.set_terminated(run_id, status, run.end_ms)
        elif target.info.status != status:
            self.client.update_run(run_id, status)  # resumed


def _points(run: TrackedRun) -> tuple[list[Point], list[Point]]:
    """Return the losses, and the metrics that are one number each; finite values only."""
    trace = ThinTrace([], 0, None)
    if run.has_loss:
        trace = thin_trace(run.loss_trace, finished=run.status == FINISHED, planned_steps=run.planned_steps)
    figures: list[Point] = []
    if run.end_ms is not None:
        figures = [Point(name, value, 0, run.end_ms) for name, value in run.metrics.items()]
        if trace.last_ms is not None:
            figures.append(Point("n_nonfinite", float(trace.n_nonfinite), 0, trace.last_ms))
    return trace.points, [point for point in figures if math.isfinite(point.value)]


def _content(run: TrackedRun) -> dict[str, object]:
    return {key: value for key, value in vars(run).items() if key not in ("root", "host", "pid")}


def _cut(value: str, most: int) -> str:
    return value if len(value) <= most else value[: most - 1] + "…"


def _make_database(database: Path) -> None:
    """Set up an MLflow database under another name: one whose setup is interrupted stays unusable."""
    from mlflow.tracking import MlflowClient

    for abandoned in database.parent.glob(f"{database.name}.new-*"):
        abandoned.unlink(missing_ok=True)
    draft = database.with_name(f"{database.name}.new-{uuid.uuid4().hex[:8]}")
    client: MlflowClient = MlflowClient(tracking_uri=f"sqlite:///{draft}")
    try:
        client.search_experiments(max_results=1)
        os.replace(draft, database)
    finally:
        draft.unlink(missing_ok=True)

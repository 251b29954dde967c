"""MLflow's stores read back, for tests of tracking."""

from __future__ import annotations

from collections import Counter

from mlflow.entities import Run
from mlflow.tracking import MlflowClient


class Stored:
    """An MLflow store, read."""

    def __init__(self, uri: str) -> None:
        self.client = MlflowClient(tracking_uri=uri)

    def runs(self, experiment: str = "fatebias") -> list[Run]:
        """Return all active runs by name."""
        found = self.client.get_experiment_by_name(experiment)
        if found is None:
            return []
        runs = self.client.search_runs([found.experiment_id], max_results=1000)
        return sorted(runs, key=lambda run: run.info.run_name)

    def only(self, experiment: str = "fatebias") -> Run:
        """Return the only run."""
        (run,) = self.runs(experiment)
        return run

    def loss(self, run: Run) -> dict[int, float]:
        """Return the loss by step, having checked that no step is there twice."""
        history = self.client.get_metric_history(run.info.run_id, "loss")
        twice = [step for step, number in Counter(point.step for point in history).items() if number > 1]
        assert not twice
        return {point.step: point.value for point in history}

    def points(self, run: Run, name: str) -> list[tuple[int, float, int]]:
        """Return step, value and time of every point of a metric."""
        history = self.client.get_metric_history(run.info.run_id, name)
        return sorted((point.step, point.value, point.timestamp) for point in history)

    def artifacts(self, run: Run, folder: str | None = None) -> set[str]:
        """Return the paths of all artifacts."""
        found: set[str] = set()
        for each in self.client.list_artifacts(run.info.run_id, folder):
            found |= self.artifacts(run, each.path) if each.is_dir else {each.path}
        return found

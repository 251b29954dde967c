"""Folders of runs as the pipeline leaves them, for tests of tracking."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from omegaconf import OmegaConf

from fatebias.config import Config, InferenceConfig, PriorsConfig, TrackingConfig
from fatebias.files.paths import RunPaths
from fatebias.files.record import RunRecord
from fatebias.tracking.describe import RunDescription
from fatebias.tracking.tracker import Tracker

T0 = 1_700_000_000_000  # ms
FILES = {"config.yaml", "run.json", "loss_trace.csv", "report.html", "hits_ranked.csv", "plots/loss.txt"}
FIGURES = {
    "final/fit_s": 12.5,
    "final/last_loss": 2.0,
    "final/mash_loglik": -7.5,
    "hits": 4.0,
    "expected_false": 0.25,
    "calls": 7.0,
    "final/peak_memory_mb": 900.0,
    "final/wall_s": 12.75,
    "n_nonfinite": 0.0,
}


@dataclasses.dataclass
class RunFolder:
    """A run at work in a folder."""

    root: Path
    config: Config
    record: RunRecord
    tracker: Tracker

    def finish(self, status: str = "finished", why: str | None = None) -> None:
        """End it."""
        self.tracker.close(status, why)
        if status == "finished":
            self.record.finish()
        else:
            self.record.fail(why or "")


def write_loss(root: Path, steps: int, t0: int = T0, scale: float = 100.0) -> None:
    """Write a loss trace as the SVI loop does."""
    rows = "".join(f"{step},{scale / (step + 1)!r},{t0 + 7 * step}\n" for step in range(steps))
    (root / "loss_trace.csv").write_text(f"step,loss,timestamp_ms\n{rows}")


def started(
    root: Path,
    *,
    name: str = "priors=weak",
    experiment: str = "fatebias",
    steps: int = 50,
    choices: Mapping[str, str] | None = None,
    tags: Mapping[str, object] | None = None,
    backend: str = "local",
    seed: int = 0,
) -> RunFolder:
    """Start a run in a folder; it has not read its data yet."""
    root.mkdir(parents=True, exist_ok=True)
    config = Config(
        priors=PriorsConfig(s_alpha=5.0),
        inference=InferenceConfig(num_steps=steps),
        tracking=TrackingConfig(backend=backend, experiment=experiment),
        out_dir=str(root),
        seed=seed,
    )
    record = RunRecord(RunPaths(root))
    texts = {key: str(value) for key, value in (tags or {"host": "here", "mlflow.user": "someone"}).items()}
    description = RunDescription(name, dict(choices or {"priors": "weak"}), texts)
    tracker = Tracker(config, record, description)
    record.start(command=["run.py"], seed=seed)
    (root / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
    return RunFolder(root, config, record, tracker)


def begin(root: Path, *, key: str = "key", **settings: object) -> RunFolder:
    """Begin a run in a folder; `key` is the fingerprint of its data."""
    run = started(root, **settings)  # type: ignore[arg-type]
    run.tracker.begin(key)
    return run


def finished_run(root: Path, *, steps: int = 50, **settings: object) -> RunFolder:
    """Leave a whole run: loss, final metrics, artifacts."""
    run = begin(root, steps=steps, **settings)
    with run.record.stage("fit", "fit", [root / "loss_trace.csv"]) as fit:
        write_loss(root, steps)
        fit |= {"files": {"data": {"path": "screen.h5ad", "sha256": "1234"}}, "warnings": []}
        fit |= {"diagnostics": {"last_loss": 2.0, "family": "normal"}}
    outputs = [root / "hits_ranked.csv", root / "plots" / "loss.txt"]
    with run.record.stage("discover", "discover", outputs) as found:
        (root / "plots").mkdir(exist_ok=True)
        (root / "hits_ranked.csv").write_text("gene,hit_anyday\nJAK2,True\n")
        (root / "plots" / "loss.txt").write_text("a picture")
        found["report"] = {"engine": "native", "method": "mash", "n_hits": 4, "loglik": -7.5}
        found["report"] |= {"n_calls": 7, "expected_false": 0.25}
    for entry, seconds in ((fit, 12.5), (found, 0.25)):
        entry |= {"seconds": seconds, "peak_memory_mb": 900.0}
    (root / "report.html").write_text("<!DOCTYPE html>")
    run.finish()
    return run

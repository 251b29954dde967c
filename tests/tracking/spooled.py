"""Runs on disk as a pipeline leaves them, for tests of tracking."""

from __future__ import annotations

from pathlib import Path

from fatebias.tracking.spool import Spool

T0 = 1_700_000_000_000  # ms


def write_loss(root: Path, steps: int, t0: int = T0, scale: float = 100.0) -> None:
    """Write a loss trace as the SVI loop does."""
    rows = "".join(f"{step},{scale / (step + 1)!r},{t0 + 7 * step}\n" for step in range(steps))
    (root / "loss_trace.csv").write_text(f"step,loss,timestamp_ms\n{rows}")


def begin(root: Path, *, key: str = "key", steps: int | None = 50, **words: object) -> Spool:
    """Begin a run in a folder, with defaults for all that a test does not care about."""
    root.mkdir(parents=True, exist_ok=True)
    settings = {
        "name": "priors=weak",
        "experiment": "fatebias",
        "params": {"priors": "weak", "priors.s_alpha": "5.0"},
        "tags": {"host": "here", "mlflow.user": "someone"},
    }
    return Spool.begin(root / "tracking", run_key=key, planned_steps=steps, **(settings | words))  # type: ignore[arg-type]


def finished_run(root: Path, *, steps: int = 50, **words: object) -> Spool:
    """Leave a whole run: loss, final metrics, two artifacts."""
    spool = begin(root, steps=steps, **words)
    write_loss(root, steps)
    (root / "plots").mkdir(exist_ok=True)
    (root / "hits_ranked.csv").write_text("gene,hit_anyday\nJAK2,True\n")
    (root / "plots" / "loss.txt").write_text("a picture")
    spool.metrics({"final/n_hits": 4, "final/wall_s": 12.5})
    spool.artifact(root / "hits_ranked.csv")
    spool.artifact(root / "plots" / "loss.txt")
    spool.finish()
    return spool

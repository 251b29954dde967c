"""The figures of a run, one number each: what MLflow shows of it, and metrics.json."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from fatebias.checks.registry import CHECKS
from fatebias.files.record import RunRecord

# In this order, before all others: MLflow's first picture of runs side by side is of the first metric. The
# loss is not among them: it grows with the likelihood weight, so losses of several weights do not compare.
HEADLINE = ("hits", "expected_false", "calls", "heldout_score", "weight_used")
OTHERS = "final/"
FROM_FIT = {"weight_used": "likelihood_weight", "suggested_weight": "suggested_weight", "fit_s": "seconds"}


def figures(record: RunRecord) -> dict[str, float]:
    """Return the figures of the stages that are done, in this run or an earlier one, the headline first."""
    done = _done(record)
    found: dict[str, object] = {}
    if report := done.get("discover", {}).get("report"):
        found |= {"hits": report["n_hits"], "mash_loglik": report["loglik"]}
        names = {"calls": "n_calls", "expected_false": "expected_false"}
        found |= {name: report[key] for name, key in names.items() if key in report}
        for name, contrast in report.get("contrasts", {}).items():
            plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)  # what MLflow takes for a name
            found[f"hits_{plain}"] = contrast["n_hits"]
    if "diagnostics" in (fit := done.get("fit", {})):
        found |= fit["diagnostics"]
        found |= {name: fit[key] for name, key in FROM_FIT.items() if key in fit}
        found |= _loss_per_weight(fit)
    found |= {"wall_s": record.wall_seconds(), "peak_memory_mb": record.peak_memory_mb()}
    for check in CHECKS:
        if report := done.get(check.name, {}).get("report"):
            found |= check.metrics(report)
    numbers = {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}
    return {name: numbers[name] for name in (*HEADLINE, *numbers) if name in numbers}


def as_metrics(found: Mapping[str, float]) -> dict[str, float]:
    """Return figures under MLflow's names: the headline by its own, all others below ``final/``.

    Those of the headline have six digits, as many as a column shows; metrics.json has them all.
    """
    return {
        name if name in HEADLINE or name.startswith("hits_") else OTHERS + name: value
        if name not in HEADLINE
        else float(f"{value:.6g}")
        for name, value in found.items()
    }


def as_json(record: RunRecord) -> dict[str, object]:
    """Return the content of metrics.json: each figure by its name, null where it is not finite."""
    found = {name: value if math.isfinite(value) else None for name, value in figures(record).items()}
    return {**found, "converged": outcome_tags(record).get("converged")}


def outcome_tags(record: RunRecord) -> dict[str, object]:
    """Return what the stages that are done found out in words: data, convergence, engine."""
    done = _done(record)
    tags: dict[str, object] = {}
    if "diagnostics" in (fit := done.get("fit", {})):
        tags |= {f"{name}_sha256": file["sha256"] for name, file in fit["files"].items()}
        tags["converged"] = not fit["warnings"]
    if report := done.get("discover", {}).get("report"):
        tags |= {"discovery_engine": report["engine"], "discovery_method": report["method"]}
    return tags


def _loss_per_weight(fit: Mapping[str, Any]) -> dict[str, float]:
    """Return the last loss for one unit of the likelihood weight, with which the loss grows."""
    loss, weight = fit["diagnostics"].get("loss_final"), fit.get("likelihood_weight")
    return {"loss_per_weight": loss / weight} if loss is not None and weight else {}


def _done(record: RunRecord) -> dict[str, dict[str, Any]]:
    stages = record.content["stages"]
    return {name: entry for name, entry in stages.items() if entry.get("status") == "done"}

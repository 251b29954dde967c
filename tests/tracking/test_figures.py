"""The figures of a run, for MLflow and for metrics.json."""

from __future__ import annotations

import json
from pathlib import Path

from fatebias.files.paths import RunPaths
from fatebias.files.record import RunRecord
from fatebias.tracking.figures import as_json, as_metrics, figures


def record(tmp_path: Path, **fit: object) -> RunRecord:
    found = RunRecord(RunPaths(tmp_path))
    diagnostics = {"loss_final": 30.0, "family": "normal"}
    done = {"status": "done", "seconds": 2.0}
    found.content["stages"] = {
        "fit": {**done, "diagnostics": diagnostics, "warnings": [], "files": {},
                "likelihood_weight": 2.0, **fit},
        "discover": {
            **done,
            "report": {
                "engine": "native", "method": "mashr", "n_hits": 3, "loglik": float("-inf"), "n_calls": 9,
                "expected_false": 0.123456789, "contrasts": {"NEU/EC": {"n_hits": 2}},
            },
        },
    }  # fmt: skip
    return found


def test_the_headline_comes_first_and_is_rounded_for_a_column(tmp_path: Path) -> None:
    metrics = as_metrics(figures(record(tmp_path)))
    assert list(metrics)[:4] == ["hits", "expected_false", "calls", "weight_used"]
    assert metrics["expected_false"] == 0.123457
    assert metrics["hits_NEU_EC"] == 2.0
    assert metrics["final/loss_final"] == 30.0


def test_a_loss_is_also_given_for_one_unit_of_the_weight(tmp_path: Path) -> None:
    assert figures(record(tmp_path))["loss_per_weight"] == 15.0
    assert "loss_per_weight" not in figures(record(tmp_path, likelihood_weight=None))


def test_metrics_json_is_flat_keeps_every_digit_and_is_valid_json(tmp_path: Path) -> None:
    found = json.loads(json.dumps(as_json(record(tmp_path)), allow_nan=False))
    assert (found["hits"], found["expected_false"], found["converged"]) == (3.0, 0.123456789, True)
    assert found["mash_loglik"] is None
    assert all(not isinstance(value, (dict, list)) for value in found.values())

"""What Slurm says when it takes no jobs: too many of them, or each too large."""

from __future__ import annotations

from pathlib import Path

import pytest

from fatebias.sweep.slurm import _refusal, is_full

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
FULL = [
    f"sbatch: error: QOSMaxSubmitJobPerUserLimit; sbatch: error: Batch job submission failed: {POLICY}",
    f"sbatch: error: AssocMaxSubmitJobLimit; sbatch: error: Batch job submission failed: {POLICY}",
    f"sbatch: error: AssocGrpSubmitJobsLimit; sbatch: error: Batch job submission failed: {POLICY}",
    f"sbatch: error: Batch job submission failed: {POLICY}",
    "sbatch: error: Batch job submission failed: Invalid job array specification",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
]
LARGE = [
    f"sbatch: error: QOSMaxWallDurationPerJobLimit; sbatch: error: Batch job submission failed: {POLICY}",
    f"sbatch: error: QOSMaxCpuPerJobLimit; sbatch: error: Batch job submission failed: {POLICY}",
    f"sbatch: error: AssocMaxMemPerJob; sbatch: error: Batch job submission failed: {POLICY}",
    "Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
]
OTHER = ["sbatch: error: invalid partition specified: gpuu"]


@pytest.mark.parametrize("words", FULL)
def test_too_many_jobs_wait_for_room(words):
    assert is_full(words)
    assert "fatebias.sweep submit" in str(_refusal(words, 3, 8, Path("out")))


@pytest.mark.parametrize("words", LARGE)
def test_jobs_that_ask_for_too_much_ask_for_less(words):
    """No number of ended jobs makes room for them."""
    assert not is_full(words)
    said = str(_refusal(words, 0, 8, Path("out")))
    assert "ask for less" in said
    assert "hydra.launcher.timeout_min" in said
    assert "sweep submit" not in said


@pytest.mark.parametrize("words", OTHER)
def test_any_other_refusal_lists_the_settings(words):
    assert not is_full(words)
    assert "--cfg hydra" in str(_refusal(words, 0, 8, Path("out")))

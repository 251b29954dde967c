"""Sixty-four jobs in one sweep through a real Slurm: discovery alone, from tables that are there already."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from tests.tracking.stored import Stored

pytestmark = [pytest.mark.slow, pytest.mark.soak]
JOBS = 64
WORDS = [
    "launcher=slurm_cpu",
    "hydra.launcher.cpus=1",
    "hydra.launcher.mem_gb=1",
    "stages=[discover]",
    "discovery.engine=native",
    "plots=false",  # seconds a run
    f"seed=range(0,{JOBS})",
    "out_dir=out",
]


def table(number: int) -> pd.DataFrame:
    rng = np.random.default_rng(number)
    genes = pd.DataFrame({"gene": [f"GENE{at}" for at in range(12)]})
    for day in range(2):
        genes[f"betahat_d{day}"] = rng.normal(0, 0.3, 12)
        genes.loc[:2, f"betahat_d{day}"] += 2.0
    return genes.assign(se_d0=0.2, se_d1=0.2)


def test_sixty_four_jobs_in_one_sweep(cluster, typed, tmp_path):
    for number in range(JOBS):
        (tmp_path / "out" / str(number)).mkdir(parents=True)
        table(number).to_csv(tmp_path / "out" / str(number) / "gene_summary_for_mash.csv", index=False)
    done = typed(*WORDS, cwd=tmp_path, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\n{JOBS} done\n" in done.stdout
    assert len(re.findall(r"^\d+ +\d+_\d+ +done ", done.stdout, re.M)) == JOBS

    out = tmp_path / "out"
    members = json.loads((out / "sweep.json").read_text())["members"]
    assert len({member["job_id"] for member in members}) == JOBS
    seeds = [json.loads((out / str(number) / "run.json").read_text())["seed"] for number in range(JOBS)]
    assert seeds == list(range(JOBS))
    for number in range(JOBS):
        ranked = pd.read_csv(out / str(number) / "hits_ranked.csv")
        assert set(ranked.loc[ranked["hit_anyday"], "gene"]) >= {"GENE0", "GENE1", "GENE2"}
    assert len(pd.read_csv(out / "sweep_summary.csv")) == JOBS
    assert (out / "sweep_hits.png").stat().st_size > 0
    found = Stored(f"sqlite:///{tmp_path}/mlflow.db").runs()
    runs = [run for run in found if "seed" in run.data.params]
    assert len(found) == JOBS + 1  # and that of the sweep
    assert Counter(run.data.params["seed"] for run in runs) == Counter(map(str, range(JOBS)))
    assert {run.info.status for run in found} == {"FINISHED"}

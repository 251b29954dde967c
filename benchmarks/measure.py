"""Shared by the benchmarks: screens, processes of their own, medians, and the machine's description."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from typing import Any

import numpy as np

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.screen import Screen
from fatebias.files.provenance import package_versions


def screen(n_cells: int, n_guides: int, moi: float, n_genes: int = 300, seed: int = 1) -> Screen:
    """Simulate a screen as data=simulated does, in memory."""
    per_gene = max(1, round(n_guides / n_genes))
    settings = SimulateConfig(
        n_cells=n_cells, n_genes=n_genes, guides_per_gene=per_gene, n_ntc_guides=60, moi=moi, seed=seed
    )
    return _simulate(settings)


def _simulate(settings: SimulateConfig) -> Screen:
    from fatebias.data.simulation.simulate import simulate_screen

    return simulate_screen(settings, DataConfig(), PriorsConfig())[0]


def in_own_process(module: str, *words: str) -> dict[str, Any]:
    """Run ``python -m MODULE WORDS`` and read the JSON of its last line: each peak memory is its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *words], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def spread(values: list[float], unit: float = 1.0) -> str:
    """Median (least to greatest)."""
    scaled = np.array(values) * unit
    return f"{np.median(scaled):.3g} ({scaled.min():.3g} to {scaled.max():.3g})"


def machine() -> str:
    """Processor, cores, threads and versions."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
            model = next(named, model)
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    return f"{model}, {os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}; {versions}"

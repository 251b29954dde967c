"""The same fits on CPU and GPU: ``OMP_NUM_THREADS=2 python -m benchmarks.gpu``.

Each screen is fitted on the CPU, on the GPU, and on the CPU with another seed; all from Python, weight and
unshrunken estimates included. Printed are seconds by part, and how far the daywise effects of the GPU are
from those of the CPU, beside how far two seeds are apart.
"""

from __future__ import annotations

import argparse
import logging
import time
from typing import Any

import numpy as np
import torch

import fatebias as fb
from benchmarks.measure import machine, screen
from fatebias.api.results import FitResult

SCREENS = {  # cells, guides, MOI, genes
    "2,000 cells, 10 genes": (2_000, 40, 2.0, 10),
    "10,000 cells, 40 genes": (10_000, 160, 2.0, 40),
    "100,000 cells, 300 genes": (100_000, 1200, 2.5, 300),
}
WAYS: dict[str, dict[str, Any]] = {
    "svi": {"inference": "svi"},
    "laplace": {"inference": "laplace"},
    "calibrated": {"preset": "calibrated"},
    "minibatch": {"inference.batch_size": 4096},
    "mean field": {"inference": "svi_meanfield", "inference.num_steps": 500},
}


def timed(
    size: tuple[int, int, float, int], device: str, settings: dict[str, Any]
) -> tuple[FitResult, float, float]:
    """Return a fit, its seconds and the most memory of the GPU that it took, in MB."""
    data = screen(*size)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    fit = fb.fit(data, device=device, progress=False, **settings)
    if device != "cpu":
        torch.cuda.synchronize()
    memory = torch.cuda.max_memory_allocated() / 1e6 if device != "cpu" else 0.0
    return fit, time.perf_counter() - begun, memory


def _se(fit: FitResult) -> np.ndarray:
    """Return the standard errors, (L, F*, D)."""
    return np.sqrt(np.einsum("lfdfd->lfd", fit.estimates.covariance))


def apart(one: FitResult, other: FitResult) -> str:
    """Return how far effects differ, in SEs, and the ratio of their SEs."""
    ours, theirs = _se(one), _se(other)
    mean = np.abs(one.estimates.mean - other.estimates.mean) / theirs
    ratio = ours / theirs
    low, middle, high = np.percentile(ratio, [5, 50, 95])
    return f"{np.median(mean):.3f}, {mean.max():.3f} | {middle:.4f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Print a row of seconds for each fit, and below it how far effects are apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--screens", nargs="+", choices=SCREENS, default=list(SCREENS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    card = torch.cuda.get_device_name() if asked.device != "cpu" else "no GPU: the path alone"
    print(f"{card}; {machine()}")
    # CUDA starts at its first use
    timed((1_000, 20, 2.0, 5), asked.device, WAYS["laplace"])
    for name in asked.screens:
        for way in asked.ways:
            settings = WAYS[way]
            cpu, cpu_s, _ = timed(SCREENS[name], "cpu", settings)
            gpu, gpu_s, memory = timed(SCREENS[name], asked.device, settings)
            again, _, _ = timed(SCREENS[name], "cpu", settings | {"seed": 1})
            parts = ", ".join(
                f"{part} {cpu.seconds[part]:.1f} / {gpu.seconds[part]:.1f}" for part in cpu.seconds
            )
            print(f"| {name}, {way} | {cpu_s:.1f} | {gpu_s:.1f} | {memory:.0f} | {parts} |")
            print(f"|   GPU against CPU | {apart(gpu, cpu)} |")
            print(f"|   two seeds on CPU | {apart(again, cpu)} |", flush=True)


if __name__ == "__main__":
    main()

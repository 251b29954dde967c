"""Standard errors and scales against NUTS on eight small screens: ``python -m benchmarks.nuts --keep DIR``.

NUTS takes minutes a screen; its draws are kept in DIR and used again.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fatebias.config import Config, DataConfig, InferenceConfig, PriorsConfig, SimulateConfig
from fatebias.data.screen import Screen
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.inference.fit import fit_screen
from fatebias.inference.result import Draws

Array = NDArray[np.float64]

# genes, guides a gene, cells, design: flat days (persistent) and steep ones (each_day), or both
SCREENS = (
    (20, 2, 4_000, "persistent"),
    (40, 3, 12_000, "persistent"),
    (60, 4, 20_000, "each_day"),
    (30, 6, 8_000, "mixed"),
    (20, 4, 12_000, "each_day"),
    (60, 2, 4_000, "persistent"),
    (40, 4, 20_000, "mixed"),
    (30, 3, 6_000, "each_day"),
)
METHODS = {
    "svi": InferenceConfig(progress=False),
    "svi, scales fixed": InferenceConfig(scales="fixed", progress=False),
    "laplace": InferenceConfig(method="laplace", progress=False),
    "laplace, scales fixed": InferenceConfig(method="laplace", scales="fixed", progress=False),
}


def screen_number(number: int) -> Screen:
    """Return one of the eight screens."""
    genes, guides, cells, design = SCREENS[number]
    simulate = SimulateConfig(
        n_genes=genes, guides_per_gene=guides, n_cells=cells, design=design, seed=100 + number
    )
    return simulate_screen(simulate, DataConfig(source="simulated"), PriorsConfig())[0]


def nuts(screen: Screen, kept: Path) -> tuple[Array, Array]:
    """Return NUTS draws of theta, (S, L, F*, D), and of the scales, (S, F*, D + 1), made once."""
    if not kept.exists():
        settings = InferenceConfig(
            method="nuts", num_chains=2, num_warmup=300, num_samples=600, progress=False
        )
        fit = fit_screen(screen, Config(inference=settings))
        print(f"NUTS: R-hat {fit.diagnostics['r_hat_max']:.4f}, ESS from {fit.diagnostics['ess_min']:.0f}")
        draws = fit.draw(1200)
        np.savez(kept, theta=draws.theta, scales=draws.scales)
    with np.load(kept) as arrays:
        return arrays["theta"], arrays["scales"]


def compared(draws: Draws, theta: Array, scales: Array) -> str:
    """Return a row of the table: SD ratios of theta, its mean shift in SDs, SD ratios of the scales."""
    sd = theta.std(axis=0)
    ratio = draws.theta.std(axis=0) / sd
    shift = np.abs(draws.theta.mean(axis=0) - theta.mean(axis=0)) / sd
    of_scales = draws.scales.std(axis=0) / scales.std(axis=0)
    low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
    return (
        f"{middle:.3f} ({low:.3f} to {high:.3f}) | {shift.mean():.3f} | "
        f"{of_scales.min():.2f} to {of_scales.max():.2f}"
    )


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True, help="folder of the NUTS draws")
    parser.add_argument("--screens", type=int, nargs="*", default=range(len(SCREENS)))
    asked = parser.parse_args()
    asked.keep.mkdir(parents=True, exist_ok=True)
    print("| screen | method | SD / SD of NUTS, median (5 to 95 %) | shift | scales' SDs | s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for number in asked.screens:
        screen = screen_number(number)
        theta, scales = nuts(screen, asked.keep / f"nuts{number}.npz")
        genes, guides, cells, design = SCREENS[number]
        for name, settings in METHODS.items():
            begun = time.perf_counter()
            fit = fit_screen(screen, replace(Config(), inference=settings))
            took = time.perf_counter() - begun
            row = compared(fit.draw(settings.num_posterior_draws), theta, scales)
            print(f"| {genes} x {guides}, {cells}, {design} | {name} | {row} | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()

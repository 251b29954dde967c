"""What 200 refits cost beside one fit: ``OMP_NUM_THREADS=2 python -m benchmarks.bootstrap``.

100,000 cells, 300 genes, 1,200 guides, MOI 2.5. The default fit to its final posterior, then the bootstrap
as the stage ``resample`` does it (the full fit's mode, 200 refits, errors), and a few refits done exactly by
Newton's method from nothing for comparison; `--refits`, `--cells`, `--exact`. ``--calls 4``: coverage and
false calls with the bootstrap's errors on screens of 10,000 cells and 60 genes, c = 5, four seeds each.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import time

import numpy as np
import torch

from benchmarks.measure import machine, screen
from benchmarks.step import CELLS, GUIDES, MOI
from fatebias.checks import refit as refitting
from fatebias.checks.call import call_contrast
from fatebias.checks.centre import centre_of_run, find_centre
from fatebias.checks.refit import refit
from fatebias.checks.resampling import bootstrap
from fatebias.checks.units import bootstrap_weights, resampling_units
from fatebias.config import (
    AUTO,
    CalibrationConfig,
    Config,
    DataConfig,
    DiscoveryConfig,
    ExportConfig,
    InferenceConfig,
    SimulateConfig,
    weight_asked,
)
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.estimates.estimates import ContrastEstimates
from fatebias.estimates.from_fit import contrast_estimates
from fatebias.estimates.likelihood_weight import estimate_weight
from fatebias.files.provenance import peak_memory_mb
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from fatebias.names import LFSR, POSTMEAN, day_columns


def compare(n_cells: int, n_refits: int, n_exact: int) -> None:
    """Print seconds, their ratio, and how near refits come to exact ones."""
    data = screen(n_cells, GUIDES, MOI)
    cfg = Config(
        inference=InferenceConfig(progress=False),
        export=ExportConfig(se="sandwich"),
        calibration=CalibrationConfig(bootstrap=n_refits),
    )
    begun = time.perf_counter()
    fit = fit_screen(data, cfg)
    posterior = posterior_moments(fit.draw, cfg.inference.num_posterior_draws, data.guide_gene)
    one_fit = time.perf_counter() - begun
    peak = peak_memory_mb()
    begun = time.perf_counter()
    full = centre_of_run(data, cfg, weight_asked(cfg), posterior)
    mode = time.perf_counter() - begun
    found = bootstrap(full, data, cfg.calibration, torch.get_num_threads())
    whole = time.perf_counter() - begun
    se = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))
    spread = np.sqrt(np.diagonal(found.spread, axis1=1, axis2=2))
    ratio = se / contrast_estimates(data, cfg, posterior).se
    print(f"default fit to its final posterior:      {one_fit:.1f} s")
    print(f"{n_refits} refits, their mode included:     {whole:.1f} s ({mode:.1f} s of it the mode)")
    print(f"  refits / one fit:                      {whole / one_fit:.2f}")
    print(f"  steps a refit:                         {found.refits.steps.mean():.1f}, all settled: "
          f"{found.refits.converged.all()}")  # fmt: skip
    print(f"peak memory after the fit, and after the refits: {peak:.0f}, {peak_memory_mb():.0f} MB")
    low, middle, high = np.percentile(ratio, [5, 50, 95])
    print(f"se_boot / se by export.se=sandwich:      {middle:.3f} ({low:.3f} to {high:.3f}, 5 to 95 %)")
    drawn = resampling_units(data, "cells")
    begun = time.perf_counter()
    exact = []
    for b in range(n_exact):
        weighted = dataclasses.replace(data, weight=data.weight * bootstrap_weights(drawn, 0, b))
        exact.append(find_centre(weighted, cfg, weight_asked(cfg), posterior.scales_mean**-2.0))
    index = full.design.theta_index[:, data.contrast_index]
    by_newton = np.stack([each.mean[index] for each in exact])
    print(f"one exact refit by Newton's method:      {(time.perf_counter() - begun) / n_exact:.1f} s")
    for name, most in (("one step", 1), ("two steps", 2), ("as they are", refitting.MOST_STEPS)):
        refitting.MOST_STEPS = most
        values = refit(full, lambda b: bootstrap_weights(drawn, 0, b), n_exact, index).values
        off = (values - by_newton) / spread
        print(f"  off by in SDs of refits, {name + ':':<14}  {np.sqrt((off**2).mean()):.4f} on the whole, "
              f"{np.abs(off).max():.3f} at most")  # fmt: skip


def calls(n_seeds: int) -> None:
    """Print coverage and false calls with the run's errors and with the bootstrap's."""
    head = ("neighbours", "design", "estimates", "weight", "errors", "coverage", "called", "false", "true")
    print(" | ".join(head))
    for neighbours in (1, 15):
        for design in ("no_effects", "persistent", "single_day"):
            for estimates in ("posterior", "unshrunken"):
                for weight in (1.0, AUTO):
                    found = [_one_screen(neighbours, design, estimates, weight, s) for s in range(n_seeds)]
                    for errors in ("run", "bootstrap"):
                        mine = np.array([each[errors] for each in found])
                        row = (neighbours, design, estimates, weight, errors, f"{mine[:, 0].mean():.3f}")
                        sums = mine[:, 1:].sum(axis=0).astype(int)
                        print(" | ".join(map(str, (*row, *sums))), flush=True)


def _one_screen(
    neighbours: int, design: str, estimates: str, weight: float | str, seed: int
) -> dict[str, tuple[float, int, int, int]]:
    """Coverage, gene-days called, those called falsely, true ones; by the errors that mash was given."""
    size = SimulateConfig(n_cells=10_000, n_genes=60, concentration=5.0)
    simulate = dataclasses.replace(size, neighbours=neighbours, design=design, seed=seed)
    cfg = Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace"),
        likelihood_weight=weight,
        export=ExportConfig(estimates),
        discovery=DiscoveryConfig(
            engine="native", null_correlation="fit" if estimates == "unshrunken" else "simple"
        ),
        calibration=CalibrationConfig(
            bootstrap=100, bootstrap_unit="clusters" if neighbours > 1 else "cells"
        ),
    )
    data, truth = simulate_screen(simulate, cfg.data, cfg.priors)
    if weight == AUTO:
        data, level = estimate_weight(data, cfg).weigh(data)
        cfg = dataclasses.replace(cfg, likelihood_weight=level)
    draws = cfg.inference.num_posterior_draws
    posterior = posterior_moments(fit_screen(data, cfg).draw, draws, data.guide_gene)
    given = contrast_estimates(data, cfg, posterior)
    found = bootstrap(centre_of_run(data, cfg, weight_asked(cfg), posterior), data, cfg.calibration)
    theta = truth.theta[:, data.contrast_index]
    result = {}
    for name, errors in (("run", given), ("bootstrap", ContrastEstimates(given.betahat, found.covariance))):
        table = call_contrast(data, cfg, errors)
        lfsr, mean = (table[day_columns(column, data.D)].to_numpy(dtype=float) for column in (LFSR, POSTMEAN))
        called = lfsr < cfg.discovery.mash_lfsr_thresh
        false = called & (np.sign(mean) != np.sign(theta))
        covered = np.abs(given.betahat - theta) < 1.96 * errors.se
        result[name] = (float(covered.mean()), int(called.sum()), int(false.sum()), int((theta != 0).sum()))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--refits", type=int, default=200)
    parser.add_argument("--exact", type=int, default=3)
    parser.add_argument(
        "--calls", type=int, metavar="SEEDS", help="only what calls with its errors are worth"
    )
    arguments = parser.parse_args()
    print(machine())
    if arguments.calls:
        logging.disable(logging.WARNING)
        calls(arguments.calls)
        return
    compare(arguments.cells, arguments.refits, arguments.exact)


if __name__ == "__main__":
    main()

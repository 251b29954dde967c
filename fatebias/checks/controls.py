"""The calibration check: NTC pseudo-genes go through fit and discovery, and should not be called."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fatebias import names
from fatebias.checks.base import NtcCheck, Report, own_discovery, share_with_interval
from fatebias.config import AUTO, Config
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths
from fatebias.report.few_controls import few_controls

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

Array = NDArray[np.float64]


FEWEST_TO_SPREAD = 3  # pseudo-genes: of two, the interval reaches from nothing to thousands


class Controls(NtcCheck):
    """Counts the calls of NTC pseudo-genes, which have no effect."""

    name = "controls"
    by_default = True
    needs = ("fit", "discover")

    def wanted(self, config: Config) -> bool:
        """Return True: it is done wherever the screen allows."""
        return True

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Return draws and the settings of the discovery; the number of parts is in the fit's key."""
        return [config.calibration.control_draws, own_discovery(config)]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Return the table and the QQ plot."""
        return [paths.controls, paths.controls_plot]

    def run(self, screen: Screen, config: Config, weight: float, paths: RunPaths) -> Report:
        """Fit again with each part of the NTC guides as pseudo-genes, call, and return the counts.

        Further draws group the guides otherwise (`OwnFit.with_pseudo_genes`). The results of real genes are
        not touched.
        """
        import pandas as pd

        from fatebias import pl
        from fatebias.checks.call import call_given
        from fatebias.checks.own_fit import OwnFit
        from fatebias.data.synthetic import PSEUDO_GENE, pseudo_genes
        from fatebias.pl.save import save_png

        tables, z, apart = [], [], []
        fit = OwnFit.read(screen, config, weight, paths.posterior)
        contrast = np.eye(screen.n_fates_star)[screen.contrast_index]
        n_parts, n_draws = config.calibration.control_splits, config.calibration.control_draws
        for draw in range(n_draws):
            for part in range(n_parts):
                split = pseudo_genes(screen, part=part, n_parts=n_parts, seed=config.seed + 1000 * draw)
                given = fit.with_pseudo_genes(split)
                table = call_given(split, config, given)
                own = table[names.GENE].str.startswith(PSEUDO_GENE).to_numpy()
                tables.append(table[own].assign(**{names.PART: part, names.DRAW: draw}))
                effects = given.contrast(contrast)
                z.append(effects.betahat[own] / effects.se[own])
                apart.append(day_differences(effects.betahat[own], effects.covariance[own]))
        table = pd.concat(tables, ignore_index=True)
        with atomic_path(paths.controls) as draft:
            table.to_csv(draft, index=False)
        scores = np.concatenate(z)
        save_png(pl.controls(scores), paths.controls_plot)
        called, n = int(table[names.HIT_ANYDAY].sum()), len(table)
        return {
            "pseudo_genes": n,
            "draws": n_draws,
            "called": called,
            **share_with_interval("rate", called, n, n_draws),
            **spread_with_interval("z_sd", scores, n_draws),
            **spread_with_interval("day_difference_sd", np.concatenate(apart), n_draws),
            "ntc_guides": len(screen.ntc_guide_names),
            "guides_per_pseudo_gene": len(split.guide_names[screen.G :]) // max(1, split.L - screen.L),
            "weight_from_data": config.likelihood_weight == AUTO,
        }

    def summary_line(self, report: Report) -> str:
        """Return how many pseudo-genes are called, and the SD of their z scores."""
        few = few_controls(report)
        spreads = [
            f"{what} {report[name]:.2f}{_interval(report, name)}"
            for name, what in (("z_sd", "SD of their z scores"), ("day_difference_sd", "of day differences"))
            if report[name] is not None
        ]
        return (
            f"calibration check: {report['called']} of {report['pseudo_genes']} NTC pseudo-genes called "
            f"(95 % interval {report['rate_low']:.1%} to {report['rate_high']:.1%}); "
            f"{', '.join(spreads)}{_advice(report)}" + ("" if few is None else f"\n  {few}")
        )


def _advice(report: Report) -> str:
    """Return what to do about errors that the pseudo-genes' scatter contradicts, on a line of its own."""
    calibrated = "run the same command with experiment=calibrated"
    if any((report[f"{name}_low"] or 0) > 1 for name in ("z_sd", "day_difference_sd")):
        fix = calibrated
        if report["weight_from_data"]:
            fix = "calibration.method=controls takes the weight from the NTC guides"
        return f"\n  an SD above 1 says that errors are too small and calls may be false: {fix}"
    high = report["z_sd_high"]
    if high is not None and high < 1 and not report["weight_from_data"]:
        return f"\n  an SD below 1 says that errors are too large and effects may be missed: {calibrated}"
    return ""


def _interval(report: Report, name: str) -> str:
    low, high = report[f"{name}_low"], report[f"{name}_high"]
    return "" if low is None else f" ({low:.2f} to {high:.2f})"


def day_differences(betahat: Array, covariance: Array) -> Array:
    """Return z scores of the differences between days, (n, D (D - 1) / 2), by their own errors.

    Calls rest on these: what all days share may cancel in them, so that they show errors which the days'
    own z scores do not. betahat (n, D), covariance (n, D, D).
    """
    first, second = np.triu_indices(betahat.shape[1], 1)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    of_difference = variance[:, first] + variance[:, second] - 2 * covariance[:, first, second]
    return np.asarray((betahat[:, first] - betahat[:, second]) / np.sqrt(of_difference))


def spread_with_interval(name: str, z: Array, n_draws: int) -> dict[str, float | None]:
    """Return the root mean square of z scores, (n, m), and its 95 % interval under `name`.

    Scores of a pseudo-gene depend on each other, and so do draws, which regroup the same guides: the interval
    counts the pseudo-genes of one draw. None where there is too little.
    """
    from scipy.stats import t

    if not z.size:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    square = (z**2).mean(axis=1)
    middle, n = float(square.mean()), len(square) // n_draws
    if n < FEWEST_TO_SPREAD or middle == 0:
        return {name: math.sqrt(middle), f"{name}_low": None, f"{name}_high": None}
    away = t.ppf(0.975, n - 1) * float(square.std(ddof=1)) / math.sqrt(n) / middle
    low, high = (math.sqrt(middle * math.exp(side * away)) for side in (-1, 1))
    return {name: math.sqrt(middle), f"{name}_low": low, f"{name}_high": high}

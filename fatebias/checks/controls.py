"""Negative controls: pseudo-genes of NTC guides go through fit and discovery, and should not be called."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fatebias import names
from fatebias.checks.call import fit_and_call
from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.data.synthetic import PSEUDO_GENE, pseudo_genes
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths

log = logging.getLogger(__name__)


def run_controls(screen: Screen, cfg: Config, paths: RunPaths) -> dict[str, Any]:
    """Fit the screen again with part of the NTC guides as pseudo-genes, call, and count.

    The fit is the run's model, weight and priors by ``inference=laplace``; real genes' own results are not
    touched.

    Parameters
    ----------
    screen
        With 6 NTC guides or more.
    cfg
        The run's settings, the likelihood weight a number.
    paths
        Where ``controls.csv`` and ``controls.png`` go.

    Returns
    -------
    dict
        Number of pseudo-genes and of those called, the rate with its 95 % interval (Clopper and Pearson
        1934), the SD of the z scores; plain content for run.json.

    Raises
    ------
    FitError, DiscoveryError, OutputError
        As the fit and the discovery.
    """
    from fatebias import pl
    from fatebias.pl.save import save_png

    tables = []
    for part in range(cfg.calibration.control_splits):
        split = pseudo_genes(screen, part=part, n_parts=cfg.calibration.control_splits, seed=cfg.seed)
        table = fit_and_call(split, cfg, paths.root)
        table = table[table[names.GENE].str.startswith(PSEUDO_GENE)]
        tables.append(table.assign(**{names.PART: part}))
    table = pd.concat(tables, ignore_index=True)
    with atomic_path(paths.controls) as draft:
        table.to_csv(draft, index=False)
    called, n = int(table[names.HIT_ANYDAY].sum()), len(table)
    z = np.concatenate(
        [
            table[f"{names.BETAHAT}{d}"].to_numpy(dtype=float) / table[f"{names.SE}{d}"].to_numpy(dtype=float)
            for d in range(screen.D)
        ]
    )
    save_png(pl.controls(z), paths.controls_plot)
    interval = binomtest(called, n).proportion_ci(0.95)
    return {
        "pseudo_genes": n,
        "called": called,
        "rate": called / n,
        "rate_low": float(interval.low),
        "rate_high": float(interval.high),
        "z_sd": float(np.sqrt((z**2).mean())),
        "ntc_guides": len(screen.ntc_guide_names),
    }


def words(report: dict[str, Any]) -> str:
    """Say it in a line for the terminal."""
    few = "; fewer than 10 NTC guides cannot tell more" if report["ntc_guides"] < 10 else ""
    return (
        f"negative controls: {report['called']} of {report['pseudo_genes']} NTC pseudo-genes called "
        f"(95 % interval {report['rate_low']:.1%} to {report['rate_high']:.1%}); "
        f"SD of their z scores {report['z_sd']:.2f}{few}"
    )

"""The tables of bootstrap and jackknife, and what run.json keeps of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fatebias import names
from fatebias.checks.call import call_contrast
from fatebias.checks.centre import Centre
from fatebias.checks.resampling import Resampled, diagonal
from fatebias.checks.units import Units
from fatebias.config import CalibrationConfig, Config
from fatebias.data.screen import Screen
from fatebias.estimates.estimates import ContrastEstimates
from fatebias.estimates.sandwich import FEWEST_CLUSTERS
from fatebias.files.atomic import atomic_path

# Labels whose variance is off by this factor: scales found under such a weight are not to be trusted.
WEIGHT_OFF = 2.0


def bootstrap_table(
    screen: Screen, cfg: Config, given: pd.DataFrame, found: Resampled
) -> tuple[pd.DataFrame, int]:
    """Return a row a gene with errors, probabilities of signs and calls, and how many genes are called.

    `given` is ``gene_summary_for_mash.csv``. ``lfsr_boot_d*`` and ``called_boot`` are what the run's
    discovery, by the embedded engine, finds in the same estimates with the bootstrap's errors.
    """
    n_days = screen.D
    betahat = given[names.day_columns(names.BETAHAT, n_days)].to_numpy(dtype=float)
    called = call_contrast(screen, cfg, ContrastEstimates(betahat, found.covariance))
    table = error_table(given, found, "boot")
    for d in range(n_days):
        table[f"prob_positive_d{d}"] = found.positive[:, d]
    for d in range(n_days):
        table[f"lfsr_boot_d{d}"] = called[f"{names.LFSR}{d}"].to_numpy()
    table["called_boot"] = called[names.HIT_ANYDAY].to_numpy()
    return table, int(table["called_boot"].sum())


def error_table(given: pd.DataFrame, found: Resampled, short: str) -> pd.DataFrame:
    """Return a row a gene: the estimates given, and beside them errors, spread and bias named by `short`."""
    n_days = found.bias.shape[1]
    columns = [
        names.GENE,
        *names.day_columns(names.BETAHAT, n_days),
        *names.day_columns(names.SE, n_days),
    ]
    parts = {
        f"se_{short}_d": np.sqrt(diagonal(found.covariance)),
        f"spread_{short}_d": np.sqrt(diagonal(found.spread)),
        f"bias_{short}_d": found.bias,
    }
    tables = [pd.DataFrame(each, columns=names.day_columns(name, n_days)) for name, each in parts.items()]
    return pd.concat([given[columns], *tables], axis=1)


def account(found: Resampled, of: Units, begun: float) -> dict[str, Any]:
    """Return how refits went and what to be careful with, plain content for run.json."""
    fixed = ~of.varies
    notes = []
    if of.n < FEWEST_CLUSTERS:
        notes.append(f"{of.n} {of.what} are few: the errors of single genes are rough, their mean is not")
    if fixed.any():
        share = float(np.bincount(of.of_cell, minlength=of.n)[fixed].sum() / len(of.of_cell))
        notes.append(f"{share:.1%} of the cells are alone in their stratum and do not vary")
    if not found.refits.converged.all():
        notes.append(f"{int((~found.refits.converged).sum())} refits did not converge")
    ratio = found.variance_ratio
    if not 1 / WEIGHT_OFF < ratio.mean() < WEIGHT_OFF:
        notes.append(
            "the likelihood weight is far off, and with it the spread of guides that these errors include: "
            "run with likelihood_weight=auto before you trust them"
        )
    return {
        "refits": len(found.refits.steps),
        "unit": of.what,
        "units": of.n,
        "strata": len(np.unique(of.stratum)),
        "variance_ratio": float(ratio.mean()),
        "variance_ratio_by_day": [float(each) for each in ratio],
        "not_settled": int((~found.refits.converged).sum()),
        "mean_steps": float(found.refits.steps.mean()),
        "seconds": round(time.perf_counter() - begun, 3),
        "note": "; ".join(notes),
    }


def write_refits(found: Resampled, full: Centre, screen: Screen, cfg: CalibrationConfig, final: Path) -> None:
    """Keep the refits, so that those of several seeds can be pooled."""
    index = full.design.theta_index[:, screen.contrast_index]
    with atomic_path(final) as draft:
        np.savez_compressed(
            draft,
            values=found.refits.values,
            steps=found.refits.steps,
            converged=found.refits.converged,
            mode=full.mean[index],
            model=found.model,
            prior=found.prior,
            seed=cfg.bootstrap_seed,
            unit=cfg.bootstrap_unit,
            fingerprint=screen.fingerprint(),
        )

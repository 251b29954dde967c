"""What the stage ``resample`` is asked for, the tables that it writes and what it says of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fatebias import names
from fatebias.checks.call import call_given
from fatebias.checks.refit import Centre
from fatebias.checks.resample import Resampled, Units, bootstrap, diagonal, full_fit, jackknife, units
from fatebias.config import CalibrationConfig, Config
from fatebias.data.screen import Screen
from fatebias.errors import DataError
from fatebias.estimates.estimates import ContrastEstimates
from fatebias.estimates.sandwich import FEWEST_CLUSTERS
from fatebias.estimates.tables import read_posterior
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths

Array = NDArray[np.float64]

# Labels whose variance is off by this factor: scales found under such a weight are not to be trusted.
WEIGHT_OFF = 2.0


def asked_for(cfg: CalibrationConfig) -> bool:
    """Say whether there is anything to resample."""
    return bool(cfg.bootstrap) or cfg.jackknife != "none" or cfg.concordance


def outputs(paths: RunPaths, cfg: CalibrationConfig) -> list[Path]:
    """Name the files that the settings ask for."""
    return [
        *([paths.bootstrap, paths.bootstrap_refits] if cfg.bootstrap else []),
        *([paths.jackknife] if cfg.jackknife != "none" else []),
        *([paths.concordance] if cfg.concordance else []),
    ]


def check(screen: Screen, cfg: CalibrationConfig) -> None:
    """See before any fit that the screen has what resampling asks for.

    Parameters
    ----------
    screen
        The screen.
    cfg
        What is asked for.

    Raises
    ------
    DataError
        When there are no units to draw or leave out.
    """
    if cfg.bootstrap:
        units(screen, cfg.bootstrap_unit)
    if cfg.jackknife != "none":
        units(screen, cfg.jackknife)
    if cfg.concordance and screen.R < 2:
        raise DataError(
            "replicates cannot be compared",
            where="calibration.concordance=true",
            found=f"{screen.R} replicate",
            allowed="two or more",
            fix="calibration.concordance=false, or data.rep_key=COLUMN",
        )


def run_resample(screen: Screen, cfg: Config, paths: RunPaths) -> dict[str, Any]:
    """Resample as the settings ask, write the tables and say what came out.

    Parameters
    ----------
    screen
        The screen.
    cfg
        The run's settings, the likelihood weight a number.
    paths
        Of a run whose fit is done.

    Returns
    -------
    dict
        A part each for ``bootstrap``, ``jackknife`` and ``concordance``, plain content for run.json.

    Raises
    ------
    DataError
        When there is nothing to resample.
    FitError, DiscoveryError, OutputError
        As the fit and the discovery.
    """
    from fatebias.checks.concordance import concordance

    calibration = cfg.calibration
    posterior = read_posterior(paths.posterior)
    given = pd.read_csv(paths.gene_summary, dtype={names.GENE: str}, keep_default_na=False)
    workers = max(1, torch.get_num_threads())
    report: dict[str, Any] = {}
    full = (
        full_fit(screen, cfg, posterior) if calibration.bootstrap or calibration.jackknife != "none" else None
    )
    if calibration.bootstrap:
        assert full is not None
        begun = time.perf_counter()
        found = bootstrap(full, screen, calibration, workers)
        _write_refits(found, full, screen, cfg, paths)
        table, called = bootstrap_table(screen, cfg, given, found, paths.root)
        _write(table, paths.bootstrap)
        drawn = units(screen, calibration.bootstrap_unit)
        report["bootstrap"] = _account(found, drawn, begun) | {"called": called}
    if full is not None and calibration.jackknife != "none":
        begun = time.perf_counter()
        found = jackknife(full, screen, calibration.jackknife, workers)
        _write(_table(given, found, "jack"), paths.jackknife)
        report["jackknife"] = _account(found, units(screen, calibration.jackknife), begun)
    if calibration.concordance:
        table, report["concordance"] = concordance(screen, cfg, posterior)
        _write(table, paths.concordance)
    return report


def bootstrap_table(
    screen: Screen, cfg: Config, given: pd.DataFrame, found: Resampled, root: Path
) -> tuple[pd.DataFrame, int]:
    """Put errors, probabilities of signs and calls side by side.

    Parameters
    ----------
    screen
        The screen.
    cfg
        Discovery.
    given
        ``gene_summary_for_mash.csv``.
    found
        Of the bootstrap.
    root
        Discovery works in a folder below it, which is removed.

    Returns
    -------
    table : DataFrame
        One row a gene; ``lfsr_boot_d*`` and ``called_boot`` are what the run's discovery makes of the same
        estimates with the bootstrap's errors.
    n_called : int
        Genes called.
    """
    n_days = screen.D
    betahat = given[names.day_columns(names.BETAHAT, n_days)].to_numpy(dtype=float)
    called = call_given(screen, cfg, ContrastEstimates(betahat, found.covariance), root)
    table = _table(given, found, "boot")
    for d in range(n_days):
        table[f"prob_positive_d{d}"] = found.positive[:, d]
    for d in range(n_days):
        table[f"lfsr_boot_d{d}"] = called[f"{names.LFSR}{d}"].to_numpy()
    table["called_boot"] = called[names.HIT_ANYDAY].to_numpy()
    return table, int(table["called_boot"].sum())


def words(report: dict[str, Any]) -> list[str]:
    """Say it in a line each for the terminal."""
    lines = []
    for name, per in (("bootstrap", "refits"), ("jackknife", "left out one at a time")):
        part = report.get(name)
        if part is None:
            continue
        few = f"; {part['note']}" if part["note"] else ""
        called = f"; {part['called']} genes called with its errors" if "called" in part else ""
        lines.append(
            f"{name} over {part['units']} {part['unit']} ({part['refits']} {per}): labels' variance "
            f"{part['variance_ratio']:.2f} times what the model says{called}{few}"
        )
    if "concordance" in report:
        from fatebias.checks.concordance import words as of_replicates

        lines.append(of_replicates(report["concordance"]))
    return lines


def _account(found: Resampled, of: Units, begun: float) -> dict[str, Any]:
    fixed = ~of.varies
    notes = []
    if of.n < FEWEST_CLUSTERS:
        notes.append(f"{of.n} {of.what} are few: the errors of single genes are rough, their mean is not")
    if fixed.any():
        share = float(np.bincount(of.of_cell, minlength=of.n)[fixed].sum() / len(of.of_cell))
        notes.append(f"{share:.1%} of the cells are alone in their stratum and do not vary")
    if not found.refits.converged.all():
        notes.append(f"{int((~found.refits.converged).sum())} refits did not settle")
    ratio = found.variance_ratio
    if not 1 / WEIGHT_OFF < ratio.mean() < WEIGHT_OFF:
        notes.append(
            "the likelihood weight is far off, and with it the spread of guides that these errors count in: "
            "likelihood_weight=auto before trusting them"
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


def _table(given: pd.DataFrame, found: Resampled, short: str) -> pd.DataFrame:
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


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as draft:
        table.to_csv(draft, index=False)


def _write_refits(found: Resampled, full: Centre, screen: Screen, cfg: Config, paths: RunPaths) -> None:
    """Keep the refits, so that those of several seeds can be put together."""
    index = full.design.theta_index[:, screen.contrast_index]
    with atomic_path(paths.bootstrap_refits) as draft:
        np.savez_compressed(
            draft,
            values=found.refits.values,
            steps=found.refits.steps,
            converged=found.refits.converged,
            mode=full.mean[index],
            model=found.model,
            prior=found.prior,
            seed=cfg.calibration.bootstrap_seed,
            unit=cfg.calibration.bootstrap_unit,
            fingerprint=screen.fingerprint(),
        )

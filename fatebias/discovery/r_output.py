"""Reading what run_mashr.R wrote, trusting nothing: its table by shape and value, its report by key."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.discovery.input import GeneSummary
from fatebias.discovery.result import EngineResult
from fatebias.discovery.tables import day_values, read_table
from fatebias.errors import DiscoveryError, some
from fatebias.mash.joint import Prior

Array = NDArray[np.float64]

ROUNDING = 1e-6  # of a mean or an SD written with few digits
REPORT_KEYS = ("loglik", "V", "pi", "priors", "versions", "notes")


def read_result(
    out_csv: Path, stdout: str, summary: GeneSummary, method: str, v: Array | None = None
) -> EngineResult:
    """Read R's table and, from the last line of JSON that it printed, its report.

    `v` is what R was given, which it does not repeat where each gene has its own.
    """
    table = read_table(out_csv, fix="R must write this file")
    prefixes = [names.POSTMEAN, names.POSTSD, names.LFSR] + ([names.QVALUE] if method == "ashr" else [])
    _check_shape(table, summary, prefixes, out_csv)

    def read(prefix: str, allowed: str, least: float, most: float) -> Array:
        def accept(values: Array) -> NDArray[np.bool_]:
            return (values >= least) & (values <= most)

        return day_values(table, prefix, summary.n_days, where=out_csv, allowed=allowed, accept=accept)

    largest = float(np.finfo(np.float64).max)
    report = _report(stdout)
    n_days = summary.n_days
    try:
        own_v = None if report["V"] is None else np.array(report["V"], dtype=np.float64).reshape(-1, n_days)
        priors = tuple(_prior(each) for each in report["priors"])
        loglik = float(report["loglik"])
    except (TypeError, ValueError, KeyError, ZeroDivisionError) as error:
        raise DiscoveryError(
            "R's report has values that cannot be used",
            where="stdout",
            found=f"{error}: {json.dumps(report)[:300]}",
            allowed="a number as loglik; V, weights and covariances as numbers, one or more",
        ) from error
    if sum(prior.n_days for prior in priors) != n_days or (own_v is not None and len(own_v) != n_days):
        raise DiscoveryError(
            "R's report is of another number of days", where="stdout", allowed=f"{n_days} days"
        )
    postmean = read(names.POSTMEAN, "finite numbers", -largest, largest)
    postsd = read(names.POSTSD, "finite numbers, zero or more", 0, largest)
    lfsr = read(names.LFSR, "numbers from 0 to 1", 0, 1)
    _check_lfsr(postmean, postsd, lfsr, summary, out_csv)
    return EngineResult(
        postmean=postmean,
        postsd=postsd,
        lfsr=lfsr,
        qvalue=read(names.QVALUE, "numbers from 0 to 1", 0, 1) if names.QVALUE in prefixes else None,
        loglik=loglik,
        v=v if own_v is None else own_v,
        pi={str(name): float(weight) for name, weight in report["pi"].items()},
        priors=priors,
        versions={str(name): str(version) for name, version in report["versions"].items()},
        notes=tuple(str(note) for note in report["notes"]),
    )


def _check_lfsr(mean: Array, sd: Array, lfsr: Array, summary: GeneSummary, where: Path) -> None:
    """Refuse an lfsr above what its own mean and SD allow.

    Whatever the posterior, it has a share of at most ``sd^2 / (sd^2 + mean^2)`` on the other side of zero
    (Cantelli's inequality).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        most = np.where(mean == 0, 1.0, 1 / (1 + (mean / np.where(sd > 0, sd, np.nan)) ** 2))
    most = np.where((sd == 0) & (mean != 0), 0.0, most)
    wrong = np.argwhere(lfsr > most * (1 + ROUNDING) + ROUNDING)
    if len(wrong):
        shown = [
            f"{summary.genes[g]} {names.POSTMEAN}{d}={mean[g, d]:.3g} {names.POSTSD}{d}={sd[g, d]:.3g} "
            f"{names.LFSR}{d}={lfsr[g, d]:.3g}"
            for g, d in wrong.tolist()
        ]
        raise DiscoveryError(
            "lfsr that contradict their own posterior means and SDs",
            where=where,
            found=some(shown),
            allowed="at most sd^2 / (sd^2 + mean^2)",
        )


def _prior(part: dict[str, Any]) -> Prior:
    """Read a mixture; days come as the sides of its matrices, a single one as a bare number."""
    weights = np.array(part["weights"], dtype=np.float64)
    covariances = np.array(part["covariances"], dtype=np.float64)
    n_days = math.isqrt(covariances.size // len(weights))
    return Prior.of(weights / weights.sum(), covariances.reshape(len(weights), n_days, n_days))


def _check_shape(table: pd.DataFrame, summary: GeneSummary, prefixes: list[str], where: Path) -> None:
    results = [column for prefix in prefixes for column in names.day_columns(prefix, summary.n_days)]
    absent = [column for column in [*summary.table.columns, *results] if column not in table.columns]
    if absent:
        raise DiscoveryError(f"columns are missing: {some(absent)}", where=where, found=list(table.columns))
    genes = list(table[names.GENE])
    if genes != summary.genes:
        pairs = zip(genes, summary.genes, strict=False)
        wrong = next((f", {found!r} in place of {gene!r}" for found, gene in pairs if found != gene), "")
        raise DiscoveryError(
            "its genes are not those of the input",
            where=where,
            found=f"{len(genes)} rows{wrong}",
            allowed=f"the {len(summary.genes)} genes of the input, in its order",
        )


def _report(stdout: str) -> dict[str, Any]:
    """Find the report; what starts R may have printed before it."""
    for line in reversed(stdout.splitlines()):
        with contextlib.suppress(json.JSONDecodeError):
            report = json.loads(line)
            if isinstance(report, dict) and set(REPORT_KEYS) <= report.keys():
                return report
    raise DiscoveryError(
        "R printed no report",
        where="stdout",
        found=stdout[-300:] or "nothing",
        allowed=f"a line of JSON with {', '.join(REPORT_KEYS)}",
    )

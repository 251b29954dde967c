"""Discovery as the pipeline calls it: check the input, choose the engine, write the table whole."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.discovery.calls import large
from fatebias.discovery.input import GeneSummary, read_summary
from fatebias.discovery.native import run_native
from fatebias.discovery.outcome import Outcome
from fatebias.discovery.r_process import NO_R
from fatebias.discovery.ranking import CallRule, with_calls
from fatebias.discovery.rscript import rscript_has, run_rscript
from fatebias.errors import DiscoveryError
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import prepare_out_dir
from fatebias.mash.joint import Effects

Array = NDArray[np.float64]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DiscoveryReport:
    """What a discovery has to tell besides its table; plain values, fit for run.json.

    Parameters
    ----------
    engine
        ``rscript`` or ``native``, whichever did the work.
    method
        ``mashr`` or ``ashr``.
    versions
        Of R and its packages, or of fatebias, numpy and scipy.
    loglik
        Log-likelihood under the fitted mixture, summed over genes (ashr: and days).
    V
        Error correlation between days, rows; None for ashr and where each gene has its own.
    pi
        Mixture weights above zero by component.
    notes
        Why this engine, and what else the user should know.
    seconds
        Wall time.
    n_genes, n_days, n_hits
        Sizes.
    """

    engine: str
    method: str
    versions: dict[str, str]
    loglik: float
    V: list[list[float]] | None
    pi: dict[str, float]
    notes: list[str]
    seconds: float
    n_genes: int
    n_days: int
    n_hits: int


def call_rule(cfg: DiscoveryConfig) -> CallRule:
    """Give what makes a call under the configured method.

    Parameters
    ----------
    cfg
        Method, thresholds and gates.

    Returns
    -------
    CallRule
        With a q value gate for ashr alone.
    """
    lfsr, qvalue = (
        (cfg.mash_lfsr_thresh, None) if cfg.method == "mashr" else (cfg.lfsr_thresh, cfg.qvalue_thresh)
    )
    return CallRule(lfsr, qvalue, cfg.effect_prob_large_min, cfg.anyday_correction)


def discover(
    in_csv: Path, out_csv: Path, cfg: DiscoveryConfig, v: Array | None = None
) -> tuple[DiscoveryReport, Effects]:
    """Shrink daywise effects and say which genes are hits.

    Parameters
    ----------
    in_csv
        ``gene_summary_for_mash.csv``.
    out_csv
        ``gene_summary_mash_out.csv``; appears only when it is whole.
    cfg
        Method, engine and their options.
    v
        Correlation of errors between days instead of ``cfg.null_correlation``: (D, D) for all genes, or
        (L, D, D) in the order of `in_csv`; symmetric, unit diagonal, positive definite. Mash only.

    Returns
    -------
    report : DiscoveryReport
        Engine, fit and notes.
    effects : Effects
        The joint posterior over days, in the order of `in_csv`.

    Raises
    ------
    DiscoveryError
        When the input cannot be used, the engine asked for does not answer, or it fails.
    OutputError
        When `out_csv` cannot be written.
    """
    begun = time.perf_counter()
    summary = read_summary(in_csv)
    prepare_out_dir(out_csv.parent)
    if v is not None:
        _check_correlation(v, summary)
    engine, why = choose_engine(cfg, len(summary.genes))
    for note in why:
        log.info(note)
    outcome = _run(engine, summary, in_csv, out_csv, cfg, v)
    for note in outcome.notes:
        log.warning(note)
    effects = outcome.effects(summary)
    table = outcome.table(summary)
    sizes = large(effects, cfg.effect_size_eps)
    columns = names.day_columns(names.PLARGE, summary.n_days)
    table = pd.concat([table, pd.DataFrame(sizes, columns=columns)], axis=1)
    table = with_calls(table, call_rule(cfg))
    with atomic_path(out_csv) as draft:
        table.to_csv(draft, index=False)
    report = DiscoveryReport(
        engine=engine,
        method=cfg.method,
        versions=outcome.versions,
        loglik=outcome.loglik,
        V=None if outcome.v is None or outcome.v.ndim == 3 else outcome.v.tolist(),
        pi=outcome.pi,
        notes=[*why, *outcome.notes],
        seconds=round(time.perf_counter() - begun, 3),
        n_genes=len(summary.genes),
        n_days=summary.n_days,
        n_hits=int(table[names.HIT_ANYDAY].sum()),
    )
    return report, effects


def choose_engine(cfg: DiscoveryConfig, n_genes: int) -> tuple[str, list[str]]:
    """Choose who does the work: what the settings ask for, or under ``auto`` R where it answers.

    Parameters
    ----------
    cfg
        Engine, method and the command that starts Rscript.
    n_genes
        R's mashr cannot take a single gene.

    Returns
    -------
    engine : str
        ``rscript`` or ``native``.
    why : list of str
        One sentence.

    Raises
    ------
    DiscoveryError
        When ``rscript`` is asked for and does not answer.
    """
    if cfg.engine == "native":
        return "native", ["discovery by the embedded engine, as discovery.engine=native asks"]
    if cfg.engine == "auto" and cfg.method == "mashr" and n_genes == 1:
        return "native", ["discovery by the embedded engine: R's mashr takes two genes or more"]
    answer = rscript_has(cfg.command, cfg.method)
    if answer.version is not None:
        return "rscript", [f"discovery by R's {cfg.method} {answer.version}"]
    if cfg.engine == "auto":
        return "native", [f"discovery by the embedded engine: {answer.why_not}"]
    raise DiscoveryError(
        f"discovery.engine=rscript, but R's {cfg.method} does not answer",
        where=f"discovery.command=[{','.join(cfg.command)}]",
        found=answer.why_not,
        fix=NO_R,
    )


def _run(
    engine: str, summary: GeneSummary, in_csv: Path, out_csv: Path, cfg: DiscoveryConfig, v: Array | None
) -> Outcome:
    if engine == "native":
        return run_native(summary, cfg, v)
    with tempfile.TemporaryDirectory(prefix=".rscript-", dir=out_csv.parent) as folder:
        return run_rscript(summary, in_csv, cfg, Path(folder), v)


def _check_correlation(v: Array, summary: GeneSummary) -> None:
    n_genes, n_days = summary.bhat.shape
    allowed = f"({n_days}, {n_days}) or ({n_genes}, {n_days}, {n_days})"
    if v.shape not in ((n_days, n_days), (n_genes, n_days, n_days)):
        raise DiscoveryError("the error correlation has the wrong shape", found=str(v.shape), allowed=allowed)
    unit = np.allclose(np.diagonal(v, axis1=-2, axis2=-1), 1)
    if not np.isfinite(v).all() or not unit or not np.allclose(v, np.swapaxes(v, -1, -2)):
        raise DiscoveryError(
            "the error correlation is no correlation matrix",
            allowed="finite numbers, symmetric, 1 on the diagonal",
        )
    smallest = np.linalg.eigvalsh(v)[..., 0]
    if smallest.min() <= 0:
        where = f"gene {summary.genes[int(smallest.argmin())]}" if v.ndim == 3 else None
        raise DiscoveryError(
            "the error correlation is not positive definite",
            where=where,
            found=f"smallest eigenvalue {smallest.min():.3g}",
            fix="discovery.null_correlation=identity",
        )

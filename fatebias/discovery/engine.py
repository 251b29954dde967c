"""Which engine shrinks the effects, R's packages or the embedded one, and what either must be given."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig
from fatebias.discovery.input import GeneSummary
from fatebias.discovery.native import run_native
from fatebias.discovery.r_process import NO_R
from fatebias.discovery.ranking import CallRule
from fatebias.discovery.result import EngineResult
from fatebias.discovery.rscript import rscript_has, run_rscript
from fatebias.errors import DiscoveryError
from fatebias.files.atomic import FOR_R
from fatebias.mash.effect_likelihood import EffectLikelihood

Array = NDArray[np.float64]

ONE_NORMAL = (
    "R's mashr takes one normal a gene: what guides may do enters by its mean and covariance alone; "
    "discovery.engine=native takes every guess about them"
)


def call_rule(cfg: DiscoveryConfig) -> CallRule:
    """Return what makes a call under the configured method, with a q value gate for ashr alone."""
    lfsr, qvalue = (
        (cfg.mash_lfsr_thresh, None) if cfg.method == "mashr" else (cfg.lfsr_thresh, cfg.qvalue_thresh)
    )
    return CallRule(lfsr, qvalue, cfg.effect_prob_large_min, cfg.anyday_correction)


def choose_engine(cfg: DiscoveryConfig, n_genes: int) -> tuple[str, list[str]]:
    """Return ``rscript`` or ``native`` and why; under ``auto`` R where it answers."""
    if cfg.engine == "native":
        return "native", ["discovery by the embedded engine, as discovery.engine=native asks"]
    if cfg.covariances == "learnt" and cfg.method == "mashr":
        if cfg.engine == "auto":
            return "native", [
                "discovery by the embedded engine, which alone has discovery.covariances=learnt"
            ]
        raise DiscoveryError(
            "R's mashr does not learn covariances with a penalty",
            where="discovery.covariances, discovery.engine",
            found="learnt, rscript",
            allowed="learnt with the embedded engine; canonical, days or datadriven with R",
            fix="discovery.engine=native, or discovery.covariances=days",
        )
    if cfg.engine == "auto" and cfg.method == "mashr":
        if n_genes == 1:  # R's mashr fails on it
            return "native", ["discovery by the embedded engine: R's mashr takes two genes or more"]
        if cfg.null_correlation == "per_gene":
            return "native", [
                "discovery by the embedded engine: R's mashr takes minutes where each gene has its own error "
                "correlation; discovery.engine=rscript asks for it all the same"
            ]
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


def run_engine(
    engine: str,
    summary: GeneSummary,
    cfg: DiscoveryConfig,
    v: Array | None,
    likelihood: EffectLikelihood | None,
    folder: Path | None,
) -> EngineResult:
    """Shrink; R exchanges its files in a temporary folder within `folder`, the native engine writes none."""
    if engine == "native":
        return run_native(summary.bhat, summary.shat, cfg, v, likelihood)
    with tempfile.TemporaryDirectory(prefix=FOR_R, dir=folder) as exchange:
        result = run_rscript(summary, cfg, Path(exchange), v)
    return result if likelihood is None else replace(result, notes=(*result.notes, ONE_NORMAL))


def check_correlation(v: Array, genes: list[str], n_days: int) -> None:
    """Refuse an error correlation of the wrong shape, or one that is no correlation matrix."""
    n_genes = len(genes)
    if v.shape not in ((n_days, n_days), (n_genes, n_days, n_days)):
        raise DiscoveryError(
            "the error correlation has the wrong shape",
            found=str(v.shape),
            allowed=f"({n_days}, {n_days}) or ({n_genes}, {n_days}, {n_days})",
        )
    unit = np.allclose(np.diagonal(v, axis1=-2, axis2=-1), 1)
    if not np.isfinite(v).all() or not unit or not np.allclose(v, np.swapaxes(v, -1, -2)):
        raise DiscoveryError(
            "the error correlation is no correlation matrix",
            allowed="finite numbers, symmetric, 1 on the diagonal",
        )
    smallest = np.linalg.eigvalsh(v)[..., 0]
    if smallest.min() <= 0:
        raise DiscoveryError(
            "the error correlation is not positive definite",
            where=f"gene {genes[int(smallest.argmin())]}" if v.ndim == 3 else None,
            found=f"smallest eigenvalue {smallest.min():.3g}",
            fix="discovery.null_correlation=identity",
        )

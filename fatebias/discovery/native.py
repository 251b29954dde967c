"""The embedded engine: mash and ash as settings ask for them, with numpy and scipy only."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig
from fatebias.discovery import correlation
from fatebias.discovery.result import EngineResult
from fatebias.mash.ash import ash
from fatebias.mash.covariances import canonical
from fatebias.mash.deconvolution import N_COMPONENTS, data_driven
from fatebias.mash.mash import mash

Array = NDArray[np.float64]

# Genes below this lfsr on some day, each day by itself, are the strong ones of the data-driven patterns.
STRONG_LFSR = 0.1
# mash_1by1, which picks the strong genes in R, has its own prior, whatever mash is given.
STRONG_NULL_WEIGHT = 10.0


def run_native(bhat: Array, shat: Array, cfg: DiscoveryConfig, v: Array | None = None) -> EngineResult:
    """Shrink; `v` replaces ``cfg.null_correlation``, (D, D) or (L, D, D) with each gene's own."""
    null_weight = cfg.nullweight if cfg.prior == "nullbiased" else 1.0
    if cfg.method == "ashr":
        return _ash(bhat, shat, null_weight)
    return _mash(bhat, shat, cfg, null_weight, v)


def _mash(
    bhat: Array, shat: Array, cfg: DiscoveryConfig, null_weight: float, v: Array | None
) -> EngineResult:
    n_days = bhat.shape[1]
    patterns, notes = canonical(n_days), []
    if v is None:
        v = np.eye(n_days)
        if cfg.null_correlation == "simple":
            estimated = correlation.simple(bhat, shat)
            v = estimated.v
            notes += [estimated.note] if estimated.note else []
    if cfg.covariances == "datadriven":
        strong = ash(bhat, shat, STRONG_NULL_WEIGHT).posterior.lfsr.min(axis=1) < STRONG_LFSR
        if min(strong.sum(), n_days) >= N_COMPONENTS:
            patterns |= data_driven(bhat[strong], shat[strong], v if v.ndim == 2 else v[strong])
        else:
            notes.append(
                f"canonical covariances only: {strong.sum()} strong genes on {n_days} day(s), "
                "too few for data-driven ones"
            )
    fit = mash(bhat, shat, v, patterns, null_weight)
    return EngineResult(
        postmean=fit.posterior.mean,
        postsd=fit.posterior.sd,
        lfsr=fit.posterior.lfsr,
        qvalue=None,
        loglik=fit.loglik,
        v=v,
        pi=fit.pi,
        priors=(fit.prior,),
        versions=_versions(),
        notes=tuple(notes),
    )


def _ash(bhat: Array, shat: Array, null_weight: float) -> EngineResult:
    fit = ash(bhat, shat, null_weight)
    return EngineResult(
        postmean=fit.posterior.mean,
        postsd=fit.posterior.sd,
        lfsr=fit.posterior.lfsr,
        qvalue=fit.qvalues,
        loglik=fit.loglik,
        v=None,
        pi=fit.pi,
        priors=tuple(day.prior for day in fit.days),
        versions=_versions(),
        notes=(),
    )


def _versions() -> dict[str, str]:
    return {package: version(package) for package in ("fatebias", "numpy", "scipy")}

"""The embedded engine: mash and ash as settings ask for them, with numpy and scipy only."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig
from fatebias.discovery import correlation
from fatebias.discovery.input import GeneSummary
from fatebias.discovery.outcome import Outcome
from fatebias.mash.ash import ash
from fatebias.mash.covariances import canonical
from fatebias.mash.deconvolution import N_COMPONENTS, data_driven
from fatebias.mash.mash import mash

Array = NDArray[np.float64]

# Genes below this lfsr on some day, each day by itself, are the strong ones of the data-driven patterns.
STRONG_LFSR = 0.1
# mash_1by1, which picks the strong genes in R, has its own prior, whatever mash is given.
STRONG_NULL_WEIGHT = 10.0


def run_native(summary: GeneSummary, cfg: DiscoveryConfig, v: Array | None = None) -> Outcome:
    """Shrink with the embedded engine.

    Parameters
    ----------
    summary
        Daywise effects.
    cfg
        Method, prior, covariances and error correlation.
    v
        Error correlation instead of ``cfg.null_correlation``: (D, D), or (L, D, D) with each gene's own.

    Returns
    -------
    Outcome
        As R's mashr or ashr gives it.
    """
    null_weight = cfg.nullweight if cfg.prior == "nullbiased" else 1.0
    if cfg.method == "ashr":
        return _ash(summary, null_weight)
    return _mash(summary, cfg, null_weight, v)


def _mash(summary: GeneSummary, cfg: DiscoveryConfig, null_weight: float, v: Array | None) -> Outcome:
    bhat, shat = summary.bhat, summary.shat
    patterns, notes = canonical(summary.n_days), []
    if v is None:
        v = np.eye(summary.n_days)
        if cfg.null_correlation == "simple":
            estimated = correlation.simple(bhat, shat)
            v = estimated.v
            notes += [estimated.note] if estimated.note else []
    if cfg.covariances == "datadriven":
        strong = ash(bhat, shat, STRONG_NULL_WEIGHT).posterior.lfsr.min(axis=1) < STRONG_LFSR
        if min(strong.sum(), summary.n_days) >= N_COMPONENTS:
            patterns |= data_driven(bhat[strong], shat[strong], v if v.ndim == 2 else v[strong])
        else:
            notes.append(
                f"canonical covariances only: {strong.sum()} strong genes on {summary.n_days} day(s), "
                "too few for data-driven ones"
            )
    fit = mash(bhat, shat, v, patterns, null_weight)
    return Outcome(
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


def _ash(summary: GeneSummary, null_weight: float) -> Outcome:
    fit = ash(summary.bhat, summary.shat, null_weight)
    return Outcome(
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

"""The embedded engine: `fatebias.mash` with the settings of ``discovery``."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig
from fatebias.discovery.result import EngineResult
from fatebias.mash import EffectLikelihood, ash, estimate_null_correlation, mash

Array = NDArray[np.float64]


def run_native(
    bhat: Array,
    shat: Array,
    cfg: DiscoveryConfig,
    v: Array | None = None,
    likelihood: EffectLikelihood | None = None,
) -> EngineResult:
    """Shrink; `v` replaces ``cfg.null_correlation``, (D, D) or (L, D, D) with each gene's own.

    ``likelihood`` is as in `fatebias.mash.mash`.
    """
    versions = {package: version(package) for package in ("fatebias", "numpy", "scipy")}
    if cfg.method == "ashr":
        by_day = ash(bhat, shat, prior=cfg.prior, nullweight=cfg.nullweight)
        return EngineResult(
            postmean=by_day.mean,
            postsd=by_day.sd,
            lfsr=by_day.lfsr,
            qvalue=by_day.qvalue,
            loglik=by_day.loglik,
            v=None,
            pi=by_day.pi,
            priors=by_day.joint.priors,
            versions=versions,
            notes=by_day.notes,
        )
    notes: tuple[str, ...] = ()
    if v is None and cfg.null_correlation == "simple":
        estimated = estimate_null_correlation(bhat, shat)
        v, notes = estimated.v, (estimated.note,) if estimated.note else ()
    fit = mash(
        bhat,
        shat,
        v=v,
        prior=cfg.prior,
        nullweight=cfg.nullweight,
        covariances=cfg.covariances,
        rank_one=cfg.rank_one,
        likelihood=likelihood,
    )
    return EngineResult(
        postmean=fit.mean,
        postsd=fit.sd,
        lfsr=fit.lfsr,
        qvalue=None,
        loglik=fit.loglik,
        v=fit.v,
        pi=fit.pi,
        priors=fit.joint.priors,
        versions=versions,
        notes=(*notes, *fit.notes),
        exact=fit.joint.exact,
    )

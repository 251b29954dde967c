"""From what an engine found to the table and the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.discovery.calls import large
from fatebias.discovery.engine import call_rule
from fatebias.discovery.input import GeneSummary
from fatebias.discovery.outcome import Discovery, DiscoveryReport, seen_log_lfsr
from fatebias.discovery.ranking import active, with_calls
from fatebias.discovery.result import EngineResult
from fatebias.estimates.days import Days
from fatebias.mash.joint import JointPosterior

Array = NDArray[np.float64]

log = logging.getLogger(__name__)


def concluded(
    summary: GeneSummary,
    result: EngineResult,
    cfg: DiscoveryConfig,
    by: tuple[str, list[str]],
    flips: Array | None,
    notes: Sequence[str],
    begun: float,
    days: Days | None = None,
) -> Discovery:
    """Return table, calls and report of what an engine found; `by`: the engine, and why that one.

    A gene is not called on a day without cells of it: its lfsr there is 1.
    """
    engine, why = by
    own_v = np.eye(summary.n_days) if result.v is None else result.v
    joint = JointPosterior(summary.bhat, summary.shat, own_v, result.priors, result.exact)
    notes = [*result.notes, *notes]
    for note in notes:
        log.warning(note)
    log_lfsr = seen_log_lfsr(joint, days)
    rule = call_rule(cfg)
    table = with_calls(_table(summary, result, joint, log_lfsr, cfg), rule, log_lfsr=log_lfsr)
    called = active(table, rule)
    report = DiscoveryReport(
        engine=engine,
        method=cfg.method,
        versions=result.versions,
        loglik=result.loglik,
        V=None if result.v is None or result.v.ndim == 3 else result.v.tolist(),
        pi=result.pi,
        notes=[*why, *notes],
        seconds=round(time.perf_counter() - begun, 3),
        n_genes=len(summary.genes),
        n_days=summary.n_days,
        n_hits=int(table[names.HIT_ANYDAY].sum()),
        n_calls=int(called.sum()),
        expected_false=float(np.exp(log_lfsr[called]).sum()),
    )
    return Discovery(table, joint, report, cfg, flips, days)


def _table(
    summary: GeneSummary, result: EngineResult, joint: JointPosterior, log_lfsr: Array, cfg: DiscoveryConfig
) -> pd.DataFrame:
    """Name every quantity by day; the lfsr are the joint posterior's, whichever engine fitted the prior."""
    parts: list[tuple[str, Array]] = [
        (names.BETAHAT, summary.bhat),
        (names.SE, summary.shat),
        (names.POSTMEAN, result.postmean),
        (names.POSTSD, result.postsd),
        (names.LFSR, np.exp(log_lfsr)),
    ]
    if result.qvalue is not None:
        parts.append((names.QVALUE, result.qvalue))
    parts.append((names.PLARGE, large(joint, cfg.effect_size_eps)))
    by_day = {f"{prefix}{d}": values[:, d] for prefix, values in parts for d in range(summary.n_days)}
    return pd.DataFrame({names.GENE: summary.genes, **by_day})

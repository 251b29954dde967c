"""Discovery in memory: from daywise effects to shrunken effects, calls and their order."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.contrasts import Contrast, parse_contrast, parse_contrasts
from fatebias.discovery.calls import call_table, large
from fatebias.discovery.correlation import error_correlation, exact_likelihood
from fatebias.discovery.engine import call_rule, check_correlation, choose_engine, run_engine
from fatebias.discovery.input import GeneSummary, summary_of
from fatebias.discovery.ranking import CallRule, active, rank, with_calls
from fatebias.discovery.result import EngineResult
from fatebias.errors import DiscoveryError, some
from fatebias.estimates.estimates import GeneEstimates
from fatebias.files.outputs import PLACES
from fatebias.mash.effect_likelihood import EffectLikelihood
from fatebias.mash.joint import JointPosterior

Array = NDArray[np.float64]

log = logging.getLogger(__name__)

OTHER_ESTIMATES = (
    f"estimates are not those of {PLACES['posterior']}: each gene's error is taken as one normal, without "
    "guesses about its guides"
)


@dataclass(frozen=True)
class DiscoveryReport:
    """How the effects were shrunk; plain values, fit for run.json."""

    engine: str  # rscript or native, whichever did the work
    method: str  # mashr or ashr
    versions: dict[str, str]  # of R and its packages, or of fatebias, numpy and scipy
    loglik: float  # under the fitted mixture, summed over genes (ashr: and days)
    V: list[list[float]] | None  # error correlation of days; None for ashr and where each gene has its own
    pi: dict[str, float]  # mixture weights above zero by component
    notes: list[str]  # why this engine, and what else the user should know
    seconds: float  # wall time
    n_genes: int
    n_days: int
    n_hits: int
    n_calls: int  # of a gene on a day
    expected_false: float  # of the calls, by their own lfsr: the sum of it


@dataclass(frozen=True)
class Discovery:
    """Shrunken effects and calls of one contrast, L genes on D days.

    Attributes
    ----------
    table
        One row a gene, in the order given: ``gene``; ``betahat_d*``, ``se_d*`` as given and ``postmean_d*``,
        ``postsd_d*`` after shrinkage, in logits; ``lfsr_d*`` and for ashr ``qvalue_d*``; ``plarge_d*``, the
        probability of an effect beyond ``discovery.effect_size_eps``; ``lfsr_min``, ``best_day`` and
        ``hit_anyday`` (bool).
    joint
        The posterior jointly over days.
    report
        Engine, log-likelihood, mixture weights, notes and sizes.
    settings
        The settings of ``discovery`` used.
    flips
        Probability of a sign change over days before shrinkage, (L,); None where it is unknown.
    """

    table: pd.DataFrame
    joint: JointPosterior
    report: DiscoveryReport
    settings: DiscoveryConfig
    flips: Array | None = None

    @property
    def rule(self) -> CallRule:
        """What makes a call."""
        return call_rule(self.settings)

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The table with hits first, the surest at the top (``hits_ranked.csv``)."""
        return rank(self.table, self.rule, log_lfsr=self.joint.log_lfsr)

    @cached_property
    def calls(self) -> pd.DataFrame:
        """Days, peak, course and sign changes, in the order of `ranked` (``gene_calls.csv``)."""
        cfg = self.settings
        table = call_table(self.table, self.joint, self.rule, cfg.effect_size_eps, cfg.seed, self.flips)
        return table.set_index(names.GENE).loc[self.ranked[names.GENE]].reset_index()


def discover_table(
    genes: Sequence[str],
    bhat: Array,
    shat: Array,
    cfg: DiscoveryConfig,
    *,
    v: Array | None = None,
    likelihood: EffectLikelihood | None = None,
    folder: Path | None = None,
) -> Discovery:
    """Shrink daywise effects and call genes.

    Parameters
    ----------
    genes
        Names, L of them, each once.
    bhat, shat
        Estimates and standard errors in logits, (L, D); finite, `shat` above zero.
    cfg
        Method, engine and thresholds.
    v
        Correlation of errors between days in place of ``cfg.null_correlation``: (D, D) for all genes, or
        (L, D, D); symmetric, 1 on the diagonal, positive definite. Mash only.
    likelihood
        What the data say of the effects where that is several normals a gene, as in `fatebias.mash.mash`.
        Embedded engine only.
    folder
        Where the R engine exchanges its files, in a temporary folder; None for the system's own.

    Returns
    -------
    Discovery
        In the order of `genes`.

    Raises
    ------
    DiscoveryError
        When a value cannot be used, or the engine asked for does not answer or fails.

    Examples
    --------
    >>> import numpy as np
    >>> from fatebias.config import DiscoveryConfig
    >>> bhat = np.array([[2.0, 1.8], [0.1, -0.1], [0.0, 0.2]])
    >>> settings = DiscoveryConfig(engine="native")
    >>> found = discover_table(["KLF4", "A", "B"], bhat, np.full((3, 2), 0.2), settings)
    >>> list(found.ranked["gene"])[0]
    'KLF4'
    """
    return discover_summary(summary_of(genes, bhat, shat), cfg, v=v, likelihood=likelihood, folder=folder)


def discover_summary(
    summary: GeneSummary,
    cfg: DiscoveryConfig,
    *,
    v: Array | None = None,
    likelihood: EffectLikelihood | None = None,
    flips: Array | None = None,
    notes: Sequence[str] = (),
    folder: Path | None = None,
) -> Discovery:
    """Shrink and call checked effects; `notes` join those of the report."""
    begun = time.perf_counter()
    if v is not None:
        check_correlation(v, summary.genes, summary.n_days)
    engine, why = choose_engine(cfg, len(summary.genes))
    for note in why:
        log.info(note)
    result = run_engine(engine, summary, cfg, v, likelihood, folder)
    own_v = np.eye(summary.n_days) if result.v is None else result.v
    joint = JointPosterior(summary.bhat, summary.shat, own_v, result.priors, result.exact)
    notes = [*result.notes, *notes]
    for note in notes:
        log.warning(note)
    log_lfsr = joint.log_lfsr
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
    return Discovery(table, joint, report, cfg, flips)


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


def all_contrasts(cfg: DiscoveryConfig, fates: Sequence[str], own: str) -> list[Contrast]:
    """Return the screen's own contrast and those of ``discovery.contrasts``; `fates`: reference first."""
    further = parse_contrasts(cfg.contrasts, fates, fates[0], own)
    return [parse_contrast(own, fates, fates[0]), *further]


def discover_contrasts(
    estimates: GeneEstimates,
    fates: Sequence[str],
    genes: Sequence[str],
    cfg: DiscoveryConfig,
    *,
    contrast: str,
    se: str = "posterior",
    own: GeneSummary | None = None,
    folder: Path | None = None,
) -> Iterator[tuple[Contrast, Discovery]]:
    """Discover the screen's own contrast, then each of ``cfg.contrasts``, as they are asked for.

    Parameters
    ----------
    estimates
        Of all non-reference fates, from one fit.
    fates
        Names, the reference first.
    genes
        Names, in the order of `estimates`.
    cfg
        Method, engine, thresholds and further contrasts.
    contrast
        The fate whose contrast with the reference the screen is about.
    se
        ``export.se`` of the fit; under ``sandwich`` each gene's own error correlation replaces ``simple``.
    own
        Effects of the screen's own contrast as a file has them, in place of those of `estimates`; its genes
        are found by name.
    folder
        As in `discover_table`.

    Yields
    ------
    Contrast, Discovery
        One contrast at a time.

    Raises
    ------
    ConfigError
        When a contrast is none of the fates.
    DiscoveryError
        As `discover_table`, and when `own` has genes that are not in `genes`.
    """
    flip = estimates.flip
    for i, each in enumerate(all_contrasts(cfg, fates, contrast)):
        given = estimates.contrast(each.weights(fates))
        covariance, likelihood = given.covariance, exact_likelihood(cfg, se, given.likelihood)
        notes: list[str] = []
        flips = flip[:, fates.index(each.fate), fates.index(each.against)]
        if i == 0 and own is not None:
            summary, rows = own, rows_of(own, genes)
            covariance, flips = covariance[rows], flips[rows]
            if likelihood is not None:
                same = same_estimates(own, given.betahat[rows])
                likelihood, notes = (likelihood.at(rows), notes) if same else (None, [OTHER_ESTIMATES])
        else:
            summary = summary_of(genes, given.betahat, given.se)
        correlation = error_correlation(cfg, se, covariance)
        v, note = (None, None) if correlation is None else (correlation.v, correlation.note)
        notes += [note] if note else []
        yield (
            each,
            discover_summary(
                summary, cfg, v=v, likelihood=likelihood, flips=flips, notes=notes, folder=folder
            ),
        )


def same_estimates(own: GeneSummary, betahat: Array) -> bool:
    """Return whether a table has the estimates of the fit beside it, but for digits."""
    return own.bhat.shape == betahat.shape and np.allclose(own.bhat, betahat, rtol=1e-4, atol=1e-6)


def rows_of(summary: GeneSummary, genes: Sequence[str]) -> list[int]:
    """Return the place of each of the summary's genes among `genes`."""
    row = {gene: i for i, gene in enumerate(genes)}
    unknown = [gene for gene in summary.genes if gene not in row]
    if unknown:
        raise DiscoveryError(
            "the table has genes that the fit beside it does not know",
            where=summary.where,
            found=some(unknown),
            allowed=f"genes of {PLACES['posterior']}",
            fix=f"fit again, or take {PLACES['posterior']} away where the table is of another fit",
        )
    return [row[gene] for gene in summary.genes]

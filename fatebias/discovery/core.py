"""Discovery in memory: from daywise effects to shrunken effects, calls and their order."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig
from fatebias.contrasts import Contrast, parse_contrast, parse_contrasts
from fatebias.discovery.conclude import concluded
from fatebias.discovery.correlation import error_correlation, exact_likelihood
from fatebias.discovery.engine import check_correlation, choose_engine, run_engine
from fatebias.discovery.input import GeneSummary, summary_of
from fatebias.discovery.outcome import Discovery
from fatebias.discovery.together import fit_together
from fatebias.errors import DiscoveryError, some
from fatebias.estimates.days import Days
from fatebias.estimates.estimates import GeneEstimates
from fatebias.files.outputs import PLACES
from fatebias.mash.effect_likelihood import EffectLikelihood

Array = NDArray[np.float64]

log = logging.getLogger(__name__)

OTHER_ESTIMATES = (
    f"estimates are not those of {PLACES['posterior']}: each gene's error is taken as one normal, without "
    "guesses about its guides"
)


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
    days: Days | None = None,
) -> Discovery:
    """Shrink and call checked effects, one contrast alone; `notes` join those of the report."""
    begun = time.perf_counter()
    if v is not None:
        check_correlation(v, summary.genes, summary.n_days)
    engine, why = choose_engine(cfg, len(summary.genes))
    for note in why:
        log.info(note)
    result = run_engine(engine, summary, cfg, v, likelihood, folder)
    return concluded(summary, result, cfg, (engine, why), flips, notes, begun, days)


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
    flips: bool = True,
    folder: Path | None = None,
) -> Iterator[tuple[Contrast, Discovery]]:
    """Discover the screen's own contrast, then each of ``cfg.contrasts``, as they are asked for.

    Each contrast has its own mixture, or (``cfg.fates=together``) all follow from one over all fates.

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
        are found by name. Under ``fates=together`` its estimates must be those, and its genes are all there
        are.
    flips
        Whether to say how likely a change of sign is before shrinkage.
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
    flip = estimates.flip if flips else None
    wanted = all_contrasts(cfg, fates, contrast)
    if cfg.fates == "together" and cfg.method == "mashr" and estimates.mean.shape[1] > 1:
        yield from _together(estimates, fates, genes, cfg, wanted, flip, se, own, folder)
        return
    for i, each in enumerate(wanted):
        given, changes, notes = estimates, _changes(flip, each, fates), []
        if i == 0 and own is not None:
            rows = rows_of(own, genes)
            given, changes = estimates.at(rows), None if changes is None else changes[rows]
        effects = given.contrast(each.weights(fates))
        likelihood = exact_likelihood(cfg, se, effects.likelihood)
        summary = summary_of(genes, effects.betahat, effects.se) if i or own is None else own
        if likelihood is not None and summary is own and not same_estimates(own, effects.betahat):
            likelihood, notes = None, [OTHER_ESTIMATES]
        correlation = error_correlation(cfg, se, effects.covariance)
        v, note = (None, None) if correlation is None else (correlation.v, correlation.note)
        notes += [note] if note else []
        found = discover_summary(
            summary, cfg, v=v, likelihood=likelihood, flips=changes, notes=notes, folder=folder,
            days=given.days,
        )  # fmt: skip
        yield each, found


def _changes(flip: Array | None, contrast: Contrast, fates: Sequence[str]) -> Array | None:
    """Return the probability that a contrast changes sign over days, (L,), of `GeneEstimates.flip`."""
    return None if flip is None else flip[:, fates.index(contrast.fate), fates.index(contrast.against)]


def _together(
    estimates: GeneEstimates,
    fates: Sequence[str],
    genes: Sequence[str],
    cfg: DiscoveryConfig,
    wanted: Sequence[Contrast],
    flip: Array | None,
    se: str,
    own: GeneSummary | None,
    folder: Path | None,
) -> Iterator[tuple[Contrast, Discovery]]:
    """Discover contrasts from one mixture over all fates, of the genes of `own` where it is given."""
    begun = time.perf_counter()
    if own is not None:
        rows = rows_of(own, genes)
        estimates, genes = estimates.at(rows), own.genes
        flip = None if flip is None else flip[rows]
        if not same_estimates(own, estimates.contrast(wanted[0].weights(fates)).betahat):
            raise DiscoveryError(
                "the table has other estimates than the fit beside it",
                where=own.where,
                allowed=f"the estimates of {PLACES['posterior']}, which has those of all fates",
                fix="discovery.fates=alone, or fit again",
            )
    fit = fit_together(estimates, fates, genes, cfg, se, folder)
    for note in fit.why:
        log.info(note)
    for each in wanted:
        given = estimates.contrast(each.weights(fates))
        summary = summary_of(genes, given.betahat, given.se)
        if own is not None and each is wanted[0]:
            summary = own
        result, changes = fit.of(each.weights(fates)), _changes(flip, each, fates)
        yield each, concluded(summary, result, cfg, (fit.engine, fit.why), changes, (), begun, estimates.days)


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

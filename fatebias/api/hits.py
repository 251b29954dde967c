"""Hits from Python: effects are shared between days by mash, called and ranked, in memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fatebias.api.settings import make_config

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from fatebias.api.results import FitResult
    from fatebias.discovery.outcome import Discovery, DiscoveryReport
    from fatebias.discovery.ranking import CallRule


@dataclass(frozen=True)
class Hits:
    """Ranked genes of one contrast.

    Attributes
    ----------
    table
        All L genes, the surest first, as in ``hits_ranked.csv``: ``gene``; ``betahat_d*``, ``se_d*``
        (estimate and standard error, logits); ``postmean_d*``, ``postsd_d*`` (after sharing between days);
        ``lfsr_d*`` (probability that the sign is wrong); ``plarge_d*``, ``lfsr_min``, ``best_day``,
        ``hit_anyday``.
    calls
        In the same order, as in ``gene_calls.csv``: active days, peak, time course, sign changes, the least
        effect that would have been called.
    report
        Engine, log-likelihood, mixture weights, notes, number of hits.
    contrast
        The fate and the one that it is compared with.
    day_labels
        Label of day number d in the columns' names.
    rule
        What makes a call.
    further
        Hits of further contrasts by name; by default of each other fate against the reference.
    """

    table: pd.DataFrame
    calls: pd.DataFrame
    report: DiscoveryReport
    contrast: tuple[str, str]
    day_labels: tuple[str, ...]
    rule: CallRule
    further: dict[str, Hits] = field(default_factory=dict)


def discover(fit: FitResult, **settings: Any) -> Hits:
    """Return ranked genes with local false sign rates, by mash over days.

    Parameters
    ----------
    fit
        From `fatebias.fit` or `fatebias.load`.
    **settings
        Settings of ``conf/discovery`` by name, over those that the fit was given with its preset:
        ``engine="native"``, ``null_correlation="fit"``, ``mash_lfsr_thresh=0.01``, ``contrasts=["NEU"]``, ...

    Returns
    -------
    Hits
        Tables, report, further contrasts.

    Raises
    ------
    ConfigError
        For a setting that does not exist, a value that cannot be used, a contrast that is none of the fates.
    DiscoveryError
        When the engine asked for does not answer, or fails.

    Examples
    --------
    >>> import fatebias as fb
    >>> hits = fb.discover(fb.load("results"), engine="native")  # doctest: +SKIP
    >>> hits.table[["gene", "lfsr_min"]].head()  # doctest: +SKIP

    Method: Urbut et al. 2019 (doi 10.1038/s41588-018-0268-8).
    """
    from fatebias.api.results import FitResult
    from fatebias.discovery.core import discover_contrasts

    if not isinstance(fit, FitResult):
        raise TypeError("discover takes a fit: fatebias.fit(screen), or fatebias.load(folder)")
    own = {**dataclasses.asdict(fit.config.discovery), **settings}
    cfg = make_config(data=fit.config.data, discovery=own).discovery
    days = tuple(fit.screen["day_labels"])
    found = discover_contrasts(
        fit.estimates,
        fit.screen["fates"],
        list(fit.effects["gene"]),
        cfg,
        contrast=fit.screen["contrast"],
        se=fit.config.export.se,
    )
    (first, main), *others = found
    further = {each.name: _hits(below, (each.fate, each.against), days) for each, below in others}
    return dataclasses.replace(_hits(main, (first.fate, first.against), days), further=further)


def _hits(found: Discovery, contrast: tuple[str, str], day_labels: tuple[str, ...]) -> Hits:
    return Hits(found.ranked, found.calls, found.report, contrast, day_labels, found.rule)


def to_anndata(hits: Hits, adata: AnnData) -> None:
    """Write the gene tables to ``adata.uns['fatebias']``, in place of those that are there.

    Parameters
    ----------
    hits
        From `fatebias.discover`.
    adata
        Any AnnData; its cells are not looked at. A view becomes a copy, as with any change of a view.

    Notes
    -----
    The keys are ``hits`` and ``calls`` (tables), ``contrast``, ``day_labels``, ``engine``, ``method``,
    ``rule``, and ``contrasts`` with the same for each further one.

    Examples
    --------
    >>> import fatebias as fb
    >>> fb.to_anndata(hits, adata)  # doctest: +SKIP
    >>> adata.uns["fatebias"]["hits"].head()  # doctest: +SKIP
    """
    adata.uns["fatebias"] = _as_uns(hits)


def _as_uns(hits: Hits) -> dict[str, Any]:
    import numpy as np

    def table(content: pd.DataFrame) -> pd.DataFrame:
        # .h5ad takes strings as index and columns, and no column of mixed kinds
        text = content.select_dtypes("object").columns
        return content.astype(dict.fromkeys(text, str)).set_axis([str(i) for i in range(len(content))])

    return {
        "hits": table(hits.table),
        "calls": table(hits.calls),
        "contrast": np.array(hits.contrast, dtype=object),
        "day_labels": np.array(hits.day_labels, dtype=object),
        "engine": hits.report.engine,
        "method": hits.report.method,
        "rule": hits.rule.summary_line(len(hits.day_labels)),
        "contrasts": {name: _as_uns(further) for name, further in hits.further.items()},
    }

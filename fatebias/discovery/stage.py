"""From the files of a fit to ranked hits, for the screen's contrast and for further ones.

Needs neither the screen nor torch: a fit on a cluster is judged on a laptop.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.contrasts import Contrast, parse_contrast, parse_contrasts
from fatebias.errors import DiscoveryError, some
from fatebias.estimates.estimates import ContrastEstimates, SavedFit, read_fit
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths, prepare_out_dir, set_aside

log = logging.getLogger(__name__)


def discover(
    cfg: DiscoveryConfig, paths: RunPaths, screen: Mapping[str, Any], se: str = "posterior"
) -> dict[str, Any]:
    """Shrink, call, rank and draw; the plain settings need nothing but ``gene_summary_for_mash.csv``.

    The fit's own error correlation (``null_correlation: fit`` or ``per_gene``) and further contrasts come
    from ``posterior.npz``.

    Parameters
    ----------
    cfg
        Method, engine, thresholds and contrasts.
    paths
        Where to read and write.
    screen
        What `stages.describe_screen` said; empty when only the table is there.
    se
        ``export.se`` of the fit.

    Returns
    -------
    dict
        What run.json is to say of it; further contrasts under ``contrasts``.

    Raises
    ------
    DiscoveryError, OutputError
        When a file cannot be used, the engine fails, or a file could not be written.
    ConfigError
        When a contrast is none of the fit's fates.
    """
    saved = _saved(cfg, paths, se)
    own = None if saved is None else parse_contrast(saved.contrast, saved.fates, saved.fates[0])
    further: list[Contrast] = []
    if saved is not None:
        further = parse_contrasts(cfg.contrasts, saved.fates, saved.fates[0], saved.contrast)
    kept = {paths.contrast(contrast.name).root for contrast in further}
    if paths.contrasts.is_dir():
        set_aside(paths, [folder for folder in sorted(paths.contrasts.iterdir()) if folder not in kept])
    report = _discover_one(cfg, paths, screen, se, saved, own)
    if further:
        report["contrasts"] = {}
    for contrast in further:
        assert saved is not None
        below = prepare_out_dir(paths.contrast(contrast.name).root)
        _write_summary(_export(saved, contrast), saved, below)
        log.info("contrast %s", contrast.name)
        found = _discover_one(cfg, below, screen, se, saved, contrast)
        report["contrasts"][contrast.name] = {key: found[key] for key in ("n_hits", "loglik", "notes")}
    return report


def _saved(cfg: DiscoveryConfig, paths: RunPaths, se: str) -> SavedFit | None:
    """Read the fit where it is needed, or where it is there."""
    because = None
    if cfg.method == "mashr" and cfg.null_correlation in ("fit", "per_gene"):
        because = f"discovery.null_correlation={cfg.null_correlation}"
    elif cfg.method == "mashr" and se == "sandwich":
        because = f"export.se={se}"
    elif cfg.contrasts:
        because = f"discovery.contrasts=[{','.join(cfg.contrasts)}]"
    try:
        return read_fit(paths.posterior, because or "p_flip_fit")
    except DiscoveryError as error:
        if because is not None:
            raise
        if paths.posterior.exists():
            log.warning("%s", error)
        return None


def _export(saved: SavedFit, contrast: Contrast) -> ContrastEstimates:
    return saved.estimates.contrast(contrast.weights(saved.fates))


def _write_summary(given: ContrastEstimates, saved: SavedFit, paths: RunPaths) -> None:
    from fatebias.estimates.tables import gene_table

    with atomic_path(paths.gene_summary) as draft:
        gene_table(given.betahat, given.se, saved.gene_names).to_csv(draft, index=False)


def _discover_one(
    cfg: DiscoveryConfig,
    paths: RunPaths,
    screen: Mapping[str, Any],
    se: str,
    saved: SavedFit | None,
    contrast: Contrast | None,
) -> dict[str, Any]:
    """Judge the ``gene_summary_for_mash.csv`` of one folder."""
    from fatebias import pl
    from fatebias.discovery import engine
    from fatebias.discovery.calls import call_table
    from fatebias.discovery.correlation import error_correlation
    from fatebias.discovery.ranking import rank
    from fatebias.discovery.tables import read_table
    from fatebias.pl.save import save_png

    covariance, flips = None, None
    if saved is not None and contrast is not None:
        place = _places(saved, paths)
        covariance = _export(saved, contrast).covariance[place]
        flips = saved.flips(contrast)[place]
    correlation = error_correlation(cfg, se, covariance)
    v = None if correlation is None else correlation.v
    report, effects = engine.discover(paths.gene_summary, paths.mash_out, cfg, v)
    if correlation is not None and correlation.note:
        log.warning(correlation.note)
        report = dataclasses.replace(report, notes=[*report.notes, correlation.note])
    rule = engine.call_rule(cfg)
    table = read_table(paths.mash_out, fix="run again with resume=false")  # as text: a gene may be called NA
    calls = call_table(table, effects, rule, cfg.effect_size_eps, cfg.seed, flips)
    ranked = rank(table, rule, where=paths.mash_out)
    calls = calls.set_index(names.GENE).loc[ranked[names.GENE]].reset_index()
    for result, final in ((ranked, paths.hits), (calls, paths.calls)):
        with atomic_path(final) as draft:
            result.to_csv(draft, index=False)
    labels = screen.get("day_labels") or []
    drawn = pl.hits(
        ranked,
        day_labels=labels if len(labels) == report.n_days else None,
        contrast=_fates(screen, contrast),
        rule=rule,
    )
    save_png(drawn, paths.hits_plot)
    return dataclasses.asdict(report)


def _places(saved: SavedFit, paths: RunPaths) -> list[int]:
    """Find the genes of the table in the fit, by name."""
    from fatebias.discovery.input import read_summary

    number = {gene: place for place, gene in enumerate(saved.gene_names)}
    genes = read_summary(paths.gene_summary).genes
    unknown = [gene for gene in genes if gene not in number]
    if unknown:
        raise DiscoveryError(
            "the table has genes that the fit beside it does not know",
            where=paths.gene_summary,
            found=some(unknown),
            allowed=f"genes of {names.POSTERIOR_NPZ}",
            fix=f"fit again, or take {names.POSTERIOR_NPZ} away where the table is of another fit",
        )
    return [number[gene] for gene in genes]


def _fates(screen: Mapping[str, Any], contrast: Contrast | None) -> tuple[str | None, str | None]:
    """Name the two sides of the logit, for the picture."""
    if contrast is not None:
        return contrast.fate, contrast.against
    return screen.get("contrast"), (screen.get("fates") or [None])[0]

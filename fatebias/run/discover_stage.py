"""Discovery from the files of a fit: read, discover in memory, write.

Needs neither the screen nor torch, so a fit made on a cluster can be judged on a laptop.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.contrasts import ALL
from fatebias.discovery.core import all_contrasts, discover_contrasts, discover_summary
from fatebias.discovery.input import read_summary
from fatebias.discovery.outcome import Discovery
from fatebias.errors import DiscoveryError
from fatebias.estimates.days import Days, plain_days
from fatebias.estimates.estimates import SavedFit, read_fit, saved_fates
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths, prepare_out_dir, set_aside

log = logging.getLogger(__name__)

# What run.json keeps of each further contrast.
OF_A_CONTRAST = ("n_hits", "n_calls", "expected_false", "loglik", "notes")


def discover(
    cfg: DiscoveryConfig,
    paths: RunPaths,
    *,
    se: str = "posterior",
    day_labels: Sequence[object] = (),
    fate: str | None = None,
    against: str | None = None,
    settings: str | None = None,
) -> dict[str, Any]:
    """Return what run.json says of the discovery, after writing its tables and pictures.

    ``gene_summary_for_mash.csv`` is enough for the plain settings; the fit's own error correlation
    (``null_correlation: fit`` or ``per_gene``), further contrasts and ``fates: together`` take
    ``posterior.npz``. `se`, `day_labels` and the screen's own contrast, `fate` against `against`, are what
    the fit says; `settings` is a line for the pictures.
    """
    saved = _saved(cfg, paths, se)
    contrasts = [] if saved is None else all_contrasts(cfg, saved.fates, saved.contrast)
    folders = [paths] + [paths.contrast(each.name) for each in contrasts[1:]]
    kept = {each.root for each in folders[1:]}
    if paths.contrasts.is_dir():
        set_aside(paths, [folder for folder in sorted(paths.contrasts.iterdir()) if folder not in kept])
    own = read_summary(paths.gene_summary)
    if saved is None:
        labels = tuple(map(str, day_labels))
        days = Days(labels) if len(labels) == own.n_days else plain_days(own.n_days)
        found = discover_summary(own, cfg, folder=paths.root, days=days)
        _write(found, paths, own.table, fate, against, settings)
        return dataclasses.asdict(found.report)
    run = discover_contrasts(
        saved.estimates, saved.fates, saved.gene_names, cfg,
        contrast=saved.contrast, se=se, own=own, folder=paths.root,
    )  # fmt: skip
    report: dict[str, Any] = {}
    for (contrast, found), below in zip(run, folders, strict=True):
        given = own.table
        told = dataclasses.asdict(found.report)
        if below is paths:
            report = told | ({"contrasts": {}} if len(contrasts) > 1 else {})
        else:
            log.info("contrast %s", contrast.name)
            prepare_out_dir(below.root)
            given = found.table[list(own.table)]
            _write_csv(given, below.gene_summary)
            report["contrasts"][contrast.name] = {key: told[key] for key in OF_A_CONTRAST}
        _write(found, below, given, contrast.fate, contrast.against, settings)
    return report


def outputs(cfg: DiscoveryConfig, paths: RunPaths) -> list[Path]:
    """Return the paths of all files that `discover` writes for the fit in the folder."""
    fates = saved_fates(paths.posterior)
    further = [] if fates is None else all_contrasts(cfg, *fates)[1:]
    return paths.discovery([each.name for each in further])


def write_mash_out(found: Discovery, given: pd.DataFrame, final: Path) -> None:
    """Write `Discovery.table`; `given` has genes, estimates and errors with the digits of their file."""
    _write_csv(_with_digits(found.table, given), final)


def _with_digits(table: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    # A file's own digits (0.10) leave as they came.
    text = given.set_index(names.GENE, drop=False).loc[table[names.GENE]]
    return table.assign(**{str(column): text[column].to_numpy() for column in given})


def _write(
    found: Discovery,
    paths: RunPaths,
    given: pd.DataFrame,
    fate: str | None,
    against: str | None,
    settings: str | None,
) -> None:
    from fatebias import pl
    from fatebias.pl.save import save_png

    write_mash_out(found, given, paths.mash_out)
    _write_csv(_with_digits(found.ranked, given), paths.hits)
    _write_csv(found.calls, paths.calls)
    labels = None if found.days is None else found.days.labels
    drawn = pl.hits(
        found.ranked, day_labels=labels, contrast=(fate, against), rule=found.rule, settings=settings
    )
    save_png(drawn, paths.hits_plot)


def _write_csv(table: pd.DataFrame, final: Path) -> None:
    with atomic_path(final) as draft:
        table.to_csv(draft, index=False)


def _saved(cfg: DiscoveryConfig, paths: RunPaths, se: str) -> SavedFit | None:
    """Read the fit; without one, None where the settings can do without."""
    because = None
    if cfg.method == "mashr" and cfg.null_correlation in ("fit", "per_gene"):
        because = f"discovery.null_correlation={cfg.null_correlation}"
    elif cfg.method == "mashr" and cfg.fates == "together":
        because = f"discovery.fates={cfg.fates}"
    elif cfg.method == "mashr" and se == "sandwich":
        because = f"export.se={se}"
    elif set(cfg.contrasts) - {ALL}:  # of all, what there is
        because = f"discovery.contrasts=[{','.join(cfg.contrasts)}]"
    try:
        return read_fit(paths.posterior, because or "p_flip_fit")
    except DiscoveryError as error:
        if because is not None:
            raise
        if paths.posterior.exists():
            log.warning("%s", error)
        return None

"""What is known of each gene whatever the contrast, from the tables of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias import names
from fatebias.report.content import ContrastResults, Estimate, Gene, Guide, Replicate
from fatebias.report.results import by_day, numbers
from fatebias.report.run_files import RunFiles

if TYPE_CHECKING:
    import pandas as pd


def all_genes(run: RunFiles, contrasts: list[ContrastResults]) -> dict[str, Gene]:
    """Return what is known of each gene, in the order of the first contrast."""
    n_days = int(run.discovery["n_days"])
    counted: dict[str, Any] = {}
    if run.screen is not None:
        counted = run.screen["genes"]["guides_and_cells"]
    guides = _guides(run, contrasts[0], n_days)
    fates = _fates(run, contrasts[0].fate, n_days)
    k_hat = _k_hat(run)
    replicates = _replicates(run, contrasts[0], n_days)
    found = {}
    for name in contrasts[0].genes:
        entry = counted.get(name, {})
        found[name] = Gene(
            name=name,
            cells=entry.get("cells"),
            cells_by_day=tuple(entry.get("cells_by_day", ())),
            guides=guides.get(name, ()),
            fates={fate: tuple(values[name]) for fate, values in fates.items() if name in values},
            k_hat=k_hat.get(name),
            replicates=replicates.get(name, ()),
            mean=_means(run, entry),
        )
    return found


def _guides(run: RunFiles, own: ContrastResults, n_days: int) -> dict[str, tuple[Guide, ...]]:
    """Return the guides of each gene."""
    if run.guides is None:
        return {}
    estimates = _estimates(names.GUIDE, run.guides, run.guides_other_fates, own, n_days)
    inactive = numbers(run.guides[names.P_INACTIVE]) if names.P_INACTIVE in run.guides else None
    found: dict[str, list[Guide]] = {}
    for row, (guide, gene, cells) in enumerate(
        zip(run.guides[names.GUIDE], run.guides[names.GENE], run.guides[names.CELLS], strict=True)
    ):
        share = None if inactive is None or np.isnan(inactive[row]) else float(inactive[row])
        one = Guide(str(guide), int(cells), estimates[gene, str(guide)], share)
        found.setdefault(gene, []).append(one)
    return {gene: tuple(each) for gene, each in found.items()}


def _replicates(run: RunFiles, own: ContrastResults, n_days: int) -> dict[str, tuple[Replicate, ...]]:
    """Return what each replicate alone says of each gene."""
    if run.replicates is None or not len(run.replicates):
        return {}
    estimates = _estimates(names.REPLICATE, run.replicates, run.replicates_other_fates, own, n_days)
    cells = by_day(run.replicates, names.CELLS_BY_DAY, n_days)
    found: dict[str, list[Replicate]] = {}
    for row, (gene, name) in enumerate(
        zip(run.replicates[names.GENE], run.replicates[names.REPLICATE], strict=True)
    ):
        one = Replicate(str(name), int(cells[row].sum()), estimates[gene, str(name)])
        found.setdefault(gene, []).append(one)
    return {gene: tuple(each) for gene, each in found.items()}


def _estimates(
    part: str, table: pd.DataFrame, others: pd.DataFrame | None, own: ContrastResults, n_days: int
) -> dict[tuple[str, str], dict[tuple[str, str], Estimate]]:
    """Return estimates by gene and name of a guide or replicate (the column `part`), then by contrast.

    `others` has those of further fates against the reference, which is what the own contrast is against.
    """
    found: dict[tuple[str, str], dict[tuple[str, str], Estimate]] = {}
    tables = [table] if others is None or not len(others) else [table, others]
    for each in tables:
        fates = each[names.FATE] if names.FATE in each else [own.fate] * len(each)
        betahat, se = (by_day(each, prefix, n_days) for prefix in (names.BETAHAT, names.SE))
        for row, (gene, name, fate) in enumerate(zip(each[names.GENE], each[part], fates, strict=True)):
            one = Estimate(tuple(betahat[row]), tuple(se[row]))
            found.setdefault((gene, str(name)), {})[str(fate), own.against] = one
    return found


def _means(run: RunFiles, entry: dict[str, Any]) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return mean fate probabilities by day with and without a guide of the gene."""
    of_gene = entry.get("mean_probability")
    everyone = (run.screen or {}).get("fates", {}).get("mean_probability_by_day")
    if not of_gene or not everyone or run.screen is None:
        return {}
    total = np.array([sum(row.values()) for row in run.screen["cells_by_day_and_replicate"].values()])
    held = np.array(entry["cells_by_day"], dtype=float)
    found = {}
    for fate, values in of_gene.items():
        own = np.array(values, dtype=float)  # NaN on a day without cells
        rest = total * np.array(everyone[fate], dtype=float) - np.where(held > 0, held * own, 0.0)
        found[fate] = (tuple(own), tuple(rest / np.maximum(total - held, 1)))
    return found


def _fates(run: RunFiles, own: str, n_days: int) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return, by fate and gene, the change of the fate's probability on each day."""
    if run.marginal is None:
        return {}
    found = {}
    for fate in run.fit.get("screen", {}).get("fates", []):
        prefix = f"{names.AME}d" if fate == own else f"{names.AME}{fate}_d"
        if f"{prefix}0" in run.marginal:
            values = by_day(run.marginal, prefix, n_days)
            found[fate] = dict(zip(run.marginal[names.GENE], values, strict=True))
    return found


def _k_hat(run: RunFiles) -> dict[str, float]:
    """Return each gene's k-hat, the larger of the fit's and the exported fit's."""
    diagnostics = run.fit.get("diagnostics", {})
    genes = [] if run.marginal is None else list(run.marginal[names.GENE])
    lists = [diagnostics.get(name) for name in ("k_hat", "export_k_hat")]
    found: dict[str, float] = {}
    for values in lists:
        if isinstance(values, list) and len(values) == len(genes):
            for gene, value in zip(genes, values, strict=True):
                if value is not None:
                    found[gene] = max(float(value), found.get(gene, -np.inf))
    return found

"""What was read, what was dropped and why: as plain content for JSON, and as lines for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.data.reading.covariates import Covariates
from fatebias.data.reading.fates import Fates
from fatebias.data.reading.guides import Assignments
from fatebias.data.reading.raw import RawScreen
from fatebias.data.screen import Screen
from fatebias.errors import some

Array = NDArray[np.float64]

DECIMALS = 5  # of mean probabilities
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is a formula to a spreadsheet


@dataclass(frozen=True, eq=False)
class Account:
    """What happened on the way from file to screen."""

    raw: RawScreen
    fates: Fates
    guides: Assignments
    dropped: dict[str, int]  # reason to number of cells
    genes_without_cells: tuple[str, ...]  # left out: no kept cell holds a guide of theirs
    days_ordered_by: str  # what put the days in their order
    covariates: Covariates
    notes: tuple[str, ...]
    warnings: tuple[str, ...]  # what may make results wrong


def summarise_screen(screen: Screen, account: Account) -> dict[str, Any]:
    """Describe a screen and what was left out of it, in the order in which a reader wants it."""
    guides, fates = account.guides, account.fates
    counts = np.bincount(screen.n_guides)
    real, ntc = int(np.count_nonzero(screen.guide_ids)), int(np.count_nonzero(screen.ntc_slots))
    table = _cells_by_day_and_rep(screen)
    cells_of_guide = np.bincount(screen.guide_ids.ravel(), minlength=screen.G + 1)
    guides_of_gene = np.bincount(screen.guide_gene, minlength=screen.L)
    cells_of_gene = screen.gene_cells()
    notes, warnings = list(account.notes), list(account.warnings)
    notes += _notes(screen, account)
    warnings += _warnings(screen, account, table)
    return {
        "source": account.raw.source,
        "guide_map": account.raw.guide_map.source,
        "cells": {
            "in_file": int(account.raw.cells.size),
            "kept": screen.N,
            "dropped": {reason: cells for reason, cells in account.dropped.items() if cells},
        },
        "cells_by_day_and_replicate": {
            day: dict(zip(screen.rep_labels, map(int, row), strict=True))
            for day, row in zip(screen.day_labels, table, strict=True)
        },
        "days": {"order": list(screen.day_labels), "by": account.days_ordered_by},
        "covariates": list(account.covariates.told),
        "fates": {
            "reference": screen.fates[0],
            "contrast": screen.contrast,
            "columns_in_file": list(fates.columns),
            "named_by": fates.columns_from,
            "mean_probability": dict(zip(screen.fates, screen.p.mean(axis=0).tolist(), strict=True)),
            "mean_probability_by_day": _by_fate(screen, _means(screen.p, screen.day, screen.D)),
        },
        "guides_per_cell": {
            "mean": float(screen.n_guides.mean()),
            "median": float(np.median(screen.n_guides)),
            "most": int(screen.n_guides.max()),
            "cells_by_number": {str(held): int(cells) for held, cells in enumerate(counts) if cells},
        },
        "guides": {
            "targeting": screen.G,
            "ntc": len(screen.ntc_guide_names),
            "assignments": real + ntc,
            "ntc_share": ntc / (real + ntc),
            "cells_with_ntc_only": int(((screen.ntc_slots > 0).sum(axis=1) == screen.n_guides).sum())
            - int((screen.n_guides == 0).sum()),
            "without_column": list(guides.missing_guides),
            "ignored_not_in_map": guides.unmapped,
        },
        "genes": {
            "number": screen.L,
            "without_guide_column": list(guides.missing_genes),
            "without_cells": list(account.genes_without_cells),
            "guides_and_cells": {
                gene: {
                    "guides": int(guides),
                    "cells": int(cells.sum()),
                    "cells_by_day": cells.tolist(),
                    "mean_probability": _by_fate(screen, mean),
                }
                for gene, guides, cells, mean in zip(
                    screen.gene_names, guides_of_gene, cells_of_gene, _gene_compositions(screen), strict=True
                )
            },
        },
        "clusters": {"number": int(screen.cluster.max()) + 1, "are": screen.cluster_source},
        "guide_counts": guides.counts,
        "guide_cells": dict(zip(screen.guide_names, map(int, cells_of_guide[1:]), strict=True)),
        "notes": notes,
        "warnings": warnings,
    }


def _gene_compositions(screen: Screen) -> Array:
    """Return the mean fate probabilities of the cells that hold a guide of each gene by day, (L, D, F)."""
    cell, gene = screen.gene_holdings()
    group = gene * screen.D + screen.day[cell]
    return _means(screen.p[cell], group, screen.L * screen.D).reshape(screen.L, screen.D, -1)


def _means(p: Array, group: NDArray[np.integer], n_groups: int) -> Array:
    """Return the mean of p, (n, F), over each group, (groups, F); NaN where a group is empty."""
    number = np.bincount(group, minlength=n_groups)
    sums = np.column_stack([np.bincount(group, column, n_groups) for column in p.T])
    return np.asarray(np.where(number[:, None] > 0, sums / np.maximum(number, 1)[:, None], np.nan))


def _by_fate(screen: Screen, means: Array) -> dict[str, list[float | None]]:
    """Return means, (D, F), as numbers by day for each fate, rounded; None for a day without cells."""
    return {
        fate: [None if np.isnan(value) else round(float(value), DECIMALS) for value in column]
        for fate, column in zip(screen.fates, means.T, strict=True)
    }


def render_summary(summary: dict[str, Any]) -> str:
    """Format a summary for the terminal: sizes, fates, cells by day and replicate, drops, notes, warnings."""
    cells, guides, genes = summary["cells"], summary["guides"], summary["genes"]
    held, fates = summary["guides_per_cell"], summary["fates"]
    per_gene = [entry["cells"] for entry in genes["guides_and_cells"].values()]
    means = ", ".join(f"{fate} {share:.3f}" for fate, share in fates["mean_probability"].items())
    rows = [
        ("screen", summary["source"]),
        ("cells", f"{cells['kept']:,} of {cells['in_file']:,}"),
        *(("", f"dropped {n:,}: {reason}") for reason, n in cells["dropped"].items()),
        ("fates", f"{fates['contrast']} against {fates['reference']}; columns named by {fates['named_by']}"),
        ("", f"mean probability {means}"),
        ("days", f"{' < '.join(summary['days']['order'])}, ordered by {summary['days']['by']}"),
        *((("covariates", ", ".join(summary["covariates"])),) if summary["covariates"] else ()),
        (
            "genes",
            f"{genes['number']:,}, cells a gene {min(per_gene):,} to {max(per_gene):,}, "
            f"median {np.median(per_gene):,.0f}",
        ),
        (
            "guides",
            f"{guides['targeting']:,} targeting, {guides['ntc']:,} NTC "
            f"({guides['ntc_share']:.1%} of {guides['assignments']:,} assignments)",
        ),
        ("guides a cell", f"mean {held['mean']:.2f}, median {held['median']:g}, most {held['most']}"),
    ]
    lines = [f"{label:<14}{text}" for label, text in rows]
    lines += _render_table(summary["cells_by_day_and_replicate"])
    lines += [f"{'note':<14}{note}" for note in summary["notes"]]
    lines += [f"{'warning':<14}{warning}" for warning in summary["warnings"]]
    return "\n".join(lines)


def _render_table(table: dict[str, dict[str, int]]) -> list[str]:
    reps = list(next(iter(table.values())))
    widths = [max(len(rep), 7) for rep in reps]
    first = max(8, *(len(day) for day in table))
    lines = [
        f"{'cells by':<14}{'day':<{first}}"
        + "".join(f"  {r:>{w}}" for r, w in zip(reps, widths, strict=True))
    ]
    for day, row in table.items():
        counts = "".join(f"  {n:>{w},}" for n, w in zip(row.values(), widths, strict=True))
        lines.append(f"{'':<14}{day:<{first}}{counts}")
    return lines


def _cells_by_day_and_rep(screen: Screen) -> NDArray[np.int64]:
    """Count cells, (D, R)."""
    flat = np.bincount(screen.day * screen.R + screen.rep, minlength=screen.D * screen.R)
    return flat.reshape(screen.D, screen.R)


def _notes(screen: Screen, account: Account) -> list[str]:
    notes = []
    if account.guides.missing_guides:
        notes.append(
            f"{len(account.guides.missing_guides)} guides of the map have no column and are left out"
        )
    if account.guides.missing_genes:
        notes.append(
            f"{len(account.guides.missing_genes)} genes of the map have no guide column and are left out: "
            f"{some(account.guides.missing_genes, 5)}"
        )
    without = int((screen.n_guides == 0).sum())
    if without:
        notes.append(f"{without:,} cells hold no guide: they are kept, as cells without any effect")
    named = (*screen.gene_names, *screen.guide_names, *screen.ntc_guide_names)
    if formulas := [name for name in named if name.startswith(FORMULA)]:
        notes.append(
            f"names that a spreadsheet would run as formulas: {some(formulas, 5)}; import the tables as text"
        )
    if screen.D == 1:
        notes.append("one day: no change over time is modelled")
    return notes


def _warnings(screen: Screen, account: Account, table: NDArray[np.int64]) -> list[str]:
    warnings = []
    if account.genes_without_cells:
        warnings.append(
            f"{len(account.genes_without_cells)} genes with guide columns but no kept cell are left out: "
            f"{some(account.genes_without_cells)}"
        )
    if screen.R == 1:
        warnings.append(
            "one replicate: its effect cannot be told from the days' intercepts, and nothing shows whether "
            "another would give the same"
        )
    elif screen.D > 1 and _pieces(table > 0) > 1:
        warnings.append(
            "replicate and day are confounded (no chain of shared days links the replicates): "
            "their effects are told apart by the priors alone"
        )
    return warnings


def _pieces(linked: NDArray[np.bool_]) -> int:
    """Count the connected pieces of the graph of days and replicates that share cells, (D, R)."""
    together = linked @ linked.T  # days that share a replicate
    for _ in range(len(linked)):
        together = together @ together
    return len(np.unique(together, axis=0))

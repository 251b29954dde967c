"""Controls or genes whose cells sit in one day, replicate or lane, whose effect theirs may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.data.reading.covariates import Factor
from fatebias.data.reading.labels import MOST_LABELS
from fatebias.data.screen import Screen
from fatebias.errors import few
from fatebias.pasted import setting

if TYPE_CHECKING:
    import pandas as pd

# Obs columns that usually say in which reaction a cell was, looked at whether or not they are covariates.
BATCHES = (
    "lane",
    "batch",
    "sample",
    "library",
    "library_id",
    "gem_group",
    "gem_well",
    "channel",
    "orig.ident",
)
# A group sits in one level where this share of its cells does, and half of all other cells or more do not.
IN_ONE, AT_MOST_ELSEWHERE = 0.9, 0.5
FEWEST_CELLS = 20  # of a group; fewer sit together by chance


@dataclass(frozen=True, eq=False)
class _Held:
    """Which cells hold which genes."""

    only_ntc: NDArray[np.bool_]  # (N,) NTC guides and no others
    cell: NDArray[np.int64]  # (E,) with `gene` each pair of a cell and a gene that it holds, once
    gene: NDArray[np.int64]  # (E,) from 0


def batch_factors(
    columns: Sequence[tuple[str, pd.Series[Any]]], kept: NDArray[np.bool_], taken: Sequence[Factor]
) -> tuple[Factor, ...]:
    """Return batches of the kept cells besides the factors `taken`; columns that are none are passed over."""
    import pandas as pd

    found = []
    for name, column in columns:
        codes, labels = pd.factorize(column[kept], sort=False)
        named = name not in [factor.name for factor in taken]
        if named and 1 < len(labels) <= MOST_LABELS and (codes >= 0).all():
            found.append(Factor(name, codes.astype(np.int32), tuple(map(str, labels))))
    return tuple(found)


def confounding(
    screen: Screen, modelled: Sequence[Factor], others: Sequence[Factor], asked: Sequence[str]
) -> tuple[str, ...]:
    """Warn of controls and genes that sit in one day, replicate, covariate or other batch.

    `modelled` are covariates, `others` are batches besides, `asked` is ``data.covariates``.
    """
    known = "the model sets this right only as far as {} has the same effect on all cells"
    unknown = "the model does not know of it: {}"
    held = _held(screen)
    replicate = Factor("replicate", screen.rep, screen.rep_labels)
    day = Factor("day", screen.day, screen.day_labels)
    found = _of_factor(
        screen, held, day, "on other days no control shows the baseline", "little is known of others"
    )
    for factor in (replicate, *modelled):
        told = known.format(factor.name)
        found += _of_factor(screen, held, factor, told, told)
    for factor in others:
        told = unknown.format(setting("data.covariates", [*asked, factor.name]))
        found += _of_factor(screen, held, factor, told, told)
    return tuple(found)


def _held(screen: Screen) -> _Held:
    only_ntc = (screen.ntc_slots > 0).any(axis=1) & (screen.guide_ids == 0).all(axis=1)
    return _Held(only_ntc, *screen.gene_holdings())


def _of_factor(screen: Screen, held: _Held, factor: Factor, of_controls: str, of_genes: str) -> list[str]:
    if len(factor.labels) < 2:
        return []
    warnings = []
    level = _sits_in(np.bincount(factor.codes[held.only_ntc], minlength=len(factor.labels))[None], factor)[0]
    if level >= 0:
        warnings.append(
            f"cells with NTC guides alone sit in {factor.name} {factor.labels[level]}, most others do not: "
            f"{of_controls}"
        )
    n_levels = len(factor.labels)
    flat = np.bincount(held.gene * n_levels + factor.codes[held.cell], minlength=screen.L * n_levels)
    levels = _sits_in(flat.reshape(screen.L, n_levels), factor)
    genes = [f"{screen.gene_names[g]} ({factor.labels[levels[g]]})" for g in np.flatnonzero(levels >= 0)]
    if genes:
        warnings.append(
            f"the cells of {len(genes)} genes sit in one {factor.name}, most others do not; what they show "
            f"may be its effect: {few(genes)}; {of_genes}"
        )
    return warnings


def _sits_in(table: NDArray[np.int64], factor: Factor) -> NDArray[np.int64]:
    """Return the level in which each group (n, levels) sits, -1 where in none, (n,)."""
    total = table.sum(axis=1)
    level = table.argmax(axis=1)
    inside = table[np.arange(len(table)), level]
    everywhere = np.bincount(factor.codes, minlength=len(factor.labels))
    others = (everywhere[level] - inside) / np.maximum(everywhere.sum() - total, 1)
    sits = (total >= FEWEST_CELLS) & (inside >= IN_ONE * total) & (others <= AT_MOST_ELSEWHERE)
    return np.where(sits, level, -1)

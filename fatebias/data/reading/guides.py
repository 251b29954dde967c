"""Which guides each cell holds: entries checked, columns matched with the guide map."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fatebias.config import DataConfig
from fatebias.data.reading.ambient import ambient_counts
from fatebias.data.reading.raw import RawScreen
from fatebias.errors import DataError, some


@dataclass(frozen=True, eq=False)
class Assignments:
    """Every guide of every cell, as pairs of cell and rank.

    Ranks count the gene guides by gene and name, then the NTC guides by name.
    """

    cell: NDArray[np.int64]  # (E,) sorted; each pair of cell and rank once
    rank: NDArray[np.int64]  # (E,)
    guide_names: tuple[str, ...]  # gene guides, from rank 0
    genes_of_guides: tuple[str, ...]  # the gene of each of `guide_names`
    ntc_names: tuple[str, ...]  # NTC guides; their ranks follow those of the gene guides
    missing_genes: tuple[str, ...]  # of the map, without a column in the matrix
    missing_guides: tuple[str, ...]  # of the map, without a column in the matrix
    unmapped: dict[str, int]  # guide columns that the map lacks, with the number of cells that hold each
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def assignments(raw: RawScreen, data: DataConfig) -> Assignments:
    """Find the guides of each cell: entries above the threshold, in columns that the guide map lists."""
    columns = _column_names(raw, data)
    cell, column, notes = _present(raw, data)
    known = np.array([name in raw.guide_map.gene_of for name in columns], dtype=bool)
    _check_overlap(columns, known, raw, data)
    held = np.bincount(column, minlength=len(columns))
    unmapped = {columns[i]: int(held[i]) for i in np.flatnonzero(~known)}
    if unmapped:
        concerned = int(np.unique(cell[~known[column]]).size)
        if data.unmapped_guides == "refuse":
            raise DataError(
                f"{len(unmapped)} guides of the matrix are not in the guide map",
                where=f"{raw.at('obsm', data.guide_key)} and {raw.guide_map.source}",
                found=f"{some(unmapped)}, held by {concerned} cells",
                allowed="every guide column listed in the guide map",
                fix="add them to the guide map, or data.unmapped_guides=ignore: they then count "
                "neither as effect nor as burden",
            )
        notes.append(f"{len(unmapped)} guides that the map lacks were ignored; {concerned} cells hold one")

    gene_of, ntc = raw.guide_map.gene_of, raw.guide_map.ntc
    mapped = [name for name in columns if name in gene_of]
    targeting = sorted((name for name in mapped if name not in ntc), key=lambda name: (gene_of[name], name))
    controls = sorted(name for name in mapped if name in ntc)
    if not targeting:
        raise DataError(
            "no guide of the matrix targets a gene",
            where=raw.guide_map.source,
            found=f"{len(controls)} guides of the matrix, all with is_ntc 1",
            fix="set is_ntc to 0 for guides that target genes",
        )
    rank_of = {name: rank for rank, name in enumerate([*targeting, *controls])}
    ranks = np.array([rank_of.get(name, -1) for name in columns], dtype=np.int64)
    rank = ranks[column]
    kept = rank >= 0
    present = set(columns)
    genes_present = {gene_of[name] for name in targeting}
    genes_wanted = {gene for name, gene in gene_of.items() if name not in ntc}
    return Assignments(
        cell=cell[kept],
        rank=rank[kept],
        guide_names=tuple(targeting),
        genes_of_guides=tuple(gene_of[name] for name in targeting),
        ntc_names=tuple(controls),
        missing_genes=tuple(sorted(genes_wanted - genes_present)),
        missing_guides=tuple(name for name in gene_of if name not in present),
        unmapped=unmapped,
        notes=tuple(notes),
        warnings=(*raw.guide_map.warnings, *_control_warnings(raw, controls, targeting)),
    )


def _control_warnings(raw: RawScreen, controls: list[str], targeting: list[str]) -> tuple[str, ...]:
    if not raw.guide_map.ntc:
        return ("no NTC guide in the guide map: every guide gets an effect, none serves as baseline",)
    if not controls:
        return ("no NTC guide of the guide map has a column in the matrix: none serves as baseline",)
    gene_of = raw.guide_map.gene_of
    both = {gene_of[name] for name in controls} & {gene_of[name] for name in targeting}
    if both:
        return (f"genes with both NTC and targeting guides in the map: {some(sorted(both))}",)
    return ()


def _column_names(raw: RawScreen, data: DataConfig) -> list[str]:
    where = f"{raw.at('obsm', data.guide_key)}, names from {raw.guide_columns_from}"
    count = raw.guides.shape[1]
    if len(raw.guide_columns) != count:
        raise DataError(
            f"{len(raw.guide_columns)} guide names for {count} guide columns",
            where=where,
            found=some(raw.guide_columns, 5),
            allowed="one name a column",
            fix=f"write the names of the columns, in their order, to {raw.guide_columns_from}",
        )
    missing = [i for i, name in enumerate(raw.guide_columns) if _is_missing(name)]
    if missing:
        raise DataError(
            f"{len(missing)} guide columns have no name",
            where=where,
            found=f"columns {some(missing)} (counted from 0)",
            allowed="a name for every column",
            fix="name these columns, or remove them from the matrix",
        )
    columns = [str(name) for name in raw.guide_columns]
    padded = [name for name in columns if name != name.strip()]
    if padded:
        matching = sum(name.strip() in raw.guide_map.gene_of for name in padded)
        raise DataError(
            f"{len(padded)} guide names begin or end with spaces",
            where=where,
            found=some(padded),
            fix=f"strip the names: stripping would match {matching} of {len(padded)}",
        )
    twice = sorted({name for name, times in Counter(columns).items() if times > 1})
    if twice:
        raise DataError(
            "guide columns share a name",
            where=where,
            found=some(twice),
            allowed="each guide once",
            fix="sum or remove the repeated columns",
        )
    return columns


def _is_missing(name: Any) -> bool:
    return name is None or name != name or not str(name).strip() or str(name) in ("nan", "<NA>")


def _present(raw: RawScreen, data: DataConfig) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """List the cell and column of every entry above the threshold."""
    matrix: csr_matrix = raw.guides
    entries = matrix.data
    where = raw.at("obsm", data.guide_key)
    wrong = ~np.isfinite(entries) | (entries < 0) if entries.dtype.kind == "f" else entries < 0
    if wrong.any():
        cells = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[wrong]
        raise DataError(
            f"{int(wrong.sum())} entries of the guide matrix are NaN, infinite or negative",
            where=where,
            found=f"{some(np.unique(entries[wrong]).tolist(), 5)}; "
            f"first cells {some(raw.cells[np.unique(cells)[:5]].tolist())}",
            allowed="counts or 0/1, zero where a cell does not hold the guide",
            fix="correct these entries; where a missing value means no guide, set it to zero",
        )
    if data.guide_threshold is None and entries.dtype.kind == "f":
        fractional = entries != np.floor(entries)
        if fractional.any():
            raise DataError(
                f"{int(fractional.sum())} entries of the guide matrix are fractions",
                where=where,
                found=f"values from {entries.min():.4g} to {entries.max():.4g}",
                allowed="whole numbers, or a threshold above which a guide counts as present",
                fix="data.guide_threshold=0.5 if these are assignment probabilities",
            )
    if data.guide_threshold is None:
        _refuse_raw_counts(matrix, where)
    above = entries > (data.guide_threshold or 0)
    notes = []
    stored = entries[entries > 0]
    if stored.size and stored.max() > 1:
        single = float((stored == 1).mean())
        notes.append(
            f"the guide matrix holds counts up to {stored.max():g}; {single:.1%} of its entries are 1: "
            + (
                f"present means above {data.guide_threshold:g}"
                if data.guide_threshold is not None
                else "each counts as present (with data.guide_threshold=N only those above N)"
            )
        )
    cell = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))[above]
    return cell, matrix.indices[above].astype(np.int64), notes


def _refuse_raw_counts(matrix: csr_matrix, where: str) -> None:
    found = ambient_counts(matrix)
    if found is None:
        return
    held = f"{found.single:.1%} of its entries are 1; {found.held:.1f} guides a cell if each counts"
    if found.threshold is None:
        held += ", and no threshold parts ambient ones from guides"
        fix = "call the guides first and store them as 0/1, or data.guide_threshold=N"
    else:
        held += f", {found.held_above:.1f} above {found.threshold} UMIs"
        fix = f"data.guide_threshold={found.threshold}, by a mixture of both parts (docs/input.md)"
    raise DataError(
        "the guide matrix looks like raw UMI counts, of which the ambient ones are no guides",
        where=where,
        found=held,
        allowed="called guides, or a threshold above which a guide counts as present",
        fix=f"{fix}; data.guide_threshold=0 counts every one",
    )


def _check_overlap(columns: list[str], known: NDArray[np.bool_], raw: RawScreen, data: DataConfig) -> None:
    if known.any():
        return
    in_map = {name.casefold() for name in raw.guide_map.gene_of}
    case = sum(name.casefold() in in_map for name in columns)
    hint = f"; {case} would match if case were ignored" if case else ""
    raise DataError(
        "no guide of the matrix is in the guide map",
        where=f"{raw.at('obsm', data.guide_key)} and {raw.guide_map.source}",
        found=f"matrix {some(columns, 5)}; map {some(raw.guide_map.gene_of, 5)}{hint}",
        allowed="the same guide names in both",
        fix="use the same guide names in the guide map and the matrix",
    )

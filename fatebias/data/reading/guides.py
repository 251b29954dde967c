"""Which guides each cell holds: the guide matrix matched with the guide map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fatebias.config import DataConfig
from fatebias.data.reading.guide_columns import column_names, split_columns
from fatebias.data.reading.guide_entries import guide_counts, present_entries
from fatebias.data.reading.guide_map import GuideMap
from fatebias.data.reading.raw import RawScreen
from fatebias.errors import DataError, some
from fatebias.pasted import setting


@dataclass(frozen=True, eq=False)
class Assignments:
    """Every guide of every cell, as pairs of cell and rank.

    Ranks count the gene guides by gene and name, then the NTC guides by name. A guide with two targets has a
    rank for each, and counts once in `held`.
    """

    cell: NDArray[np.int64]  # (E,) sorted; each pair of cell and rank once
    rank: NDArray[np.int64]  # (E,)
    held: NDArray[np.int64]  # (N,) guides of each cell
    guide_names: tuple[str, ...]  # gene guides, from rank 0
    genes_of_guides: tuple[str, ...]  # the gene of each of `guide_names`
    ntc_names: tuple[str, ...]  # NTC guides; their ranks follow those of the gene guides
    missing_genes: tuple[str, ...]  # of the map, without a column in the matrix
    missing_guides: tuple[str, ...]  # of the map, without a column in the matrix
    unmapped: dict[str, int]  # guide columns that the map lacks, with the number of cells that hold each
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    counts: dict[str, Any] | None = None  # how often each count was read; None where the matrix has none


def assignments(raw: RawScreen, data: DataConfig) -> Assignments:
    """Find the guides of each cell: entries above the threshold, in columns that the guide map lists."""
    guide_map = raw.guide_map
    columns = column_names(raw)
    present, notes, insisted = present_entries(raw, data)
    present, guides, split = split_columns(present, columns, guide_map.gene_of)
    known = np.array([guide in guide_map.gene_of for guide in guides], dtype=bool)
    _check_overlap(guides, known, raw)
    unmapped, ignored = _unmapped(present, guides, known, raw, data)
    targeting, controls = _ranked(guides, guide_map)
    if not targeting:
        raise DataError(
            "no guide of the matrix targets a gene",
            where=guide_map.source,
            found=f"{len(controls)} guides of the matrix, all with is_ntc 1",
            fix="set is_ntc to 0 for guides that target genes",
        )
    number = {guide: i for i, guide in enumerate(guides)}
    of_rank = np.array([number[guide] for _, guide in targeting] + [number[guide] for guide in controls])
    by_rank = csr_matrix(present.tocsc()[:, of_rank])
    by_rank.sort_indices()
    counted = np.array([guide in guide_map.gene_of and guide not in guide_map.left_out for guide in guides])
    wanted = {gene for guide, gene in guide_map.gene_of.items() if guide not in guide_map.ntc}
    seen = set(guides)
    return Assignments(
        cell=np.repeat(np.arange(present.shape[0], dtype=np.int64), np.diff(by_rank.indptr)),
        rank=by_rank.indices.astype(np.int64),
        held=np.asarray(present @ counted.astype(np.int64)),
        guide_names=tuple(_display(gene, guide, guide_map) for gene, guide in targeting),
        genes_of_guides=tuple(gene for gene, _ in targeting),
        ntc_names=tuple(controls),
        missing_genes=tuple(sorted(wanted - {gene for gene, _ in targeting})),
        missing_guides=tuple(name for name in guide_map.gene_of if name not in seen),
        unmapped=unmapped,
        counts=guide_counts(raw.guides, data.guide_threshold),
        notes=(*raw.guide_notes, *guide_map.notes, *notes, *split, *ignored),
        warnings=(*guide_map.warnings, *insisted, *_control_warnings(guide_map, controls, targeting)),
    )


def _ranked(guides: list[str], guide_map: GuideMap) -> tuple[list[tuple[str, str]], list[str]]:
    """Return gene and guide of each gene guide by gene and name, and the NTC guides by name."""
    mapped = [guide for guide in guides if guide in guide_map.gene_of and guide not in guide_map.left_out]
    targeting = [
        (gene, guide)
        for guide in mapped
        if guide not in guide_map.ntc
        for gene in (guide_map.gene_of[guide], *guide_map.further_genes.get(guide, ()))
    ]
    return sorted(targeting), sorted(guide for guide in mapped if guide in guide_map.ntc)


def _display(gene: str, guide: str, guide_map: GuideMap) -> str:
    """Return the name of a guide, with its gene where it has two."""
    return f"{guide} [{gene}]" if guide in guide_map.further_genes else guide


def _unmapped(
    present: csr_matrix, guides: list[str], known: NDArray[np.bool_], raw: RawScreen, data: DataConfig
) -> tuple[dict[str, int], list[str]]:
    """Return guides that the map lacks with their cells, and a note; refuse them unless they are ignored."""
    held = np.asarray(present.sum(axis=0)).ravel()
    unmapped = {guides[i]: int(held[i]) for i in np.flatnonzero(~known)}
    if not unmapped:
        return {}, []
    concerned = int(np.count_nonzero(present @ (~known).astype(np.int64)))
    if data.unmapped_guides == "refuse":
        raise DataError(
            f"{len(unmapped)} guides of the matrix are not in the guide map",
            where=f"{raw.guides_at} and {raw.guide_map.source}",
            found=f"{some(unmapped)}, held by {concerned} cells",
            allowed="every guide column listed in the guide map",
            fix=f"add them to the guide map, or {setting('data.unmapped_guides', 'ignore')}, with which "
            "they count neither as effect nor as burden",
        )
    return unmapped, [f"{len(unmapped)} guides that the map lacks were ignored; {concerned} cells hold one"]


def _control_warnings(
    guide_map: GuideMap, controls: list[str], targeting: list[tuple[str, str]]
) -> tuple[str, ...]:
    if not guide_map.ntc:
        return ("no NTC guide in the guide map: every guide gets an effect, none serves as baseline",)
    if not controls:
        return ("no NTC guide of the guide map has a column in the matrix: none serves as baseline",)
    both = {guide_map.gene_of[guide] for guide in controls} & {gene for gene, _ in targeting}
    if both:
        return (f"genes with both NTC and targeting guides in the map: {some(sorted(both))}",)
    return ()


def _check_overlap(columns: list[str], known: NDArray[np.bool_], raw: RawScreen) -> None:
    if known.any():
        return
    in_map = {name.casefold() for name in raw.guide_map.gene_of}
    case = sum(name.casefold() in in_map for name in columns)
    hint = f"; {case} would match if case were ignored" if case else ""
    raise DataError(
        "no guide of the matrix is in the guide map",
        where=f"{raw.guides_at} and {raw.guide_map.source}",
        found=f"matrix {some(columns, 5)}; map {some(raw.guide_map.gene_of, 5)}{hint}",
        allowed="the same guide names in both",
        fix="use the same guide names in the guide map and the matrix",
    )

"""From what was read to the screen that the model sees: checks, drops, ids and their summary."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.data.assignment import pad
from fatebias.data.reading.clusters import GRAPH_BLOCKS, REPLICATE_AND_DAY, column_clusters, graph_blocks
from fatebias.data.reading.confounding import batch_factors, confounding
from fatebias.data.reading.covariates import model_covariates
from fatebias.data.reading.days import day_levels
from fatebias.data.reading.fates import fate_probabilities
from fatebias.data.reading.guides import Assignments, assignments
from fatebias.data.reading.labels import Levels
from fatebias.data.reading.raw import RawScreen
from fatebias.data.reading.replicate import replicate_levels
from fatebias.data.reading.summary import Account, summarise_screen
from fatebias.data.reading.weights import (
    commitment_column,
    entropy_weights,
    scale_weights,
    weight_column,
)
from fatebias.data.screen import Screen, centre_burden
from fatebias.data.synthetic import permute
from fatebias.errors import DataError, some
from fatebias.pasted import setting

# A larger share of cells above Kmax suggests that ambient counts pass for guides.
MUCH_DROPPED = 0.05


def build_screen(raw: RawScreen, data: DataConfig) -> Screen:
    """Check what was read and lay out the kept cells for the model, with the summary of all drops."""
    fates = fate_probabilities(raw, data)
    days = day_levels(raw.day, raw.at("obs", data.day_key), data)
    reps = replicate_levels(raw.rep, raw.rep_at, data)
    stated = weight_column(raw, data)
    guides = assignments(raw, data)

    n_held = guides.held
    crowded = n_held > data.Kmax
    kept = ~(fates.bad | fates.empty | crowded)
    dropped = {
        "fate values that are no probabilities": int(fates.bad.sum()),
        "no probability in the configured fates": int(fates.empty.sum()),
        f"more than {data.Kmax} guides": int((crowded & ~fates.bad & ~fates.empty).sum()),
    }
    _check_kept(kept, crowded, n_held, raw, data)
    _check_levels(days, kept, raw.at("obs", data.day_key), "day", dropped)
    _check_levels(reps, kept, raw.rep_at, "replicate", dropped)

    entry = kept[guides.cell]
    cell, rank = (np.cumsum(kept) - 1)[guides.cell[entry]], guides.rank[entry]
    held = np.bincount(rank, minlength=len(guides.guide_names) + len(guides.ntc_names))
    alive = _guides_of_genes_with_cells(held, guides, raw, data)
    guide_names = tuple(np.asarray(guides.guide_names, dtype=object)[alive])
    genes = np.asarray(guides.genes_of_guides, dtype=object)
    gene_names = tuple(sorted(set(genes[alive])))
    gene_id = {gene: number for number, gene in enumerate(gene_names, start=1)}
    # No kept cell holds a guide of a gene without cells, so that leaving these out only shifts ranks.
    closed_up = np.cumsum(np.concatenate([alive, np.ones(len(guides.ntc_names), dtype=bool)])) - 1
    slots = pad(cell, closed_up[rank], int(kept.sum()), len(guide_names))

    day, rep = days.codes[kept], reps.codes[kept]
    p = fates.p[kept]
    weight = entropy_weights(p, day, slots) if data.cell_weights == "entropy" else stated[kept]
    covariates = model_covariates(raw, kept, day, data)
    cluster, source = _clusters(raw, kept, day.astype(np.int64) * len(reps.labels) + rep, data)
    screen = Screen(
        p=p,
        fates=fates.fates,
        contrast=data.contrast_fate,
        guide_ids=slots.guide_ids,
        mask=slots.mask,
        ntc_slots=slots.ntc_slots,
        n_guides=n_held[kept].astype(np.int32),
        k_centered=centre_burden(n_held[kept], day),
        day=day,
        rep=rep,
        weight=scale_weights(weight, raw, data),
        guide_names=guide_names,
        gene_names=gene_names,
        gene_of_guide=np.array([0, *(gene_id[gene] for gene in genes[alive])], dtype=np.int32),
        ntc_guide_names=guides.ntc_names,
        day_labels=days.labels,
        rep_labels=reps.labels,
        cells=raw.cells[kept],
        cluster=cluster,
        cluster_source=source,
        summary={},
        commitment=commitment_column(raw, kept, data),
        settings=data,
        covariates=covariates.columns,
        covariate_names=covariates.names,
    )
    shuffled = []
    if data.permutation:
        screen = permute(screen, data.permutation)
        shuffled.append(f"guides are shuffled among cells: data.permutation={data.permutation}")
    batches = batch_factors(raw.batches, kept, covariates.factors)
    account = Account(
        raw=raw,
        fates=fates,
        guides=guides,
        dropped=dropped,
        genes_without_cells=tuple(sorted(set(genes) - set(gene_names))),
        notes=(*fates.notes, *days.notes, *guides.notes, *_unheld(held, guides, alive), *covariates.notes),
        days_ordered_by=days.ordered_by,
        covariates=covariates,
        warnings=(
            *fates.warnings,
            *days.warnings,
            *guides.warnings,
            *_crowding(crowded, data),
            *_repeated(raw.cells[kept]),
            *confounding(screen, covariates.factors, batches, data.covariates),
        ),
    )
    return dataclasses.replace(screen, summary=summarise_screen(screen, account))


def _repeated(cells: NDArray[Any]) -> tuple[str, ...]:
    """Warn where names of cells repeat: a cell that is there twice counts twice."""
    names = pd.Index(cells.astype(str))
    twice = names[names.duplicated()].unique()
    if not len(twice):
        return ()
    return (
        f"cells share a name, {len(twice):,} in all ({', '.join(twice[:3])}): a cell that is in the file "
        "twice counts twice, and errors are too small. adata[~adata.obs_names.duplicated()] has each once; "
        "anndata.concat(..., index_unique='-') tells cells of several batches apart",
    )


def _clusters(
    raw: RawScreen, kept: NDArray[np.bool_], group: NDArray[np.int64], data: DataConfig
) -> tuple[NDArray[np.int32], str]:
    """Group kept cells that may share noise, and name what groups them."""
    if raw.cluster is not None:
        where = raw.at("obs", data.cluster_key or "")
        return column_clusters(raw.cluster[kept], where, data.meant_labels), f"obs[{data.cluster_key!r}]"
    if raw.graph is not None:
        return graph_blocks(raw.graph[kept][:, kept], group), GRAPH_BLOCKS
    return np.unique(group, return_inverse=True)[1].ravel().astype(np.int32), REPLICATE_AND_DAY


def _check_kept(
    kept: NDArray[np.bool_],
    crowded: NDArray[np.bool_],
    n_held: NDArray[np.int64],
    raw: RawScreen,
    data: DataConfig,
) -> None:
    if crowded.all():
        raise DataError(
            f"all {crowded.size} cells hold more than data.Kmax={data.Kmax} guides",
            where=raw.guides_at,
            found=f"from {n_held.min()} to {n_held.max()} guides a cell",
            allowed=f"at most {data.Kmax} guides",
            fix="if the matrix holds raw counts, a higher data.guide_threshold leaves out ambient ones; "
            f"else {setting('data.Kmax', int(n_held.max()))}",
        )
    if not kept.any():
        raise DataError(
            "no cell is left",
            where=raw.source,
            found=f"{crowded.sum()} of {crowded.size} cells with more than {data.Kmax} guides, "
            "the others with fate values that are no probabilities or without the configured fates",
            fix=f"{setting('data.Kmax', int(n_held.max()))}, or correct the fate values",
        )


def _check_levels(
    levels: Levels, kept: NDArray[np.bool_], where: str, what: str, dropped: dict[str, int]
) -> None:
    left = np.bincount(levels.codes[kept], minlength=len(levels.labels))
    empty = [label for label, cells in zip(levels.labels, left, strict=True) if cells == 0]
    if empty:
        reasons = ", ".join(f"{cells} cells with {reason}" for reason, cells in dropped.items() if cells)
        raise DataError(
            f"no cell is left of {what} {', '.join(empty)}",
            where=where,
            found=f"dropped: {reasons}",
            allowed=f"kept cells in every {what}",
            fix="see why they were dropped, or remove its cells from the screen",
        )


def _guides_of_genes_with_cells(
    held: NDArray[np.int64], guides: Assignments, raw: RawScreen, data: DataConfig
) -> NDArray[np.bool_]:
    """Mark the gene guides whose gene at least one kept cell holds a guide of, (G,)."""
    if not held.any():
        raise DataError(
            "no kept cell holds a guide",
            where=raw.guides_at,
            found="no entry above 0"
            if not data.guide_threshold
            else f"no entry above data.guide_threshold={data.guide_threshold:g}",
            fix="name the matrix with the guides by data.guide_key"
            + (
                f", or lower the threshold: {setting('data.guide_threshold', 0)}"
                if data.guide_threshold
                else ""
            ),
        )
    genes = guides.genes_of_guides
    seen = {genes[r] for r in np.flatnonzero(held[: len(genes)])}
    if not seen:
        raise DataError(
            "no kept cell holds a guide that targets a gene",
            where=raw.guides_at,
            found=f"only the NTC guides {some(guides.ntc_names, 5)}",
            fix="see is_ntc in the guide map and data.guide_threshold",
        )
    return np.array([gene in seen for gene in genes], dtype=bool)


def _unheld(held: NDArray[np.int64], guides: Assignments, alive: NDArray[np.bool_]) -> tuple[str, ...]:
    """Say which guides no kept cell holds, those of genes that no cell has apart."""
    listed = (*guides.guide_names, *guides.ntc_names)
    left = [*alive, *[True] * len(guides.ntc_names)]
    absent = [name for name, cells, there in zip(listed, held, left, strict=True) if there and not cells]
    if not absent:
        return ()
    are = "guide is" if len(absent) == 1 else "guides are"
    return (f"{len(absent)} {are} held by no cell: {some(absent)}",)


def _crowding(crowded: NDArray[np.bool_], data: DataConfig) -> tuple[str, ...]:
    share = float(crowded.mean())
    if share <= MUCH_DROPPED:
        return ()
    return (
        f"{share:.1%} of the cells hold more than data.Kmax={data.Kmax} guides and are left out: "
        "ambient counts may pass for guides (data.guide_threshold)",
    )

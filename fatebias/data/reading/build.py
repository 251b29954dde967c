"""From what a file holds to the screen that the model sees: checks, drops, ids, and the account of it all."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.data.assignment import Slots, pad
from fatebias.data.reading.clusters import GRAPH_BLOCKS, REPLICATE_AND_DAY, column_clusters, graph_blocks
from fatebias.data.reading.covariates import Levels, day_levels, replicate_levels
from fatebias.data.reading.elements import numeric_column
from fatebias.data.reading.fates import fate_probabilities
from fatebias.data.reading.guides import Assignments, assignments
from fatebias.data.reading.raw import RawScreen
from fatebias.data.reading.summary import Account, summarise
from fatebias.data.screen import Screen, centre_burden
from fatebias.data.synthetic import permute, sharpness
from fatebias.errors import DataError, some

# A larger share of cells above Kmax says that ambient counts pass for guides.
MUCH_DROPPED = 0.05
# Of cell_weights=entropy: no cell counts for nothing, and a day's level needs some NTC cells.
LEAST_CONFIDENCE = 0.01
FEWEST_CONTROLS = 20


def build_screen(raw: RawScreen, data: DataConfig) -> Screen:
    """Check what a file holds and lay it out for the model.

    Parameters
    ----------
    raw
        What the file holds.
    data
        How to read it.

    Returns
    -------
    Screen
        Kept cells, with the summary.

    Raises
    ------
    DataError
        When anything that the model needs is absent, contradictory or out of range.
    """
    fates = fate_probabilities(raw, data)
    days = day_levels(raw.day, raw.at("obs", data.day_key), data)
    rep_where = f"{raw.at('obsm', data.covar_key)}[{data.rep_key!r}]"
    reps = replicate_levels(raw.rep, rep_where, data)
    weight = _weights(raw, data)
    guides = assignments(raw, data)

    n_held = np.bincount(guides.cell, minlength=raw.cells.size)
    crowded = n_held > data.Kmax
    kept = ~(fates.bad | fates.empty | crowded)
    dropped = {
        "fate values that are no probabilities": int(fates.bad.sum()),
        "no probability in the configured fates": int(fates.empty.sum()),
        f"more than {data.Kmax} guides": int((crowded & ~fates.bad & ~fates.empty).sum()),
    }
    _check_kept(kept, crowded, n_held, raw, data)
    _check_levels(days, kept, raw.at("obs", data.day_key), "day", dropped)
    _check_levels(reps, kept, rep_where, "replicate", dropped)

    entry = kept[guides.cell]
    cell, rank = (np.cumsum(kept) - 1)[guides.cell[entry]], guides.rank[entry]
    alive = _guides_of_genes_with_cells(rank, guides, raw, data)
    guide_names = tuple(np.asarray(guides.guide_names, dtype=object)[alive])
    genes = np.asarray(guides.genes_of_guides, dtype=object)
    gene_names = tuple(sorted(set(genes[alive])))
    gene_id = {gene: number for number, gene in enumerate(gene_names, start=1)}
    # Guides of a gene without cells are held by no kept cell, so ranks only close up over them.
    closed_up = np.cumsum(np.concatenate([alive, np.ones(len(guides.ntc_names), dtype=bool)])) - 1
    slots = pad(cell, closed_up[rank], int(kept.sum()), len(guide_names))

    day, rep = days.codes[kept], reps.codes[kept]
    cluster, source = _clusters(raw, kept, day.astype(np.int64) * len(reps.labels) + rep, data)
    screen = Screen(
        p=fates.p[kept],
        fates=fates.fates,
        contrast=data.contrast_fate,
        guide_ids=slots.guide_ids,
        mask=slots.mask,
        ntc_slots=slots.ntc_slots,
        n_guides=slots.n_guides,
        k_centered=centre_burden(slots.n_guides, day),
        day=day,
        rep=rep,
        weight=_scaled(
            _confidence(fates.p[kept], day, slots) if data.cell_weights == "entropy" else weight[kept],
            raw,
            data,
        ),
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
        commitment=_commitment(raw, kept, data),
    )
    if data.permutation:
        screen = permute(screen, data.permutation)
    account = Account(
        raw=raw,
        fates=fates,
        guides=guides,
        dropped=dropped,
        genes_without_cells=tuple(sorted(set(genes) - set(gene_names))),
        notes=(*fates.notes, *days.notes, *guides.notes),
        warnings=(
            *fates.warnings,
            *guides.warnings,
            *_crowding(crowded, data),
            *(
                [f"guides are shuffled among cells: data.permutation={data.permutation}"]
                * bool(data.permutation)
            ),
        ),
    )
    return dataclasses.replace(screen, summary=summarise(screen, account))


def _clusters(
    raw: RawScreen, kept: NDArray[np.bool_], group: NDArray[np.int64], data: DataConfig
) -> tuple[NDArray[np.int32], str]:
    """Group kept cells that may share noise, and say by what."""
    if raw.cluster is not None:
        where = raw.at("obs", data.cluster_key or "")
        return column_clusters(raw.cluster[kept], where), f"obs[{data.cluster_key!r}]"
    if raw.graph is not None:
        return graph_blocks(raw.graph[kept][:, kept], group), GRAPH_BLOCKS
    return np.unique(group, return_inverse=True)[1].ravel().astype(np.int32), REPLICATE_AND_DAY


def _confidence(p: NDArray[np.float64], day: NDArray[np.int32], slots: Slots) -> NDArray[np.float64]:
    """Measure how sharp each label is, against cells of the day with NTC guides only.

    One less the entropy of p over its greatest value, over its mean in those cells: a day on which all cells
    are less committed does not count less for it.
    """
    confidence = np.maximum(sharpness(p), LEAST_CONFIDENCE)
    controls = (slots.guide_ids == 0).all(axis=1) & (slots.n_guides > 0)
    for d in range(int(day.max()) + 1):
        here = day == d
        like = here & controls
        confidence[here] /= confidence[like if like.sum() >= FEWEST_CONTROLS else here].mean()
    return confidence


def _commitment(raw: RawScreen, kept: NDArray[np.bool_], data: DataConfig) -> NDArray[np.float64] | None:
    """Take how far the kept cells are committed from the column that says so."""
    if raw.commitment is None:
        return None
    where = raw.at("obs", data.commitment_key or "")
    degree = numeric_column(raw.commitment, where).astype(np.float64)[kept]
    wrong = ~((degree >= 0) & (degree <= 1))
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum())} cells have a commitment that is missing or outside [0, 1]",
            where=where,
            found=f"{some(np.unique(degree[wrong]).tolist(), 5)}; "
            f"first cells {some(raw.cells[kept][wrong][:5].tolist())}",
            allowed="a number from 0 (naive) to 1 (committed) in every cell, as CellRank's "
            "compute_lineage_priming writes it",
            fix="correct the column, or data.commitment_key=null with calibration.commitment=entropy",
        )
    return degree


def _weights(raw: RawScreen, data: DataConfig) -> NDArray[np.float64]:
    if raw.weight is None:
        return np.ones(raw.cells.size)
    where = raw.at("obs", data.weights or "")
    weight = numeric_column(raw.weight, where).astype(np.float64)
    wrong = ~np.isfinite(weight) | (weight < 0)
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum())} cells have a weight that is missing, infinite or negative",
            where=where,
            found=f"{some(np.unique(weight[wrong]).tolist(), 5)}; "
            f"first cells {some(raw.cells[wrong][:5].tolist())}",
            allowed="finite numbers, zero or more",
            fix="correct the column, or data.weights=null for equal weights",
        )
    return weight


def _scaled(weight: NDArray[np.float64], raw: RawScreen, data: DataConfig) -> NDArray[np.float64]:
    """Scale weights to mean 1 over the kept cells."""
    mean = float(weight.mean())
    if mean == 0:
        raise DataError(
            "all weights are zero",
            where=raw.at("obs", data.weights or ""),
            allowed="a positive weight for some kept cells",
            fix="correct the column, or data.weights=null for equal weights",
        )
    return weight / mean


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
            where=raw.at("obsm", data.guide_key),
            found=f"from {n_held.min()} to {n_held.max()} guides a cell",
            allowed=f"at most {data.Kmax} guides",
            fix="if the matrix holds raw counts, data.guide_threshold=N leaves out ambient ones; "
            f"else data.Kmax={n_held.max()}",
        )
    if not kept.any():
        raise DataError(
            "no cell is left", where=raw.source, found="every cell was dropped for one reason or another"
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
            allowed=f"kept cells in every {what} of the file",
            fix=f"see why they were dropped, or remove the {what} from the file",
        )


def _guides_of_genes_with_cells(
    rank: NDArray[np.int64], guides: Assignments, raw: RawScreen, data: DataConfig
) -> NDArray[np.bool_]:
    """Mark the gene guides whose gene at least one kept cell speaks of, (G,)."""
    held = np.bincount(rank, minlength=len(guides.guide_names) + len(guides.ntc_names))
    if not held.any():
        raise DataError(
            "no kept cell holds a guide",
            where=raw.at("obsm", data.guide_key),
            found=f"data.guide_threshold={data.guide_threshold}",
            fix="lower data.guide_threshold, or name the matrix with the guides: data.guide_key=KEY",
        )
    genes = guides.genes_of_guides
    seen = {genes[r] for r in np.flatnonzero(held[: len(genes)])}
    if not seen:
        raise DataError(
            "no kept cell holds a guide that targets a gene",
            where=raw.at("obsm", data.guide_key),
            found=f"only the NTC guides {some(guides.ntc_names, 5)}",
            fix="see is_ntc in the guide map and data.guide_threshold",
        )
    return np.array([gene in seen for gene in genes], dtype=bool)


def _crowding(crowded: NDArray[np.bool_], data: DataConfig) -> tuple[str, ...]:
    share = float(crowded.mean())
    if share <= MUCH_DROPPED:
        return ()
    return (
        f"{share:.1%} of the cells hold more than data.Kmax={data.Kmax} guides and are left out: "
        "ambient counts may pass for guides (data.guide_threshold)",
    )

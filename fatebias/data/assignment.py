"""Guides of each cell: from a sparse cells x guides matrix to padded slots, without a loop over cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Slots:
    """Padded guide slots of the cells, filled from the left: gene guides by id, then NTC guides.

    Parameters
    ----------
    guide_ids
        1..G for a gene's guide, 0 for NTC and padding, (N, K).
    mask
        1 for a guide, NTC too, (N, K).
    ntc_slots
        1..n_ntc where the slot holds an NTC guide, else 0, (N, K).
    n_guides
        Guides of each cell, (N,).
    """

    guide_ids: NDArray[np.int32]
    mask: NDArray[np.uint8]
    ntc_slots: NDArray[np.int32]
    n_guides: NDArray[np.int32]


def pad(cell: NDArray[np.integer], rank: NDArray[np.integer], n_cells: int, n_guides: int) -> Slots:
    """Lay out the guides of each cell in slots.

    Parameters
    ----------
    cell, rank
        Cell and guide of each assignment, (E,), each pair once. Ranks 0..G-1 are the gene guides in
        the order of their ids, ranks from G on the NTC guides.
    n_cells
        Number of cells N.
    n_guides
        Number of gene guides G.

    Returns
    -------
    Slots
        With as many slots as the fullest cell needs, at least one.
    """
    ranks = int(rank.max(initial=0)) + 1
    cell, rank = np.divmod(np.sort(cell.astype(np.int64) * ranks + rank), ranks)  # by cell, then by rank
    held = np.bincount(cell, minlength=n_cells)
    first = np.cumsum(held) - held
    slot = np.arange(cell.size) - first[cell]
    width = max(int(held.max(initial=0)), 1)

    guide_ids = np.zeros((n_cells, width), dtype=np.int32)
    ntc_slots = np.zeros((n_cells, width), dtype=np.int32)
    is_ntc = rank >= n_guides
    guide_ids[cell, slot] = np.where(is_ntc, 0, rank + 1)
    ntc_slots[cell, slot] = np.where(is_ntc, rank - n_guides + 1, 0)
    mask = (np.arange(width) < held[:, None]).astype(np.uint8)
    return Slots(guide_ids, mask, ntc_slots, held.astype(np.int32))

"""Guides of each cell: from pairs of cell and guide to padded slots, without a loop over cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Slots:
    """Padded guide slots of the cells, filled from the left: gene guides by id, then NTC guides."""

    guide_ids: NDArray[np.int32]  # (N, K) 1..G for a gene's guide, 0 for NTC and padding
    mask: NDArray[np.uint8]  # (N, K) 1 for a guide, NTC too
    ntc_slots: NDArray[np.int32]  # (N, K) 1..n_ntc where the slot holds an NTC guide, else 0
    n_guides: NDArray[np.int32]  # (N,) guides of each cell


def pad(cell: NDArray[np.integer], rank: NDArray[np.integer], n_cells: int, n_guides: int) -> Slots:
    """Lay out the guides of each cell in as many slots as the fullest cell needs, at least one.

    `cell` and `rank` (E,) list each pair of cell and guide once: ranks 0..G-1 are the gene guides in the
    order of their ids, higher ranks the NTC guides.
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

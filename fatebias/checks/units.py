"""What is drawn or left out as a whole (cells, clusters, replicates), and the weights of cells by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.data.screen import Screen
from fatebias.errors import DataError

Array = NDArray[np.float64]

# A cluster belongs to the day and the replicate of at least this share of its cells: a few stray cells do not
# make it one of many days.
MOSTLY = 0.9


@dataclass(frozen=True)
class Units:
    """U units; those of one stratum can take each other's place."""

    of_cell: NDArray[np.int64]  # (N,) unit of each cell, from 0
    stratum: NDArray[np.int64]  # (U,)
    what: str  # what a unit is, for messages

    @property
    def n(self) -> int:
        """U."""
        return len(self.stratum)

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Whether a unit has another in its stratum, (U,)."""
        return np.asarray(np.bincount(self.stratum)[self.stratum] > 1)


def resampling_units(screen: Screen, kind: str) -> Units:
    """Return the units of ``cells``, ``clusters`` or ``replicate``, and their strata.

    Cells are drawn within day and replicate. So are clusters that lie in one of each; the others are drawn
    within their replicate, within their day, or all together. Raises a DataError when no unit has another in
    its stratum.
    """
    day, rep = screen.day.astype(np.int64), screen.rep.astype(np.int64)
    if kind == "replicate":
        found = Units(rep, np.zeros(screen.R, dtype=np.int64), "replicates")
    elif kind == "cells":
        stratum = np.unique(day * screen.R + rep, return_inverse=True)[1].ravel()
        found = Units(np.arange(screen.N), stratum, "cells")
    else:
        n = int(screen.cluster.max()) + 1
        day, rep = _own(screen.cluster, day, n), _own(screen.cluster, rep, n)
        stratum = np.unique(day * (screen.R + 1) + rep, return_inverse=True)[1].ravel()
        found = Units(screen.cluster.astype(np.int64), stratum, f"clusters ({screen.cluster_source})")
    if not found.varies.any():
        raise DataError(
            "there is nothing to resample",
            where="calibration.bootstrap_unit, calibration.jackknife",
            found=f"{found.n} {found.what}, none with another like it",
            allowed="two replicates or more; two clusters or more in a day and replicate",
            fix="calibration.bootstrap_unit=cells, data.cluster_key=COLUMN, calibration.jackknife=none",
        )
    return found


def _own(cluster: NDArray[np.integer], level: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return 1 plus the level that most cells of each cluster share, 0 where they are spread, (n,)."""
    table = np.zeros((n, int(level.max()) + 1))
    np.add.at(table, (cluster, level), 1)
    return np.where(table.max(axis=1) >= MOSTLY * table.sum(axis=1), table.argmax(axis=1) + 1, 0)


def bootstrap_weights(drawn: Units, seed: int, number: int) -> Array:
    """Return the weights of the cells (N,), of mean 1 in expectation, for one refit of a bootstrap.

    Of the n units of a stratum n - 1 are drawn with replacement and each counts ``n / (n - 1)`` times as
    often as it was drawn, so that few units do not make the spread too small (Rao and Wu 1988, doi
    10.1080/01621459.1988.10478591). A unit alone in its stratum counts once.
    """
    rng = np.random.default_rng([0xB007, seed, number])
    size = np.bincount(drawn.stratum)
    first = np.cumsum(size) - size
    member = np.argsort(drawn.stratum, kind="stable")
    times = np.zeros(drawn.n)
    for start, n in zip(first.tolist(), size.tolist(), strict=True):
        if n == 1:
            times[member[start]] = 1
            continue
        count = np.bincount(rng.integers(n, size=n - 1), minlength=n)
        times[member[start : start + n]] = count * (n / (n - 1))
    return times[drawn.of_cell]


def jackknife_weights(left: Units, weight: Array, unit: int) -> Array:
    """Return the weights of the cells (N,) without one unit; the others of its stratum count more instead.

    Times the cells' own weights `weight` (N,) they keep the sum of the stratum.
    """
    stratum = left.stratum[left.of_cell]
    out = left.of_cell == unit
    others = (stratum == left.stratum[unit]) & ~out
    rest = weight[others].sum()
    times = np.ones(len(weight))
    times[out] = 0
    times[others] = 1 + weight[out].sum() / rest if rest > 0 else 1
    return times

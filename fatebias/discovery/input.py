"""What discovery is given, from memory or from a CSV: daywise effects with standard errors, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.discovery.tables import count_days, day_values, read_table
from fatebias.errors import DiscoveryError, some
from fatebias.files.outputs import PLACES

Array = NDArray[np.float64]

# R's mash_set_data takes a standard error up to this for zero and refuses it.
ZERO_SE = float(np.finfo(np.float64).eps)
# Beyond this a square overflows.
LARGEST = 1e100


@dataclass(frozen=True)
class GeneSummary:
    """Daywise effects of L genes on D days."""

    table: pd.DataFrame  # gene, betahat_d*, se_d*: text as in the file, or numbers
    bhat: Array  # (L, D) logits, finite
    shat: Array  # (L, D) standard errors, above zero
    where: Path | None = None  # the file; None for arrays in memory

    @property
    def genes(self) -> list[str]:
        """Gene names in the given order."""
        return list(self.table[names.GENE])

    @property
    def n_days(self) -> int:
        """D."""
        return self.bhat.shape[1]


def summary_of(genes: Sequence[str], bhat: Array, shat: Array) -> GeneSummary:
    """Check arrays in memory, bhat and shat (L, D)."""
    if bhat.shape != shat.shape or bhat.shape != (len(genes), *bhat.shape[1:2]):
        raise DiscoveryError(
            "genes, estimates and standard errors differ in shape",
            found=f"{len(genes)} genes, {bhat.shape} estimates, {shat.shape} standard errors",
            allowed="L genes, (L, D) estimates and standard errors",
        )
    n_days = bhat.shape[1]
    columns = names.day_columns(names.BETAHAT, n_days) + names.day_columns(names.SE, n_days)
    effects = pd.DataFrame(np.concatenate([bhat, shat], axis=1), columns=columns)
    return _checked(pd.concat([pd.DataFrame({names.GENE: list(genes)}), effects], axis=1), None)


def read_summary(path: Path) -> GeneSummary:
    """Read and check ``gene_summary_for_mash.csv``, leaving out all other columns."""
    fix = f"run the fit first: stages=[fit] writes {PLACES['gene_summary']}"
    return _checked(read_table(path, fix=fix), path)


def _checked(table: pd.DataFrame, where: Path | None) -> GeneSummary:
    n_days = count_days(table, [names.BETAHAT, names.SE], where=where)
    genes = table[names.GENE]
    if genes.duplicated().any():
        twice = genes[genes.duplicated()].unique()
        raise DiscoveryError(
            "genes stand in more than one row", where=where, found=some(twice), allowed="one row each"
        )
    bhat = day_values(table, names.BETAHAT, n_days, where=where, accept=lambda x: np.abs(x) < LARGEST)
    shat = day_values(
        table,
        names.SE,
        n_days,
        where=where,
        allowed=f"finite numbers above {ZERO_SE:.1e}",
        accept=lambda x: (x > ZERO_SE) & (x < LARGEST),
        fix="zero is a fit that did not move, infinity a gene without cells on that day: fit again, or leave "
        "the gene out",
    )
    columns = [names.GENE, *names.day_columns(names.BETAHAT, n_days), *names.day_columns(names.SE, n_days)]
    return GeneSummary(table[columns], bhat, shat, where)

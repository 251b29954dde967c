"""What discovery is given: daywise effects with standard errors, checked once for both engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.discovery.tables import count_days, numbers, read_table
from fatebias.errors import DiscoveryError, some

Array = NDArray[np.float64]

# R's mash_set_data takes a standard error up to this for zero and refuses it.
ZERO_SE = float(np.finfo(np.float64).eps)
# Beyond this a square overflows.
LARGEST = 1e100


@dataclass(frozen=True)
class GeneSummary:
    """Daywise effects of L genes on D days.

    Parameters
    ----------
    text
        ``gene``, ``betahat_d*``, ``se_d*`` as they stand in the file.
    bhat, shat
        The same as numbers, (L, D), finite; `shat` above zero.
    """

    text: pd.DataFrame
    bhat: Array
    shat: Array

    @property
    def genes(self) -> list[str]:
        """Gene names in the file's order."""
        return list(self.text[names.GENE])

    @property
    def n_days(self) -> int:
        """D."""
        return self.bhat.shape[1]


def read_summary(path: Path) -> GeneSummary:
    """Read and check ``gene_summary_for_mash.csv``; columns beyond those named are left out.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    GeneSummary
        In the file's order.

    Raises
    ------
    DiscoveryError
        When the file is absent or no CSV, columns are missing, a gene stands twice, or a value is not finite
        or a standard error not above zero.
    """
    table = read_table(path, fix=f"run the fit first: stages=[fit] writes {names.GENE_SUMMARY_CSV}")
    n_days = count_days(table, [names.BETAHAT, names.SE], where=path)
    genes = table[names.GENE]
    if genes.duplicated().any():
        twice = genes[genes.duplicated()].unique()
        raise DiscoveryError(
            "genes stand in more than one row", where=path, found=some(twice), allowed="one row each"
        )
    bhat = numbers(table, names.BETAHAT, n_days, where=path, accept=lambda x: np.abs(x) < LARGEST)
    shat = numbers(
        table,
        names.SE,
        n_days,
        where=path,
        allowed=f"finite numbers above {ZERO_SE:.1e}",
        accept=lambda x: (x > ZERO_SE) & (x < LARGEST),
        fix="zero is a fit that did not move, infinity a gene without cells on that day: fit again, or leave "
        "the gene out",
    )
    columns = [names.GENE, *names.day_columns(names.BETAHAT, n_days), *names.day_columns(names.SE, n_days)]
    return GeneSummary(table[columns], bhat, shat)

"""What either engine gives back, and the table that is written from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.discovery.input import GeneSummary
from fatebias.mash.joint import Effects, Prior

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """Posterior of every effect and the fit it came from.

    Parameters
    ----------
    postmean, postsd, lfsr
        Posterior mean, SD and local false sign rate, (L, D).
    qvalue
        Tail false discovery rate, (L, D); ashr only.
    loglik
        Log-likelihood under the fitted mixture (ashr: summed over days).
    v
        Error correlation that the engine took, (D, D), or (L, D, D) where each gene has its own; None for
        ashr, which takes each day by itself.
    pi
        Mixture weights above zero by component.
    priors
        The fitted mixture: one over all days (mashr), or one a day (ashr).
    versions
        Of the software that computed this.
    notes
        What the user should know, such as the identity taken for the error correlation.
    """

    postmean: Array
    postsd: Array
    lfsr: Array
    qvalue: Array | None
    loglik: float
    v: Array | None
    pi: dict[str, float]
    priors: tuple[Prior, ...]
    versions: dict[str, str]
    notes: tuple[str, ...]

    def effects(self, summary: GeneSummary) -> Effects:
        """Give the joint posterior over days.

        Parameters
        ----------
        summary
            The input of this outcome.

        Returns
        -------
        Effects
            Of all genes.
        """
        v = np.eye(summary.n_days) if self.v is None else self.v
        return Effects(summary.bhat, summary.shat, v, self.priors)

    def table(self, summary: GeneSummary) -> pd.DataFrame:
        """Put the posterior beside what mash was given.

        Parameters
        ----------
        summary
            The input of this outcome.

        Returns
        -------
        DataFrame
            The input's text, then ``postmean_d*, postsd_d*, lfsr_d*`` and for ashr ``qvalue_d*`` as numbers.
        """
        parts = {names.POSTMEAN: self.postmean, names.POSTSD: self.postsd, names.LFSR: self.lfsr}
        if self.qvalue is not None:
            parts[names.QVALUE] = self.qvalue
        columns = {
            column: values[:, d]
            for prefix, values in parts.items()
            for d, column in enumerate(names.day_columns(prefix, summary.n_days))
        }
        return pd.concat([summary.text, pd.DataFrame(columns)], axis=1)

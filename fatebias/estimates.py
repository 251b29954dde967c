"""Estimates with the covariance of their errors, for all fates or one contrast, and the file they stand in.

Nothing here needs torch, so that discovery can be done from the files of a fit alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fatebias.contrasts import Contrast
from fatebias.errors import DiscoveryError, explain

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Export:
    """Daywise effects of one contrast.

    Attributes
    ----------
    betahat
        Estimates in logits, shape (L, D).
    covariance
        Of their errors across days, shape (L, D, D).
    notes
        What the reader must know.
    """

    betahat: Array
    covariance: Array
    notes: tuple[str, ...] = ()

    @property
    def se(self) -> Array:
        """Standard errors, shape (L, D)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))


@dataclass(frozen=True)
class Estimates:
    """Daywise effects on every fate against the reference, from which any contrast follows.

    Attributes
    ----------
    mean
        In logits, shape (L, F*, D).
    covariance
        Of their errors across fates and days, shape (L, F*, D, F*, D).
    notes
        What the reader must know.
    dead
        Probability that a guide has no effect at all, shape (G,); None where all count as live.
    """

    mean: Array
    covariance: Array
    notes: tuple[str, ...] = ()
    dead: Array | None = None

    def contrast(self, weights: Array) -> Export:
        """Combine fates.

        Parameters
        ----------
        weights
            Of the non-reference fates, shape (F*,).

        Returns
        -------
        Export
            Of the weighted sum.
        """
        return Export(
            np.einsum("f,lfd->ld", weights, self.mean),
            np.einsum("f,lfdge,g->lde", weights, self.covariance, weights),
            self.notes,
        )


@dataclass(frozen=True)
class SavedFit:
    """What ``posterior.npz`` says of a fit, as far as discovery needs it.

    Attributes
    ----------
    estimates
        Of all fates.
    fates
        The reference first.
    contrast
        The fate that the screen is about.
    gene_names
        In the order of `estimates`.
    flip
        Probability of a sign change over days by pair of fates, shape (L, F, F).
    """

    estimates: Estimates
    fates: tuple[str, ...]
    contrast: str
    gene_names: tuple[str, ...]
    flip: Array

    def flips(self, contrast: Contrast) -> Array:
        """Probability that a contrast changes sign over days under the fit's own posterior, shape (L,)."""
        return self.flip[:, self.fates.index(contrast.fate), self.fates.index(contrast.against)]


def read_fit(path: Path, because: str) -> SavedFit:
    """Read what a fit left for discovery.

    Parameters
    ----------
    path
        ``posterior.npz``.
    because
        What needs it, for the message.

    Returns
    -------
    SavedFit
        Estimates, names and sign changes.

    Raises
    ------
    DiscoveryError
        When the file is absent or not of this version.
    """
    try:
        with np.load(path) as arrays:
            return SavedFit(
                Estimates(arrays["export_mean"], arrays["export_covariance"]),
                (str(arrays["reference_fate"]), *arrays["effect_fates"].tolist()),
                str(arrays["contrast"]),
                tuple(arrays["gene_names"].tolist()),
                arrays["theta_flip"],
            )
    except (OSError, KeyError, ValueError) as error:
        raise DiscoveryError(
            explain(
                f"{because} needs what the fit says of its errors",
                where=path,
                found=error,
                fix="keep posterior.npz beside the table, or fit again; else take "
                "discovery.null_correlation=simple without discovery.contrasts",
            )
        ) from error

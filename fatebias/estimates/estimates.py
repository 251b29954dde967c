"""Estimates with the covariance of their errors, for all fates or one contrast, and the file they stand in.

Nothing here needs torch, so that discovery can be done from the files of a fit alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fatebias.contrasts import Contrast
from fatebias.errors import DiscoveryError
from fatebias.inference.posterior import sign_changes

Array = NDArray[np.float64]

FLIP_DRAWS = 1000


@dataclass(frozen=True)
class ContrastEstimates:
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
class GuideEstimates:
    """Effects of guides that may be dead.

    Attributes
    ----------
    dead
        Probability of no effect at all, shape (G,); NaN where it cannot be told (a gene's only guide).
    mean, sd
        Of the guide's whole effect, shape (G, F*, D), logits.
    """

    dead: Array
    mean: Array
    sd: Array


@dataclass(frozen=True)
class GeneEstimates:
    """Daywise effects on every fate against the reference, from which any contrast follows.

    Attributes
    ----------
    mean
        In logits, shape (L, F*, D).
    covariance
        Of their errors across fates and days, shape (L, F*, D, F*, D).
    drawn_flip
        What `flip` is by draws that were made; None leaves it to draws from these normal estimates.
    notes
        What the reader must know.
    guides
        Where guides may be dead, what that makes of each; else None.
    """

    mean: Array
    covariance: Array
    drawn_flip: Array | None = None
    notes: tuple[str, ...] = ()
    guides: GuideEstimates | None = None

    @property
    def flip(self) -> Array:
        """Probability that the effect on fate a against fate b has different signs on two days.

        Of the two days that make it greatest; shape (L, F, F), the reference first.
        """
        return normal_flip(self.mean, self.covariance) if self.drawn_flip is None else self.drawn_flip

    def contrast(self, weights: Array) -> ContrastEstimates:
        """Combine fates.

        Parameters
        ----------
        weights
            Of the non-reference fates, shape (F*,).

        Returns
        -------
        ContrastEstimates
            Of the weighted sum.
        """
        return ContrastEstimates(
            np.einsum("f,lfd->ld", weights, self.mean),
            np.einsum("f,lfdge,g->lde", weights, self.covariance, weights),
            self.notes,
        )


def normal_flip(mean: Array, covariance: Array) -> Array:
    """Give `Estimates.flip` of normal effects, from draws.

    Parameters
    ----------
    mean, covariance
        As in `GeneEstimates`.

    Returns
    -------
    ndarray
        Shape (L, F, F).
    """
    n_genes, n_star, n_days = mean.shape
    rng = np.random.default_rng(0xF11F)
    flip = np.empty((n_genes, n_star + 1, n_star + 1))
    for gene in range(n_genes):
        root = np.linalg.cholesky(covariance[gene].reshape(n_star * n_days, -1))
        draws = mean[gene].ravel() + rng.standard_normal((FLIP_DRAWS, len(root))) @ root.T
        changes = sign_changes(draws.reshape(FLIP_DRAWS, 1, n_star, n_days))
        flip[gene] = changes[0].max(axis=(2, 3)) / FLIP_DRAWS
    return flip


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
    """

    estimates: GeneEstimates
    fates: tuple[str, ...]
    contrast: str
    gene_names: tuple[str, ...]

    def flips(self, contrast: Contrast) -> Array:
        """Probability that a contrast changes sign over days, before mash, shape (L,)."""
        return self.estimates.flip[:, self.fates.index(contrast.fate), self.fates.index(contrast.against)]


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
                GeneEstimates(arrays["export_mean"], arrays["export_covariance"], arrays["export_flip"]),
                (str(arrays["reference_fate"]), *arrays["effect_fates"].tolist()),
                str(arrays["contrast"]),
                tuple(arrays["gene_names"].tolist()),
            )
    except (OSError, KeyError, ValueError) as error:
        raise DiscoveryError(
            f"{because} needs what the fit says of its errors",
            where=path,
            found=error,
            fix="keep posterior.npz beside the table, or fit again; else take "
            "discovery.null_correlation=simple without discovery.contrasts",
        ) from error

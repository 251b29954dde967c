"""The screen as the model sees it: plain arrays and names, independent of the file they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fatebias.config import DataConfig


@dataclass(frozen=True, eq=False)
class Screen:
    """Kept cells with their fate probabilities, guides, day and replicate.

    Parameters
    ----------
    p
        Fate probabilities, (N, F); rows sum to 1; columns as in `fates`.
    fates
        Reference fate first, then the others in the order of ``data.fates``.
    contrast
        The fate whose logit against the reference is reported.
    guide_ids
        Guide of each slot, (N, K): 1..G for a gene's guide, 0 for NTC and for padding.
    mask
        1 for a guide (NTC too), 0 for padding, (N, K); slots are filled from the left.
    ntc_slots
        1..n_ntc where the slot holds an NTC guide, else 0, (N, K).
    n_guides
        Number of guides of each cell (burden), NTC counted, (N,).
    k_centered
        `n_guides` minus its mean over the kept cells of the same day, (N,).
    day
        Day of each cell, 0..D-1, (N,).
    rep
        Replicate of each cell, 0..R-1, (N,).
    weight
        Weight of each cell, mean 1, (N,).
    guide_names
        The G guides that target genes, sorted by gene, then guide; guide id g is at index g - 1.
    gene_names
        The L genes sorted by name; gene id l is at index l - 1.
    gene_of_guide
        Gene id of each guide id, (G + 1,); 0 for guide id 0.
    ntc_guide_names
        The NTC guides; number n of `ntc_slots` is at index n - 1.
    day_labels, rep_labels
        The labels as read, in the order of `day` and `rep`.
    cells
        Names of the kept cells, (N,).
    cluster
        Cells that may share noise have the same number, 0..C-1, (N,).
    cluster_source
        What the clusters are, for example ``replicate and day``.
    summary
        What was read, what was dropped and why; plain content that JSON can hold.
    commitment
        Commitment of each cell from ``data.commitment_key``, 0 to 1, (N,); None without that key.
    covariates
        ``data.covariates`` as columns of the model, (N, C): numbers in SDs within days, a column of 0 and 1
        for each category; None without any.
    covariate_names
        Names of these columns, (C,): ``log_umi``, ``lane=1``, ``lane=2``.

    Examples
    --------
    >>> import fatebias as fb
    >>> from fatebias.data.load import DEMO_DIR
    >>> screen = fb.read_screen(DEMO_DIR / "screen.h5ad", guides=DEMO_DIR / "guides.csv")
    >>> screen.N, screen.L, screen.fates
    (8000, 60, ('EC', 'MES', 'NEU'))
    """

    p: NDArray[np.float64]
    fates: tuple[str, ...]
    contrast: str
    guide_ids: NDArray[np.int32]
    mask: NDArray[np.uint8]
    ntc_slots: NDArray[np.int32]
    n_guides: NDArray[np.int32]
    k_centered: NDArray[np.float64]
    day: NDArray[np.int32]
    rep: NDArray[np.int32]
    weight: NDArray[np.float64]
    guide_names: tuple[str, ...]
    gene_names: tuple[str, ...]
    gene_of_guide: NDArray[np.int32]
    ntc_guide_names: tuple[str, ...]
    day_labels: tuple[str, ...]
    rep_labels: tuple[str, ...]
    cells: NDArray[np.object_]
    cluster: NDArray[np.int32]
    cluster_source: str
    summary: dict[str, Any]
    commitment: NDArray[np.float64] | None = None
    settings: DataConfig | None = None  # how it was read; None for one made by code
    covariates: NDArray[np.float64] | None = None
    covariate_names: tuple[str, ...] = ()

    @property
    def N(self) -> int:  # noqa: N802
        """Number of kept cells."""
        return self.p.shape[0]

    @property
    def K(self) -> int:
        """Number of guide slots per cell."""
        return self.guide_ids.shape[1]

    @property
    def G(self) -> int:
        """Number of guides that target genes."""
        return len(self.guide_names)

    @property
    def L(self) -> int:
        """Number of genes."""
        return len(self.gene_names)

    @property
    def D(self) -> int:
        """Number of days."""
        return len(self.day_labels)

    @property
    def R(self) -> int:
        """Number of replicates."""
        return len(self.rep_labels)

    @property
    def C(self) -> int:  # noqa: N802
        """Number of columns of covariates."""
        return len(self.covariate_names)

    @property
    def guide_gene(self) -> NDArray[np.int64]:
        """Gene of each guide that targets one, from 0, (G,)."""
        return self.gene_of_guide[1:].astype(np.int64) - 1

    @property
    def n_fates_star(self) -> int:
        """Number of non-reference fates, F*."""
        return len(self.fates) - 1

    @property
    def contrast_index(self) -> int:
        """Index of the contrast fate among the F* non-reference fates."""
        return self.fates.index(self.contrast) - 1

    def gene_holdings(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each pair of a cell and a gene, from 0, of which it holds a guide, once, in cell order."""
        gene = self.gene_of_guide[self.guide_ids]  # (N, K), 0 for none
        # Guide ids are sorted within a cell and guides by gene, so a gene's guides come one after another.
        first = gene > 0
        first[:, 1:] &= gene[:, 1:] != gene[:, :-1]
        cell, slot = np.nonzero(first)
        return cell, gene[cell, slot].astype(np.int64) - 1

    def gene_cells(self) -> NDArray[np.int64]:
        """Count the cells that hold a guide of each gene by day, (L, D)."""
        cell, gene = self.gene_holdings()
        return np.bincount(gene * self.D + self.day[cell], minlength=self.L * self.D).reshape(self.L, self.D)

    def fingerprint(self) -> str:
        """Return a SHA-256 of all that the model sees and the clusters, the same for files and objects."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        hashed = hashlib.sha256()
        for name in ("p", "guide_ids", "mask", "day", "rep", "weight", "gene_of_guide", "cluster"):
            array: NDArray[Any] = np.ascontiguousarray(getattr(self, name))
            hashed.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            hashed.update(array.data)
        for name in ("fates", "guide_names", "gene_names", "day_labels", "rep_labels"):
            hashed.update(f"{name} {getattr(self, name)!r}\n".encode())
        hashed.update(f"contrast {self.contrast!r}\n".encode())
        if self.C and self.covariates is not None:
            hashed.update(f"covariates {self.covariate_names!r}\n".encode())
            hashed.update(np.ascontiguousarray(self.covariates).data)
        return hashed.hexdigest()


def centre_burden(n_guides: NDArray[np.integer], day: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the number of guides of each cell minus its mean on the cell's day, (N,)."""
    return np.asarray(n_guides - (np.bincount(day, n_guides) / np.bincount(day))[day])

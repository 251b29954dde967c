"""Estimates with the covariance of their errors, for all fates or one contrast, and the file that keeps them.

Nothing here needs torch, so that discovery can run from the files of a fit alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.errors import DiscoveryError
from fatebias.estimates.days import Days
from fatebias.inference.posterior import sign_changes
from fatebias.mash.effect_likelihood import EffectLikelihood, Rows

Array = NDArray[np.float64]

FLIP_DRAWS = 1000
# What effects are counted from, as run.json has it.
NTC_CELLS, AVERAGE_GENE = "ntc", "genes"
UNREADABLE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile)  # what a damaged file raises


@dataclass(frozen=True)
class ContrastEstimates:
    """Daywise effects of one contrast."""

    betahat: Array  # (L, D) in logits
    covariance: Array  # (L, D, D) of their errors across days
    notes: tuple[str, ...] = ()  # what the reader must know
    likelihood: EffectLikelihood | None = None  # (D,) effects; None: one normal, with the moments above

    @property
    def se(self) -> Array:
        """Standard errors, (L, D)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))


@dataclass(frozen=True)
class GuideEstimates:
    """Effects of guides that may be inactive."""

    inactive: Array  # (G,) probability of no effect at all; NaN for a gene's only guide
    mean: Array  # (G, F*, D) the guide's whole effect, logits
    sd: Array  # (G, F*, D)


@dataclass(frozen=True)
class GeneEstimates:
    """Daywise effects on every fate against the reference, from which any contrast follows."""

    mean: Array  # (L, F*, D) in logits
    covariance: Array  # (L, F*, D, F*, D) of their errors across fates and days
    drawn_flip: Array | None = None  # (L, F, F) `flip` from posterior draws; None takes normal draws
    notes: tuple[str, ...] = ()  # what the reader must know
    guides: GuideEstimates | None = None  # where guides may be inactive, else None
    # Of the effects (F* x D), fate by fate, of which mean and covariance are the moments; None: one normal.
    likelihood: EffectLikelihood | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)  # of their own fit, where they have one
    warnings: tuple[str, ...] = ()  # what these figures say against it
    days: Days | None = None  # their labels, and on which of them each gene has cells
    baseline: str = NTC_CELLS  # what effects are counted from

    @property
    def flip(self) -> Array:
        """Probability that the effect on fate a against fate b has opposite signs on two days, (L, F, F).

        Of the two days for which it is greatest; the reference first, zero on the diagonal.
        """
        return normal_flip(self.mean, self.covariance) if self.drawn_flip is None else self.drawn_flip

    def at(self, genes: Sequence[int]) -> GeneEstimates:
        """Return those of some genes, in the order of these; guides are left out."""
        return GeneEstimates(
            self.mean[genes],
            self.covariance[genes],
            None if self.drawn_flip is None else self.drawn_flip[genes],
            self.notes,
            likelihood=None if self.likelihood is None else self.likelihood.at(genes),
            days=None if self.days is None else self.days.at(genes),
            baseline=self.baseline,
        )

    def contrast(self, weights: Array) -> ContrastEstimates:
        """Return the effects on a weighted sum of the non-reference fates, weights of shape (F*,)."""
        view = fate_view(weights, self.mean.shape[2])
        return ContrastEstimates(
            np.einsum("f,lfd->ld", weights, self.mean),
            np.einsum("f,lfdge,g->lde", weights, self.covariance, weights),
            self.notes,
            None if self.likelihood is None else self.likelihood.through(view),
        )


def fate_view(weights: Array, n_days: int) -> Array:
    """Return the map, (D, F* x D), from all effects, fate by fate, to a weighted sum of fates, (F*,)."""
    return np.asarray(np.kron(weights, np.eye(n_days)), dtype=np.float64)


def normal_flip(mean: Array, covariance: Array) -> Array:
    """Return `GeneEstimates.flip`, (L, F, F), from draws of normal effects."""
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
    """What discovery needs of ``posterior.npz``."""

    estimates: GeneEstimates
    fates: tuple[str, ...]  # the reference first
    contrast: str  # the fate that the screen is about
    gene_names: tuple[str, ...]  # in the order of the estimates


def likelihood_arrays(likelihood: EffectLikelihood) -> dict[str, Array]:
    """Return what ``posterior.npz`` keeps of the normals of each gene."""
    own = {name: getattr(likelihood, name) for name in ("mean", "covariance", "log_none", "log_some")}
    own |= {"counts": likelihood.rows.counts, "none_elsewhere": np.array(likelihood.none_elsewhere)}
    return {f"normals_{name}": values for name, values in own.items()}


def _likelihood(arrays: Mapping[str, Array]) -> EffectLikelihood | None:
    if "normals_mean" not in arrays:
        return None
    mean, covariance, log_none, log_some = (
        arrays[f"normals_{name}"] for name in ("mean", "covariance", "log_none", "log_some")
    )
    rows = Rows.of(arrays["normals_counts"].astype(np.intp))
    elsewhere = float(arrays["normals_none_elsewhere"])
    return EffectLikelihood(mean, covariance, log_none, log_some, rows, elsewhere)


def _days(arrays: Mapping[str, Array]) -> Days:
    labels = tuple(arrays["day_labels"].tolist())
    if "gene_cells" not in arrays:  # of an earlier version
        return Days(labels)
    return Days(labels, arrays["gene_cells"].astype(np.int64), int(arrays["min_cells"]))


def saved_fates(path: Path) -> tuple[tuple[str, ...], str] | None:
    """Return the fates of ``posterior.npz``, the reference first, and the screen's contrast; None without."""
    try:
        with np.load(path) as arrays:
            fates = (str(arrays["reference_fate"]), *arrays["effect_fates"].tolist())
            return fates, str(arrays["contrast"])
    except UNREADABLE:
        return None


def read_fit(path: Path, because: str) -> SavedFit:
    """Return what ``posterior.npz`` keeps of a fit; ``because`` says in the message what needs it.

    Raises DiscoveryError when the file is absent or of another version.
    """
    try:
        with np.load(path) as arrays:
            return SavedFit(
                GeneEstimates(
                    arrays["export_mean"],
                    arrays["export_covariance"],
                    arrays["export_flip"],
                    likelihood=_likelihood(arrays),
                    days=_days(arrays),
                ),
                (str(arrays["reference_fate"]), *arrays["effect_fates"].tolist()),
                str(arrays["contrast"]),
                tuple(arrays["gene_names"].tolist()),
            )
    except UNREADABLE as error:
        raise DiscoveryError(
            f"{because} needs the errors of the fit",
            where=path,
            found=error,
            fix="keep posterior.npz beside the table, or fit again; else take "
            "discovery.null_correlation=simple without discovery.contrasts",
        ) from error

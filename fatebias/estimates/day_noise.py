"""How much a guide's effect varies from day to day beyond its gene's course and its own lasting deviation.

Cells with the same guide on the same day share noise where few clones carry the guide, or where guides were
delivered anew on each day. Calls rest on differences between days, in which a lasting deviation of a guide
cancels and this noise does not. It is seen in the residuals of guides by days, centred both ways within a
gene, in excess of the labels' scatter: one fate at a time, each gene's restricted likelihood on a grid of
SDs, mixed over genes by weights that all genes together determine (Laird 1978, doi
10.1080/01621459.1978.10480103).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.estimates.guide_likelihood import GuideLikelihood, log_evidence, same_on_all_days
from fatebias.estimates.sandwich import BROAD

Array = NDArray[np.float64]

# SDs in logits that are mixed.
GRID = np.array([0.0, 0.05, 0.08, 0.12, 0.17, 0.25, 0.35, 0.5, 0.7, 1.0])
# Genes without noise that are counted besides those of the screen: small screens show nothing by chance.
QUIET_GENES = 3.0
SWEEPS = 2
MOST_ROUNDS = 500
SETTLED = 1e-5
SHOWN = 0.02  # a smaller SD is called none


@dataclass(frozen=True)
class DayNoise:
    """Noise of guides by day."""

    variance: Array  # (L, F*) of a guide's deviation on one day, logits squared
    seen: bool  # False where the screen cannot show it: a single day, or one guide a gene

    @property
    def sd(self) -> Array:
        """Root mean square over genes, (F*,)."""
        return np.asarray(np.sqrt(self.variance.mean(axis=0)))

    def summary_line(self, fates: Sequence[str]) -> str:
        """Return one line for the terminal; ``fates`` are the F* others than the reference."""
        if not self.seen:
            return (
                "whether guides vary from day to day cannot be estimated (that takes two days, and two "
                "guides of a gene): errors leave it out"
            )
        found = [f"{sd:.2f} ({fate})" for sd, fate in zip(self.sd, fates, strict=True) if sd >= SHOWN]
        if not found:
            return "guides do not vary from day to day beyond the scatter of labels"
        return f"guides vary from day to day with SD {', '.join(found)} in logits, which errors include"


def estimate_day_noise(
    guides: GuideLikelihood, gene: NDArray[np.int64], n_genes: int, n_fates: int
) -> DayNoise:
    """Return the noise by gene; ``gene``, (G,), is the gene of each guide from 0."""
    n_days = guides.linear.shape[1] // n_fates
    several = np.bincount(gene, minlength=n_genes) > 1
    variance = np.zeros((n_genes, n_fates))
    if n_days == 1 or not several.any():
        return DayNoise(variance, False)
    same = same_on_all_days(n_fates, n_days)

    def restricted(given: Array) -> Array:
        noisy = with_day_noise(guides, given[gene])
        return log_evidence(noisy.absorb(same, np.full(n_fates, BROAD)).left, gene, n_genes)

    for _ in range(SWEEPS):
        for fate in range(n_fates):
            columns = []
            for sd in GRID:
                given = variance.copy()
                given[:, fate] = sd**2
                columns.append(restricted(given))
            variance[:, fate] = _mixed(np.column_stack(columns), several) @ GRID**2
    return DayNoise(variance, True)


def with_day_noise(guides: GuideLikelihood, variance: Array) -> GuideLikelihood:
    """Return the likelihood of effects without a noise of this variance on every day, (G, F*)."""
    width = guides.linear.shape[1]
    sd = np.repeat(np.sqrt(variance), width // variance.shape[1], axis=1)
    return guides.absorb(np.eye(width), sd).left


def _mixed(log_likelihood: Array, several: NDArray[np.bool_]) -> Array:
    """Return each gene's posterior weights on the grid, (L, K); genes with one guide get those of all."""
    informed = log_likelihood[several]
    likelihood = np.exp(informed - informed.max(axis=1, keepdims=True))
    quiet = QUIET_GENES * (GRID == 0)
    share = np.full(len(GRID), 1 / len(GRID))
    for _ in range(MOST_ROUNDS):
        each = likelihood * share
        each /= each.sum(axis=1, keepdims=True)
        new = (each.sum(axis=0) + quiet) / (len(each) + QUIET_GENES)
        change, share = float(np.abs(new - share).max()), new
        if change < SETTLED:
            break
    weights = np.tile(share, (len(several), 1))
    weights[several] = each
    return weights

"""Which effects the pseudo-genes of the power check get, guide by guide."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.checks.spike_report import ALL_DAYS, NO_DAYS, ONE_DAY
from fatebias.data.screen import Screen

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spikes:
    """Effects of the n pseudo-genes of one fit."""

    effects: Array  # (n, D) logits, zero where a pseudo-gene stays null
    days: tuple[str, ...]  # n times "none", "one" or "all"


class Deck:
    """Deals out effects: every other pseudo-gene stays null, the others go through all designs in turn.

    A design is a size (logits, above zero), a sign, and one day or all of them; each comes once before any
    comes again, in random order, over as many pseudo-genes and fits as there are.
    """

    def __init__(self, sizes: list[float], n_days: int, seed: int) -> None:
        patterns = (ONE_DAY, ALL_DAYS) if n_days > 1 else (ALL_DAYS,)
        self.designs = list(itertools.product(sizes, (-1.0, 1.0), patterns))
        self.n_days = n_days
        self.rng = np.random.default_rng([0x5B1CE, seed])
        self.left: list[int] = []
        self.days_left: list[int] = []
        self.null_next = False

    def deal(self, n: int) -> Spikes:
        """Return effects for the next n pseudo-genes."""
        effects, days = np.zeros((n, self.n_days)), [NO_DAYS] * n
        for place in range(n):
            if not self.null_next:
                self.left = self.left or self.rng.permutation(len(self.designs)).tolist()
                size, sign, days[place] = self.designs[self.left.pop()]
                effects[place, self._days(days[place])] = sign * size
            self.null_next = not self.null_next
        return Spikes(effects, tuple(days))

    def _days(self, pattern: str) -> slice | int:
        if pattern == ALL_DAYS:
            return slice(None)
        self.days_left = self.days_left or self.rng.permutation(self.n_days).tolist()
        return self.days_left.pop()


def by_guide(split: Screen, n_real: int, effects: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Return the effects of all guides, (G + 1, D), zero but for those of spiked pseudo-genes.

    Pseudo-genes lie behind the `n_real` real genes, with `effects` (n, D); `sigma` is the SD of guides around
    their gene, the same deviation on each day that has an effect.
    """
    by_gene = np.concatenate([np.zeros((n_real + 1, split.D)), effects])
    of_guide = by_gene[split.gene_of_guide]
    deviation = sigma * rng.standard_normal(len(of_guide))
    return np.where(of_guide != 0, of_guide + deviation[:, None], 0.0)

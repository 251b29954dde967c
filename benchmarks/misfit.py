"""What the simulator does not vary, and the model does not know: guides, clones, depth and labels.

`redraw` takes a simulated screen, changes how its guides act and how its cells are made, and draws labels
anew. The truth theta, (L, F*, D), stays what the simulator drew: the mean effect of a gene's guides over
their law, except that under ``failing`` it is the effect of a guide that works, as under
``inactive_guide_share``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fatebias.data.assignment import pad
from fatebias.data.screen import Screen, centre_burden
from fatebias.data.simulation.truth import Truth
from fatebias.data.synthetic import subset
from fatebias.model.softmax import probabilities

Array = NDArray[np.float64]
Labels = Callable[[Screen, Array, np.random.Generator], Screen]  # labels around pi, (N, F)

EFFICACY = (0.2, 1.2)  # of a guide, uniform between the two
FAILING = 0.25  # share of guides without effect, under "failing"
CLONE_SD = 0.7  # logits
DEPTH_SLOPE = 0.4  # logits of every fate against the reference, for one SD of log depth
# Log odds that a guide is seen in a cell of mean depth, and their change with one SD of log depth.
SEEN, SEEN_SLOPE = 1.5, 1.0


@dataclass(frozen=True)
class GuideLaw:
    """How the guides of a gene differ.

    ``common``: as the simulator drew them. Under the others guides of genes without effect do nothing, and
    those of a gene with an effect deviate from it by a normal (``active``), have an efficacy
    (``efficacy``), or fail at random (``failing``).
    """

    kind: str = "common"
    spread: float = 0.0  # SD of the deviation under "active", logits
    by_day: float = 0.0  # SD of a guide's own deviation on each day and fate, logits
    by_replicate: float = (
        0.0  # a gene's effects are larger by this share in every other replicate, else smaller
    )

    def effects(self, truth: Truth, n_reps: int, rng: np.random.Generator) -> Array:
        """Return each guide's effect by fate, day and replicate, (G + 1, F*, D, R); row 0 is for NTC."""
        theta = truth.theta[truth.gene_of_guide - 1]  # (G, F*, D)
        n_guides, n_star, n_days = theta.shape
        if self.kind == "common":
            own = truth.guide_effects()
        elif self.kind == "active":
            deviation = self.spread * rng.standard_normal((n_guides, n_star, 1))
            own = theta + deviation * theta.any(axis=2, keepdims=True)
        elif self.kind == "efficacy":
            own = theta * (rng.uniform(*EFFICACY, (n_guides, 1, 1)) / np.mean(EFFICACY))
        elif self.kind == "failing":
            own = theta * (rng.random((n_guides, 1, 1)) >= FAILING)
        else:
            raise ValueError(f"no law of guides is called {self.kind}")
        own = own + self.by_day * rng.standard_normal((n_guides, n_star, n_days))
        change = self.by_replicate * np.where(np.arange(n_reps) % 2 == 0, 1, -1)  # (R,)
        turned = np.where(rng.random(len(truth.theta)) < 0.5, 1, -1)[truth.gene_of_guide - 1]
        effects = own[..., None] + theta[..., None] * turned[:, None, None, None] * change
        return np.concatenate([np.zeros((1, *effects.shape[1:])), effects])


@dataclass(frozen=True)
class Clones:
    """Cells of a clone share an additive deviation of their logits."""

    size: int  # cells
    nested: bool = True  # all cells of a clone hold the same guides; else each holds its own
    across: bool = False  # over days and replicates; else within
    known: bool = False  # the screen's clusters are the clones

    def draw(self, screen: Screen, rng: np.random.Generator) -> NDArray[np.int32]:
        """Return the clone of each cell, from 0, (N,)."""
        group = np.zeros(screen.N, dtype=np.int64) if self.across else _groups(screen)
        clone = np.empty(screen.N, dtype=np.int32)
        number = 0
        for each in np.unique(group):
            members = rng.permutation(np.flatnonzero(group == each))
            clone[members] = number + np.arange(len(members)) // self.size
            number = int(clone[members].max()) + 1
        return clone


def redraw(
    screen: Screen,
    truth: Truth,
    rng: np.random.Generator,
    *,
    labels: Labels,
    guides: GuideLaw,
    clones: Clones | None = None,
    depth: bool = False,
) -> Screen:
    """Return the screen with labels drawn anew around logits that the model does not have.

    Parameters
    ----------
    screen, truth
        From the simulator.
    labels
        Draws labels around pi.
    guides
        How guides of a gene differ.
    clones
        Clones of cells, none by default.
    depth
        Whether a cell's depth moves its fate and decides which of its guides are seen; cells without a seen
        guide are left out.
    """
    eta = np.zeros((screen.N, screen.n_fates_star))
    if clones is not None:
        clone = clones.draw(screen, rng)
        screen = _found(screen, clone) if clones.nested else screen
        if clones.known:
            screen = dataclasses.replace(screen, cluster=clone, cluster_source="clones")
        eta += CLONE_SD * rng.standard_normal((int(clone.max()) + 1, screen.n_fates_star))[clone]
    log_depth = rng.standard_normal(screen.N) if depth else np.zeros(screen.N)
    eta += DEPTH_SLOPE * log_depth[:, None]
    eta += logits(screen, truth, guides.effects(truth, screen.R, rng))
    others = probabilities(eta)
    screen = labels(screen, np.column_stack([1 - others.sum(axis=1), others]), rng)
    return seen_guides(screen, expit(SEEN + SEEN_SLOPE * log_depth), rng) if depth else screen


def logits(screen: Screen, truth: Truth, effects: Array) -> Array:
    """Return the model's logits of each cell under these effects of guides, (G + 1, F*, D, R): (N, F*)."""
    eta = truth.alpha.T[screen.day] + truth.b.T[screen.rep] + screen.k_centered[:, None] * truth.gamma
    for slot in range(screen.K):
        eta = eta + effects[screen.guide_ids[:, slot], :, screen.day, screen.rep]
    return np.asarray(eta)


def dirichlet(screen: Screen, pi: Array, rng: np.random.Generator, *, by_day: tuple[float, ...]) -> Screen:
    """Draw labels from Dirichlet(c pi) with a c for each day, or one for all."""
    c = np.array(by_day)[screen.day % len(by_day)]
    drawn = rng.standard_gamma(c[:, None] * pi)
    return dataclasses.replace(screen, p=drawn / drawn.sum(axis=1, keepdims=True))


def uneven_fates(
    screen: Screen, pi: Array, rng: np.random.Generator, *, tight: str, concentration: tuple[float, float]
) -> Screen:
    """Draw the probability of one fate tightly, and divide what is left among the others loosely.

    p_t ~ Beta(c pi_t, c (1 - pi_t)) with the first concentration, the others' shares of 1 - p_t from a
    Dirichlet of their pi with the second; every label keeps the mean pi.
    """
    at = screen.fates.index(tight)
    own = rng.beta(concentration[0] * pi[:, at], concentration[0] * (1 - pi[:, at]))
    rest = np.delete(pi, at, axis=1)
    drawn = rng.standard_gamma(concentration[1] * rest / rest.sum(axis=1, keepdims=True))
    shared = (1 - own)[:, None] * drawn / drawn.sum(axis=1, keepdims=True)
    return dataclasses.replace(screen, p=np.insert(shared, at, own, axis=1))


def seen_guides(screen: Screen, chance: Array, rng: np.random.Generator) -> Screen:
    """Return what is seen of a screen where each guide of a cell is seen with the cell's chance, (N,)."""
    seen = (screen.mask > 0) & (rng.random(screen.mask.shape) < chance[:, None])
    cell, slot = np.nonzero(seen)
    ntc = screen.ntc_slots[cell, slot]
    rank = np.where(ntc > 0, screen.G + ntc - 1, screen.guide_ids[cell, slot] - 1)
    slots = pad(cell, rank, screen.N, screen.G)
    kept = subset(
        dataclasses.replace(
            screen,
            guide_ids=slots.guide_ids,
            mask=slots.mask,
            ntc_slots=slots.ntc_slots,
            n_guides=slots.n_guides,
        ),
        slots.n_guides > 0,
    )
    return dataclasses.replace(kept, k_centered=centre_burden(kept.n_guides, kept.day))


def _found(screen: Screen, clone: NDArray[np.int32]) -> Screen:
    """Give all cells of a clone the guides of its first cell."""
    founder = np.unique(clone, return_index=True)[1][clone]
    held = {name: getattr(screen, name)[founder] for name in ("guide_ids", "mask", "ntc_slots", "n_guides")}
    return dataclasses.replace(screen, **held, k_centered=centre_burden(held["n_guides"], screen.day))


def _groups(screen: Screen) -> NDArray[np.int64]:
    return screen.day.astype(np.int64) * screen.R + screen.rep

"""What is asked of a gene beyond hit or not: active days, sign changes, peak, time course, what was missed.

All of it from the joint posterior over days (`discovery.effects`), one row a gene.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.discovery.detectable import least_detectable
from fatebias.discovery.ranking import CallRule, active
from fatebias.estimates.days import Days, plain_days
from fatebias.mash.joint import JointPosterior

Array = NDArray[np.float64]

DRAWS = 2000
GENES_AT_ONCE = 500
# In a draw a day is on where its effect is at least this share of the largest one of that draw.
ON = 0.5
# Sizes closer than this share of the larger are the same: days that a pattern makes equal differ by rounding.
TIED = 1e-6
REVERSING = "reversing"
COURSES = ("persistent", "early", "late", "transient", REVERSING)


def large(joint: JointPosterior, eps: float) -> Array:
    """Probability of an effect larger than `eps` in either direction, (L, D)."""
    sides = (each.above(eps) for each in joint.mixtures())
    return np.clip(np.column_stack([up + down for up, down in sides]), 0, 1)


def any_effect(joint: JointPosterior) -> Array:
    """Probability of an effect on at least one day, (L,)."""
    nothing = np.prod([each.nothing for each in joint.mixtures()], axis=0)
    return np.asarray(1 - nothing)


def call_table(
    table: pd.DataFrame,
    joint: JointPosterior,
    rule: CallRule,
    eps: float,
    seed: int,
    flips: Array | None = None,
    days: Days | None = None,
) -> pd.DataFrame:
    """Return one row a gene, in the order of `table`, with the columns of docs/calls.md.

    `eps` is the least size of a large effect in logits; `flips`, (L,), the probability of a sign change over
    days before shrinkage, becomes the column ``p_flip_fit``. `days` has the days' labels and on which of them
    a gene has no cells.
    """
    called = active(table, rule)
    days = plain_days(joint.n_days) if days is None else days
    rows: dict[str, Any] = {
        names.GENE: table[names.GENE].to_numpy(),
        names.HIT_ANYDAY: called.any(axis=1),
        names.ACTIVE_DAYS: days.named(called),
        names.N_ACTIVE_DAYS: called.sum(axis=1),
        names.P_ANY: any_effect(joint),
    }
    rows |= _over_days(joint, np.random.default_rng([0xCA11, seed]), 1 - rule.threshold(1), days)
    if flips is not None:
        rows[names.P_FLIP_FIT] = flips
    by_day, lasting = least_detectable(joint, rule, eps)
    missed = ~called.any(axis=1)  # of no use for a gene that was called
    known = ~_unseen(days, called.shape)
    rows |= {
        f"{names.MDE}{d}": np.where(missed & known[:, d], by_day[:, d], np.nan) for d in range(joint.n_days)
    }
    rows[names.MDE_LASTING] = np.where(missed, lasting, np.nan)
    if days.cells is not None:
        rows[names.NO_DATA] = days.named(~known)
        rows |= {f"{names.CELLS_BY_DAY}{d}": days.cells[:, d] for d in range(joint.n_days)}
    return days.labelled(pd.DataFrame(rows))


def _unseen(days: Days, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Days on which a gene has no cells, (L, D)."""
    return np.zeros(shape, dtype=bool) if days.unseen is None else days.unseen


def _over_days(joint: JointPosterior, rng: np.random.Generator, sure: float, days: Days) -> dict[str, Any]:
    """Summarise draws: the peak, the course and sign changes, of the days on which a gene has cells."""
    n_genes = len(joint.bhat)
    unseen = _unseen(days, joint.bhat.shape)
    parts = [
        _of_draws(
            np.concatenate(
                [
                    each.draw(DRAWS, rng)
                    for each in joint.mixtures(slice(start, min(start + GENES_AT_ONCE, n_genes)))
                ],
                axis=2,
            ),
            sure,
            unseen[start : start + GENES_AT_ONCE],
            days.labels,
        )
        for start in range(0, n_genes, GENES_AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_draws(draws: Array, sure: float, unseen: NDArray[np.bool_], labels: Sequence[str]) -> dict[str, Any]:
    # A day without cells has neither peak nor sign, and takes the course of the day before or after it.
    lasting = _filled(draws, unseen)
    draws = np.where(unseen, 0.0, draws)
    size = np.abs(draws)  # (S, L, D)
    greatest = size.max(axis=2)
    real = greatest > 0
    n_real = np.maximum(real.sum(axis=0), 1)
    # An effect that is the same on several days has no one peak: it counts for each of them in equal parts,
    # where an argmax would let rounding choose.
    top = (size >= (1 - TIED) * greatest[..., None]) & real[..., None]  # (S, L, D)
    peak = (top / np.maximum(top.sum(axis=2, keepdims=True), 1)).sum(axis=0).T / n_real  # (D, L)
    course = _courses(lasting, np.abs(lasting) >= ON * greatest[..., None])
    share = np.array([((course == kind) & real).sum(axis=0) for kind in range(len(COURSES))]) / n_real
    some = real.any(axis=0)
    plus, minus = (draws > 0).astype(np.float32), (draws < 0).astype(np.float32)
    opposite = np.einsum("sld,sle->lde", plus, minus) / len(draws)
    opposite = opposite + np.swapaxes(opposite, 1, 2)  # (L, D, D)
    p_flip = opposite.max(axis=(1, 2))
    flips = p_flip > sure  # a sign change makes a gene reversing where it is called, and only there
    steady = share[:-1].argmax(axis=0)
    return {
        names.PEAK_DAY: peak.argmax(axis=0),
        names.P_PEAK: np.where(some, peak.max(axis=0), 0.0),
        names.COURSE: np.array(COURSES, dtype=object)[np.where(flips, COURSES.index(REVERSING), steady)],
        names.P_COURSE: np.where(flips, p_flip, np.where(some, share[:-1].max(axis=0), 0.0)),
        names.FLIP_DAYS: np.array([_pairs(each, sure, labels) for each in opposite], dtype=object),
        names.P_FLIP: p_flip,
    }


def _courses(draws: Array, on: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return which of `COURSES` each draw takes, (S, L), from the days that are on, (S, L, D).

    Both signs among them: reversing. Else, all days: persistent. The first but not the last: early. The last
    but not the first: late. Else transient: neither of the two, or both with a gap between them.
    """
    first, last = on[..., 0], on[..., -1]
    both_signs = (on & (draws > 0)).any(axis=2) & (on & (draws < 0)).any(axis=2)
    return np.select([both_signs, on.all(axis=2), first & ~last, last & ~first], [4, 0, 1, 2], default=3)


def _filled(draws: Array, unseen: NDArray[np.bool_]) -> Array:
    """Put the nearest day with cells in the place of each day without, (S, L, D)."""
    if not unseen.any():
        return draws
    filled = draws.copy()
    for gene in np.flatnonzero(unseen.any(axis=1) & ~unseen.all(axis=1)):
        seen = np.flatnonzero(~unseen[gene])
        for day in np.flatnonzero(unseen[gene]):
            filled[:, gene, day] = draws[:, gene, seen[np.abs(seen - day).argmin()]]
    return filled


def _pairs(opposite: Array, sure: float, labels: Sequence[str]) -> str:
    return ";".join(f"{labels[d]}-{labels[e]}" for d, e in np.argwhere(np.triu(opposite) > sure))

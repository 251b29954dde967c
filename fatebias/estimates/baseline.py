"""What effects are counted from: cells with NTC guides, or the average gene where those say too little.

Without NTC guides nothing but its prior tells the effect that all genes have in common from the intercept
of the day, and that ignorance is in every gene's error. Differences between genes are known all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fatebias.estimates.theta_covariance import ThetaCovariance

Array = NDArray[np.float64]

# An error in the common level moves all genes at once, which mash takes for evidence: it must be small beside
# a gene's own error. In SDs; with four guides a gene about what two NTC guides give.
LARGEST_LEVEL = 0.5
# A level so far from zero is no error: taken away, it would take what the genes have in common with it.
SURE_LEVEL = 5.0  # SDs, on any fate and day
FARTHEST = 3.0  # SDs from the centre up to which a gene counts among those that define it
MOST_ROUNDS = 20


@dataclass(frozen=True)
class Baseline:
    """Free gene effects against a baseline."""

    mean: Array  # (L, F*, D)
    covariance: Array  # (L, F*, D, F*, D)
    level: Array  # (F*, D) that was taken from the effects
    notes: tuple[str, ...] = ()
    against_genes: bool = False  # the average gene, not cells with NTC guides


def choose_baseline(theta: Array, covariance: ThetaCovariance, asked: str, n_ntc: int) -> Baseline:
    """Return effects against NTC cells or the average gene.

    ``theta`` is (L, F*, D), ``covariance`` its own. ``asked`` is
    ``export.baseline``: ntc, genes, or auto, which takes genes where the error of the common level is not
    small beside a gene's own, unless the level is surely not zero. The average gene is that of the genes that
    differ least from each other. ``n_ntc``, the number of NTC guides, is for the note.
    """
    shape = (*theta.shape, *theta.shape[1:])
    plain = Baseline(theta, covariance.blocks.reshape(shape), np.zeros(theta.shape[1:]))
    if asked == "ntc" or len(theta) == 1:
        return plain
    flat = theta.reshape(len(theta), -1)  # (L, E)
    centred, _ = _centred(covariance, np.ones(len(theta), dtype=bool))
    like_most = _like_most(flat, np.sqrt(np.diagonal(centred, axis1=1, axis2=2)))
    centred, level = _centred(covariance, like_most)
    of_gene = np.median(np.diagonal(centred, axis1=1, axis2=2))
    # the genes' own errors are in their mean, too
    common = max(np.median(np.diagonal(level)) - of_gene / max(like_most.sum() - 1, 1), 0.0)
    ratio = np.sqrt(common / of_gene)
    if asked == "auto" and ratio < LARGEST_LEVEL:
        return plain
    average = theta[like_most].mean(axis=0)
    away = np.abs(average.ravel()) / np.sqrt(np.diagonal(level))
    if asked == "auto" and away.max() > SURE_LEVEL:
        surest = average.ravel()[away.argmax()]
        note = (
            f"effects are against NTC cells although {_guides_say(n_ntc)} little of the level that all genes "
            f"share (its error is {ratio:.2g} times a gene's own): it is {surest:+.2f} logits on one fate "
            f"and day, {away.max():.0f} SDs from zero; export.baseline=genes takes it away"
        )
        return replace(plain, notes=(note,))
    why = "as export.baseline=genes asks"
    if asked == "auto":
        why = "the screen has no NTC guides"
        if n_ntc:
            error = f"its error is {ratio:.2g} times a gene's own"
            why = f"{_guides_say(n_ntc)} too little of the level that all genes share ({error})"
    note = (
        f"effects are against the average of the {like_most.sum()} of {len(theta)} genes that differ least, "
        f"not against NTC cells: {why}"
    )
    return Baseline(theta - average, centred.reshape(shape), average, (note,), against_genes=True)


def _guides_say(n_ntc: int) -> str:
    return "1 NTC guide says" if n_ntc == 1 else f"{n_ntc} NTC guides say"


def _centred(covariance: ThetaCovariance, chosen: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return covariances of effects less the chosen genes' mean, (L, E, E), and of that mean, (E, E)."""
    own = covariance.blocks
    mean = np.kron((chosen / chosen.sum())[:, None], np.eye(own.shape[1]))  # (L E, E)
    with_level = covariance.times(mean).reshape(own.shape)  # of a gene's effects with the level
    level = with_level[chosen].mean(axis=0)
    return own - with_level - np.swapaxes(with_level, 1, 2) + level, level


def _like_most(effects: Array, sd: Array) -> NDArray[np.bool_]:
    """Choose the genes whose effects, (L, E), are within 3 SDs of the centre of the chosen ones, (L,).

    A few strong effects of one sign would move the mean of a small panel, and with it every other gene. At
    least half of the genes are chosen.
    """
    centre = np.median(effects, axis=0)
    chosen = np.zeros(len(effects), dtype=bool)
    for _ in range(MOST_ROUNDS):
        away = np.abs((effects - centre) / sd).max(axis=1)
        new = away <= max(FARTHEST, float(np.median(away)))
        if (new == chosen).all():
            break
        chosen, centre = new, effects[new].mean(axis=0)
    return chosen

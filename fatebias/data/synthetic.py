"""Screens derived from a screen: guides shuffled, NTC guides as pseudo-genes, effects spiked in."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from fatebias.data.assignment import pad
from fatebias.data.screen import Screen, centre_burden
from fatebias.errors import DataError

# Half of them stay NTC; with fewer, a pseudo-gene would have two guides at most.
FEWEST_NTC = 6
PSEUDO_GENE = "NTC_pseudo_"
# Burdens rarer than this within a day and replicate are shuffled together with the next one.
CELLS_A_BIN = 10


def subset(screen: Screen, keep: NDArray[np.bool_] | NDArray[np.integer]) -> Screen:
    """Keep the cells where `keep` (N,) is True, or those at these places, each as often as it is named.

    Genes, guides, days, replicates and burden centring stay.
    """
    by_cell = (
        "p", "guide_ids", "mask", "ntc_slots", "n_guides", "k_centered", "day", "rep", "weight", "cells",
        "cluster",
    )  # fmt: skip
    kept = {name: getattr(screen, name)[keep] for name in by_cell}
    for name in ("commitment", "covariates"):
        column = getattr(screen, name)
        kept[name] = None if column is None else column[keep]
    return dataclasses.replace(screen, **kept)


def sharpness(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 minus the normalised entropy of each row of p (N, F): 1 for one-hot, 0 for uniform, (N,)."""
    entropy = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)
    return np.asarray(1 - entropy / np.log(p.shape[1]))


def permute(screen: Screen, number: int) -> Screen:
    """Shuffle guides among cells within day, replicate and burden, so that no gene has an effect.

    Labels, weights and clusters stay with their cells; the sets of guides move, and with them the burden
    where rare burdens were pooled. The same `number` gives the same shuffle.
    """
    rng = np.random.default_rng([0xFA7E, number])
    source = np.arange(screen.N)
    bins = _burden_bins(screen)
    order = np.argsort(bins, kind="stable")
    edges = np.flatnonzero(np.diff(bins[order])) + 1
    for members in np.split(order, edges):
        source[members] = rng.permutation(members)
    moved = {name: getattr(screen, name)[source] for name in ("guide_ids", "mask", "ntc_slots", "n_guides")}
    return dataclasses.replace(screen, **moved, k_centered=centre_burden(moved["n_guides"], screen.day))


def _burden_bins(screen: Screen) -> NDArray[np.int64]:
    """Assign cells to bins of day, replicate and burden, pooling rare burdens with the next one, (N,)."""
    group = screen.day.astype(np.int64) * screen.R + screen.rep
    bins = np.empty(screen.N, dtype=np.int64)
    number = 0
    for each in np.unique(group):
        members = np.flatnonzero(group == each)
        held = screen.n_guides[members]
        count = np.bincount(held)
        place = np.zeros(len(count), dtype=np.int64)
        filled = 0
        for burden in range(len(count)):
            place[burden] = number
            filled += count[burden]
            if filled >= CELLS_A_BIN and count[burden + 1 :].sum() >= CELLS_A_BIN:
                number, filled = number + 1, 0
        bins[members] = place[held]
        number += 1
    return bins


def pseudo_genes(
    screen: Screen, *, part: int, n_parts: int = 2, guides_per_gene: int | None = None, seed: int = 0
) -> Screen:
    """Turn one random part of the NTC guides into genes without effect, of the panel's usual size.

    The other NTC guides stay NTC; with `n_parts` of 2 or more that is at least half of them. With
    `guides_per_gene` None a pseudo-gene has the median number of guides of the panel, or fewer where a part
    has fewer. Burden, labels and the ids of real genes stay; pseudo-genes ``NTC_pseudo_1..`` follow them.
    DataError with fewer than 6 NTC guides.
    """
    n_ntc = len(screen.ntc_guide_names)
    if n_ntc < FEWEST_NTC:
        raise DataError(
            "too few NTC guides for negative controls",
            where="the guide map",
            found=f"{n_ntc} NTC guides in kept cells",
            allowed=f"{FEWEST_NTC} or more",
            fix="stages=[fit,discover] without controls, or more NTC guides in the screen",
        )
    order = np.random.default_rng([0xC0, seed]).permutation(n_ntc)
    chosen = np.sort(np.array_split(order, max(2, n_parts))[part])
    size = guides_per_gene or int(np.median(np.bincount(screen.gene_of_guide[1:])[1:]))
    size = max(1, min(size, len(chosen)))
    n_genes = len(chosen) // size
    chosen = np.random.default_rng([0xC1, seed, part]).permutation(chosen)[: n_genes * size]
    number = np.zeros(n_ntc + 1, dtype=np.int64)
    number[chosen + 1] = screen.G + 1 + np.arange(len(chosen))

    cell, slot = np.nonzero(screen.mask)
    guide, ntc = screen.guide_ids[cell, slot].astype(np.int64), screen.ntc_slots[cell, slot]
    guide = np.where(ntc > 0, number[ntc], guide)
    n_guides = screen.G + len(chosen)
    rank = np.where(guide > 0, guide - 1, n_guides + ntc - 1)
    slots = pad(cell, rank, screen.N, n_guides)
    names = tuple(f"{PSEUDO_GENE}{i + 1}" for i in range(n_genes))
    return dataclasses.replace(
        screen,
        guide_ids=slots.guide_ids,
        mask=slots.mask,
        ntc_slots=slots.ntc_slots,
        guide_names=(*screen.guide_names, *(screen.ntc_guide_names[i] for i in chosen)),
        gene_names=(*screen.gene_names, *names),
        gene_of_guide=np.concatenate(
            [screen.gene_of_guide, screen.L + 1 + np.arange(len(chosen)) // size]
        ).astype(np.int32),
    )


def spike_in(screen: Screen, effects: NDArray[np.float64]) -> Screen:
    """Return the screen with effects of guides (G + 1, D) on the contrast's logit; see `tilt_cells`."""
    by_fate = np.zeros((len(effects), screen.n_fates_star, screen.D))
    by_fate[:, screen.contrast_index] = effects
    return tilt(screen, by_fate)


def tilt(screen: Screen, effects: NDArray[np.float64]) -> Screen:
    """Return the screen with effects of guides (G + 1, F*, D) on all fates' logits; see `tilt_cells`.

    Row 0 is for NTC and padding. Effects of several guides add up in a cell.
    """
    b = np.zeros((screen.N, screen.n_fates_star))
    for slot in range(screen.K):
        b += effects[screen.guide_ids[:, slot], :, screen.day] * (screen.guide_ids[:, slot, None] > 0)
    return tilt_cells(screen, b)


def tilt_cells(screen: Screen, b: NDArray[np.float64], *, back: bool = False) -> Screen:
    """Move the logits that the likelihood sees of each cell by b (N, F*), tilting label and weight together.

    With b_f the change of the logit of fate f, 0 for the reference::

        w = sum_f p_f exp(b_f)        p'_f = p_f exp(b_f) / w        weight' = weight * w / Z

    For any distribution of p with mean pi the score of the soft-label likelihood then has mean zero where the
    logits have moved by exactly b: with pi'_f = pi_f exp(b_f) / W and W = sum_f pi_f exp(b_f), what the new
    logits predict,

        E[w (p'_f - pi'_f)] = E[p_f] exp(b_f) - E[w] pi'_f = pi_f exp(b_f) - W pi_f exp(b_f) / W = 0.

    Labels alone, ``p'`` without ``w``, would be right only where they do not scatter: a one-hot label stays
    what it is. Tilts compose. Z, which keeps weights near 1 on average, is the same sum over the mean label
    of the cell's day and replicate; it does not depend on the cell's own label, so the mean of the score
    stays zero. The scatter of a tilted cell's score is exp(b) / W^2 of that of a cell drawn afresh, for
    labels that scatter by ``pi (1 - pi)`` times any constant and two fates.

    With `back`, b is taken out of labels that contain it. The labels of the day and replicate, over which Z
    averages, are then those after the tilt. Only `p` and `weight` change; cells with b of zero keep theirs to
    the bit.
    """
    hit = np.flatnonzero(b.any(axis=1))
    there = np.exp(b[hit])
    raised = 1 / there if back else there
    group = screen.day.astype(np.int64) * screen.R + screen.rep
    total = np.bincount(group, screen.weight)
    sums = np.stack([np.bincount(group, screen.weight * column) for column in screen.p[:, 1:].T], axis=1)
    share = sums / np.where(total > 0, total, 1)[:, None]
    factor = 1 + (screen.p[hit, 1:] * (raised - 1)).sum(axis=1)
    usual = 1 + (share[group[hit]] * (there - 1)).sum(axis=1)
    p, weight = screen.p.copy(), screen.weight.copy()
    p[hit, 1:] *= raised
    p[hit] /= factor[:, None]
    weight[hit] *= factor * usual if back else factor / usual
    return dataclasses.replace(screen, p=p, weight=weight)

"""The least effect that would have been called: how much a gene that is no hit could hide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, softmax
from scipy.stats import qmc

from fatebias.discovery.ranking import CallRule
from fatebias.mash.joint import JointPosterior, Prior

Array = NDArray[np.float64]

POWER = 0.8
LOG2_ERRORS = 7  # 128 errors, spread evenly (Sobol): the power is known to about a percent
HALVINGS = 9
USUAL = 8.0  # standard errors, within which the search begins
GENES_AT_ONCE = 500
LARGEST_LOGITS = 10.0  # no effect on a probability is larger
LARGEST = 64.0  # in standard errors; a prior that calls nothing of this size calls nothing


def least_detectable(joint: JointPosterior, rule: CallRule, eps: float) -> tuple[Array, Array]:
    """Return the effects that would be called in 80 of 100 screens like this one, in logits.

    The first, (L, D), is an effect on that day alone, called on that day; the second, (L,), one alike on all
    days, called on any of them; NaN where no effect up to 10 logits or 64 standard errors would be. Errors
    are drawn with each gene's own standard errors and error correlation, and judged under the prior of all
    genes, which one more gene would hardly change. A q value gate cannot be foretold and is left out.
    """
    n_genes, n_days = joint.bhat.shape
    by_day, lasting = np.empty((n_genes, n_days)), np.empty(n_genes)
    for start in range(0, n_genes, GENES_AT_ONCE):
        genes = slice(start, start + GENES_AT_ONCE)
        judges = [
            _Judge(joint.shat[genes, days], joint.errors_of(days, genes), prior, rule, n_days, eps)
            for days, prior in joint.blocks()
        ]
        shat = joint.shat[genes]
        for judge, (days, prior) in zip(judges, joint.blocks(), strict=True):
            for day in range(prior.n_days):
                alone = np.eye(prior.n_days)[day]
                place = days.start + day
                by_day[genes, place] = _least(judge.power(alone, [day]), shat[:, place])
        always = [each.power(np.ones(each.n_days), range(each.n_days)) for each in judges]
        lasting[genes] = _least(partial(_any_day, always), shat.max(axis=1))
    return by_day, lasting


def _any_day(powers: list[Callable[[Array], Array]], size: Array) -> Array:
    """Power on any day where blocks of days are independent, (L,)."""
    return np.asarray(1 - np.prod([1 - power(size) for power in powers], axis=0))


def _least(power: Callable[[Array], Array], unit: Array) -> Array:
    """Halve the interval in which the power passes 80 %, (L,)."""
    low, high = np.zeros_like(unit), np.minimum(USUAL * unit, LARGEST_LOGITS)
    never = power(high) < POWER
    if never.any():
        low = np.where(never, high, low)
        high = np.where(never, np.minimum(LARGEST * unit, LARGEST_LOGITS), high)
        never = power(high) < POWER
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = power(middle) >= POWER
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(never, np.nan, high)


class _Judge:
    """Calls under many errors, the same for effects of any size and course.

    With bhat = effect + error, every call is a function of T^-1 bhat in each component of the prior.
    """

    def __init__(
        self, shat: Array, v: Array, prior: Prior, rule: CallRule, all_days: int, eps: float
    ) -> None:
        self.prior, self.n_days = prior, prior.n_days
        self.threshold, self.large, self.eps = rule.threshold(all_days), rule.large, eps
        root = np.linalg.cholesky(v)
        self.noise = shat[:, None, :] * (_even_normals(self.n_days) @ np.swapaxes(root, -1, -2))  # (L, E, D)
        total = prior.covariances + (v * shat[:, :, None] * shat[:, None, :])[:, None]
        self.inverse = np.linalg.inv(total)  # (L, P, D, D)
        self.whitened = np.einsum("lpde,lne->lnpd", self.inverse, self.noise)  # (L, E, P, D)
        self.square = np.einsum("lnd,lnpd->lnp", self.noise, self.whitened)
        self.log_prior = (np.log(prior.weights) - 0.5 * np.linalg.slogdet(total)[1])[:, None]

    def power(self, course: Array, days: Sequence[int]) -> Callable[[Array], Array]:
        """Return the power of an effect by its size, from (L,) to (L,), called on any of `days`.

        `course`, (D,), is an effect of size 1.
        """
        along = self.inverse @ course  # (L, P, D)
        cross, bend = self.whitened @ course, (along @ course)[:, None]
        of_days = [self._of_day(day, along) for day in days]

        def power(size: Array) -> Array:
            b = size[:, None, None]
            density = -0.5 * (self.square + 2 * b * cross + b**2 * bend)
            membership = softmax(self.log_prior + density, axis=2)
            called = [self._called(membership, b * slope + start, sd) for slope, start, sd in of_days]
            return np.asarray(np.any(called, axis=0).mean(axis=1))

        return power

    def _of_day(self, day: int, along: Array) -> tuple[Array, Array, Array]:
        """Return the mean's slope in the size, (L, 1, P), its start, (L, E, P), and the SD, (L, 1, P)."""
        u = self.prior.covariances[:, day]  # (P, D)
        slope = np.einsum("pd,lpd->lp", u, along)[:, None]
        start = np.einsum("pd,lnpd->lnp", u, self.whitened)
        variance = u[:, day] - np.einsum("pd,lpde,pe->lp", u, self.inverse, u)
        return slope, start, np.where(u[:, day] > 0, np.sqrt(np.maximum(variance, 0)), 0)[:, None]

    def _called(self, membership: Array, mean: Array, sd: Array) -> NDArray[np.bool_]:
        """Judge one day, an effect in the wrong direction counting as missed, (L, E)."""
        live = sd > 0
        alive = np.where(live, membership, 0)
        t = np.divide(mean, sd, out=np.zeros_like(mean), where=live)
        up = np.einsum("lnp,lnp->ln", alive, ndtr(t))
        down = alive.sum(axis=2) - up
        called = (up > down) & (1 - up < self.threshold)  # 1 - lfsr is the probability of the likelier sign
        if self.large is not None:
            gap = np.divide(self.eps, sd, out=np.zeros_like(sd), where=live)
            beyond = np.where(live, ndtr(t - gap) + ndtr(-t - gap), 0)
            called &= (membership * beyond).sum(axis=2) >= self.large
        return called


def _even_normals(n_days: int) -> Array:
    """Return standard normals that fill their space evenly, the same at every call, (E, D)."""
    from scipy.special import ndtri

    uniform = qmc.Sobol(n_days, scramble=True, seed=0).random_base2(LOG2_ERRORS)
    return np.asarray(ndtri(np.clip(uniform, 1e-9, 1 - 1e-9)))

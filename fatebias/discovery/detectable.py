"""The least effect that would have been called: how much a gene that is no hit could hide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, softmax
from scipy.stats import qmc

from fatebias.discovery.effects import Effects, Prior
from fatebias.discovery.ranking import CallRule

Array = NDArray[np.float64]

POWER = 0.8
LOG2_ERRORS = 7  # 128 errors, spread evenly (Sobol): the power is known to about a percent
HALVINGS = 12
LARGEST = 64.0  # in standard errors; a prior that calls nothing of this size calls nothing


def least_detectable(effects: Effects, rule: CallRule, eps: float) -> Array:
    """Find the effect on one day alone that would be called on that day in 80 of 100 screens like this one.

    Errors are drawn with each gene's own standard errors and error correlation, and judged under the prior
    that all genes' estimates gave, which one more gene would hardly change. Effects are symmetric in sign.

    Parameters
    ----------
    effects
        What was given and found.
    rule
        What makes a call; a q value gate cannot be foretold and is left out.
    eps
        Of the effect-size gate, in logits.

    Returns
    -------
    ndarray
        In logits, (L, D); NaN where no effect up to 64 standard errors would do.
    """
    found = np.empty_like(effects.bhat)
    threshold = rule.threshold(effects.n_days)
    for days, prior in effects.blocks():
        v = effects.errors_of(days)
        for day in range(prior.n_days):
            shat = effects.shat[:, days]
            judge = _Judge(shat, v, prior, day, threshold, rule.large, eps)
            found[:, days.start + day] = judge.least()
    return found


class _Judge:
    """Calls of one day under many errors, for effects of any size on that day alone.

    The call is a function of T^-1 bhat in each component, and bhat is the effect plus an error that stays
    the same while the effect is varied.
    """

    def __init__(
        self, shat: Array, v: Array, prior: Prior, day: int, threshold: float, large: float | None, eps: float
    ) -> None:
        n_genes, n_days = shat.shape
        normal = _even_normals(n_days)  # (E, D)
        noise = shat[:, None, :] * np.einsum("...de,ne->...nd", np.linalg.cholesky(v), normal)  # (L, E, D)
        total = prior.covariances + (v * shat[:, :, None] * shat[:, None, :])[:, None]  # (L, P, D, D)
        inverse = np.linalg.inv(total)
        u = prior.covariances[:, day]  # (P, D)
        gain = np.einsum("pd,lpde->lpe", u, inverse)  # the mean on that day is gain @ bhat
        variance = prior.covariances[:, day, day] - np.einsum("lpd,pd->lp", gain, u)
        self.sd = np.sqrt(np.maximum(variance, 0))[:, None]  # (L, 1, P)
        self.sd[:, :, prior.covariances[:, day, day] == 0] = 0
        self.gain, self.noise_mean = gain[:, None, :, day], np.einsum("lpd,led->lep", gain, noise)
        self.log_prior = (np.log(prior.weights) - 0.5 * np.linalg.slogdet(total)[1])[:, None]
        # (b e + noise)' T^-1 (b e + noise), as a polynomial in b
        self.square = inverse[:, None, :, day, day]
        self.cross = np.einsum("lpd,led->lep", inverse[:, :, day], noise)
        self.constant = np.einsum("led,lpdf,lef->lep", noise, inverse, noise, optimize=True)
        self.threshold, self.large, self.eps = threshold, large, eps
        self.unit = shat[:, day]

    def power(self, size: Array) -> Array:
        """Share of errors under which an effect of a size for each gene, (L,), is called, (L,)."""
        b = size[:, None, None]
        log_density = -0.5 * (self.constant + 2 * b * self.cross + b**2 * self.square)
        membership = softmax(self.log_prior + log_density, axis=2)
        mean = b * self.gain + self.noise_mean
        live = self.sd > 0
        t = np.divide(mean, self.sd, out=np.zeros_like(mean), where=live)
        up = (membership * np.where(live, ndtr(t), 0)).sum(axis=2)
        down = (membership * np.where(live, ndtr(-t), 0)).sum(axis=2)
        # of the right sign, and 1 - lfsr is the probability of the likelier sign
        called = (up > down) & (1 - up < self.threshold)
        if self.large is not None:
            gap = np.divide(self.eps, self.sd, out=np.zeros_like(self.sd), where=live)
            big = np.where(live, ndtr(t - gap) + ndtr(-t - gap), 0)
            called &= (membership * big).sum(axis=2) >= self.large
        return called.mean(axis=1)

    def least(self) -> Array:
        """Halve the interval in which the power passes 80 %."""
        low, high = np.zeros_like(self.unit), LARGEST * self.unit
        never = self.power(high) < POWER
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            enough = self.power(middle) >= POWER
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(never, np.nan, high)


def _even_normals(n_days: int) -> Array:
    """Give standard normals that fill their space evenly, the same at every call, (E, D)."""
    from scipy.special import ndtri

    uniform = qmc.Sobol(n_days, scramble=True, seed=0).random_base2(LOG2_ERRORS)
    return np.asarray(ndtri(np.clip(uniform, 1e-9, 1 - 1e-9)))

"""How much estimates move when cells, clusters or replicates come out otherwise: bootstrap and jackknife.

Both refit the screen under other weights of its cells, with the scales and the likelihood weight of the run.
Refits of penalised estimates spread by ``H^-1 J H^-1``, J being the variance of the labels' score. A
standard error has the prior's part ``H^-1 Q H^-1`` besides: guides are a sample of what could have been done
to their gene, and what the prior pulled away is not known. ``spread`` is the first, ``se_boot`` and
``se_jack`` are the square root of the sum, which is what ``export.se=sandwich`` estimates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fatebias.checks.centre import Centre
from fatebias.checks.refit import Refits, refit
from fatebias.checks.units import bootstrap_weights, jackknife_weights, resampling_units
from fatebias.config import CalibrationConfig
from fatebias.data.screen import Screen

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Resampled:
    """What refits show of the contrast's effects."""

    spread: Array  # (L, D, D) covariance across days of the refits
    prior: Array  # (L, D, D) the prior's part of an error, H^-1 Q H^-1
    model: Array  # (L, D, D) what the model says of both together, H^-1
    bias: Array  # (L, D) by how much the mean of the refits differs from the full fit
    positive: Array  # (L, D) probability that the effect is above zero
    refits: Refits

    @property
    def covariance(self) -> Array:
        """Covariance of the errors, (L, D, D)."""
        return self.spread + self.prior

    @property
    def variance_ratio(self) -> Array:
        """Variance that the labels cause over the model's, mean over genes, (D,)."""
        return np.asarray((diagonal(self.spread) / diagonal(self.model - self.prior)).mean(axis=0))


def bootstrap(full: Centre, screen: Screen, cfg: CalibrationConfig, workers: int = 1) -> Resampled:
    """Return what refits show of which units are drawn at random, as the settings ``bootstrap*`` say."""
    drawn = resampling_units(screen, cfg.bootstrap_unit)
    index = full.design.theta_index[:, screen.contrast_index]
    refits = refit(
        full, lambda b: bootstrap_weights(drawn, cfg.bootstrap_seed, b), cfg.bootstrap, index, workers
    )
    return of_bootstrap(refits, full.mean[index], *full.covariances(index))


def of_bootstrap(refits: Refits, mode: Array, model: Array, prior: Array) -> Resampled:
    """Return what two or more bootstrap refits show, `mode` (L, D) being the effects of the full fit.

    The probability of a sign is the mean over refits of that of a normal around each with the prior's part as
    its variance, so that it does not come in steps of 1 / B where the prior matters.
    """
    values = refits.values
    off = values - values.mean(axis=0)
    held = np.sqrt(np.maximum(diagonal(prior), 1e-300))
    return Resampled(
        spread=np.einsum("bld,ble->lde", off, off) / (len(values) - 1),
        prior=prior,
        model=model,
        bias=values.mean(axis=0) - mode,
        positive=ndtr(values / held).mean(axis=0),
        refits=refits,
    )


def jackknife(full: Centre, screen: Screen, kind: str, workers: int = 1) -> Resampled:
    """Return what refits show that leave out one ``replicate`` or one of the ``clusters`` at a time.

    The stratified jackknife: ``sum_s (n_s - 1) / n_s sum_j (theta_(sj) - mean_j theta_(sj))^2`` over strata s
    of n_s units (Rust and Rao 1996, doi 10.1177/096228029600500305). Probabilities of signs are those of the
    normal with that covariance.
    """
    left = resampling_units(screen, kind)
    index = full.design.theta_index[:, screen.contrast_index]
    out = np.flatnonzero(left.varies)
    refits = refit(
        full, lambda b: jackknife_weights(left, screen.weight, int(out[b])), len(out), index, workers
    )
    mode = full.mean[index]
    model, prior = full.covariances(index)
    spread, bias = np.zeros_like(model), np.zeros_like(mode)
    for stratum in np.unique(left.stratum[out]):
        values = refits.values[left.stratum[out] == stratum]
        n = len(values)
        off = values - values.mean(axis=0)
        spread += (n - 1) / n * np.einsum("bld,ble->lde", off, off)
        bias += (n - 1) * (values.mean(axis=0) - mode)
    positive = ndtr(mode / np.sqrt(diagonal(spread + prior)))
    return Resampled(spread, prior, model, bias, positive, refits)


def diagonal(blocks: Array) -> Array:
    """Return the diagonals (L, D) of blocks (L, D, D)."""
    return np.diagonal(blocks, axis1=1, axis2=2)

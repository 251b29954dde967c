"""How much estimates move when cells, clusters or replicates come out otherwise: bootstrap and jackknife.

Both refit the screen under other weights of its cells (`refit`), with the scales and the likelihood weight
of the run. Refits of penalised estimates spread by ``H^-1 J H^-1``, J being the variance of the labels'
score; what a standard error has besides is the prior's part ``H^-1 Q H^-1``: guides are a sample of what
could have been done to their gene, and what the prior pulled away is not known. ``spread`` is the first,
``se_boot`` and ``se_jack`` are the square root of the sum, which is what ``export.se=sandwich`` estimates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fatebias.checks.refit import Centre, Refits, centre, refit
from fatebias.config import CalibrationConfig, Config
from fatebias.data.screen import Screen
from fatebias.errors import DataError
from fatebias.estimates.sandwich import broad_scales
from fatebias.inference.posterior import Posterior, flat_means
from fatebias.model.design_matrix import design_of

Array = NDArray[np.float64]

# A cluster belongs to the day and the replicate of at least this share of its cells.
MOSTLY = 0.9


@dataclass(frozen=True)
class Units:
    """What is drawn or left out as a whole.

    Attributes
    ----------
    of_cell
        Unit of each cell from 0, shape (N,).
    stratum
        Units of one stratum stand for each other, shape (U,).
    what
        What a unit is, for messages.
    """

    of_cell: NDArray[np.int64]
    stratum: NDArray[np.int64]
    what: str

    @property
    def n(self) -> int:
        """U."""
        return len(self.stratum)

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Whether a unit has another in its stratum, shape (U,)."""
        return np.asarray(np.bincount(self.stratum)[self.stratum] > 1)


@dataclass(frozen=True)
class Resampled:
    """What refits say of the contrast's effects.

    Attributes
    ----------
    spread
        Covariance across days that the refits show, shape (L, D, D).
    prior
        The prior's part of an error, ``H^-1 Q H^-1``, shape (L, D, D).
    model
        What the model says of both together, ``H^-1``, shape (L, D, D).
    bias
        By which refits differ from the full fit on the whole, shape (L, D).
    positive
        Probability that the effect is above zero, shape (L, D).
    refits
        Their effects, steps and success.
    """

    spread: Array
    prior: Array
    model: Array
    bias: Array
    positive: Array
    refits: Refits

    @property
    def covariance(self) -> Array:
        """Of the errors, shape (L, D, D)."""
        return self.spread + self.prior

    @property
    def variance_ratio(self) -> Array:
        """Variance that the labels cause over what the model says of it, mean over genes, shape (D,)."""
        return np.asarray((diagonal(self.spread) / diagonal(self.model - self.prior)).mean(axis=0))


def units(screen: Screen, kind: str) -> Units:
    """Say what is drawn or left out as a whole, and within which strata.

    Cells are drawn within day and replicate. So are clusters that lie in one of each; the others are drawn
    within their replicate, within their day, or all together.

    Parameters
    ----------
    screen
        The screen.
    kind
        ``cells``, ``clusters`` or ``replicate``.

    Returns
    -------
    Units
        Of the screen's cells.

    Raises
    ------
    DataError
        When no unit has another in its stratum.
    """
    day, rep = screen.day.astype(np.int64), screen.rep.astype(np.int64)
    if kind == "replicate":
        found = Units(rep, np.zeros(screen.R, dtype=np.int64), "replicates")
    elif kind == "cells":
        stratum = np.unique(day * screen.R + rep, return_inverse=True)[1].ravel()
        found = Units(np.arange(screen.N), stratum, "cells")
    else:
        n = int(screen.cluster.max()) + 1
        day, rep = _own(screen.cluster, day, n), _own(screen.cluster, rep, n)
        stratum = np.unique(day * (screen.R + 1) + rep, return_inverse=True)[1].ravel()
        found = Units(screen.cluster.astype(np.int64), stratum, f"clusters ({screen.cluster_source})")
    if not found.varies.any():
        raise DataError(
            "there is nothing to resample",
            where="calibration.bootstrap_unit, calibration.jackknife",
            found=f"{found.n} {found.what}, none with another like it",
            allowed="two replicates or more; two clusters or more in a day and replicate",
            fix="calibration.bootstrap_unit=cells, data.cluster_key=COLUMN, calibration.jackknife=none",
        )
    return found


def _own(cluster: NDArray[np.integer], level: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Give the level that most cells of each cluster have plus one, 0 where they are spread; shape (n,)."""
    table = np.zeros((n, int(level.max()) + 1))
    np.add.at(table, (cluster, level), 1)
    return np.where(table.max(axis=1) >= MOSTLY * table.sum(axis=1), table.argmax(axis=1) + 1, 0)


def bootstrap_weights(drawn: Units, seed: int, number: int) -> Array:
    """Draw weights of the cells for one refit.

    Of the n units of a stratum n - 1 are drawn with replacement and each counts ``n / (n - 1)`` times as
    often as it was drawn, so that few units do not make the spread too small (Rao and Wu 1988, doi
    10.1080/01621459.1988.10478591). A unit alone in its stratum counts once.

    Parameters
    ----------
    drawn
        What is drawn.
    seed, number
        The same give the same weights.

    Returns
    -------
    ndarray
        Shape (N,), of mean 1 in expectation.
    """
    rng = np.random.default_rng([0xB007, seed, number])
    size = np.bincount(drawn.stratum)
    first = np.cumsum(size) - size
    member = np.argsort(drawn.stratum, kind="stable")
    times = np.zeros(drawn.n)
    for start, n in zip(first.tolist(), size.tolist(), strict=True):
        if n == 1:
            times[member[start]] = 1
            continue
        count = np.bincount(rng.integers(n, size=n - 1), minlength=n)
        times[member[start : start + n]] = count * (n / (n - 1))
    return times[drawn.of_cell]


def jackknife_weights(left: Units, weight: Array, unit: int) -> Array:
    """Leave a unit out; the others of its stratum stand in for it.

    Parameters
    ----------
    left
        What is left out.
    weight
        The cells' own weights, shape (N,).
    unit
        Which.

    Returns
    -------
    ndarray
        Shape (N,); with the cells' own weights the stratum has the sum it had.
    """
    stratum = left.stratum[left.of_cell]
    out = left.of_cell == unit
    others = (stratum == left.stratum[unit]) & ~out
    rest = weight[others].sum()
    times = np.ones(len(weight))
    times[out] = 0
    times[others] = 1 + weight[out].sum() / rest if rest > 0 else 1
    return times


def bootstrap(full: Centre, screen: Screen, cfg: CalibrationConfig, workers: int = 1) -> Resampled:
    """Refit under weights drawn at random.

    Parameters
    ----------
    full
        The full fit.
    screen
        Its screen.
    cfg
        ``bootstrap``, ``bootstrap_unit``, ``bootstrap_seed``.
    workers
        Threads.

    Returns
    -------
    Resampled
        Of the contrast.

    Raises
    ------
    DataError
        When clusters cannot be drawn.
    """
    drawn = units(screen, cfg.bootstrap_unit)
    index = full.design.theta_index[:, screen.contrast_index]
    refits = refit(
        full, lambda b: bootstrap_weights(drawn, cfg.bootstrap_seed, b), cfg.bootstrap, index, workers
    )
    return of_refits(refits, full.mean[index], *full.covariances(index))


def of_refits(refits: Refits, mode: Array, model: Array, prior: Array) -> Resampled:
    """Summarise bootstrap refits.

    Parameters
    ----------
    refits
        Two or more.
    mode
        Effects of the full fit, shape (L, D).
    model, prior
        See `Resampled`.

    Returns
    -------
    Resampled
        The probability of a sign is the mean over refits of that of a normal around each with the prior's
        part as its variance, so that it does not come in steps of 1 / B where the prior matters.
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
    """Leave out one replicate or cluster at a time.

    The stratified jackknife: ``sum_s (n_s - 1) / n_s sum_j (theta_(sj) - mean_j theta_(sj))^2`` over strata s
    of n_s units (Rust and Rao 1996, doi 10.1177/096228029600500305).

    Parameters
    ----------
    full
        The full fit.
    screen
        Its screen.
    kind
        ``replicate`` or ``clusters``.
    workers
        Threads.

    Returns
    -------
    Resampled
        Of the contrast; `positive` by the normal with that covariance.

    Raises
    ------
    DataError
        When nothing can be left out.
    """
    left = units(screen, kind)
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


def full_fit(screen: Screen, cfg: Config, posterior: Posterior) -> Centre:
    """Find the mode that refits start from, under the scales behind the run's estimates.

    Parameters
    ----------
    screen
        The screen.
    cfg
        With the likelihood weight as a number; ``export.estimates`` decides between the fit's own scales
        and free ones.
    posterior
        Of the run's fit, whatever way it was found.

    Returns
    -------
    Centre
        By Newton's method.
    """
    design = design_of(screen, cfg.model)
    precision = posterior.scales_mean**-2.0
    if cfg.export.estimates == "unshrunken":
        precision = broad_scales(design, posterior.scales_mean[:, -1]).scale_precision
    return centre(screen, cfg, precision, flat_means(posterior, design))


def diagonal(blocks: Array) -> Array:
    """Give the diagonals of square blocks, from (L, D, D) to (L, D)."""
    return np.diagonal(blocks, axis1=1, axis2=2)

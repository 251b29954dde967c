"""The correlation of errors between days, estimated from genes that show no effect on any day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig

Array = NDArray[np.float64]

NULL_Z = 2.0
# Shrunken effects of a smooth walk have nearly the same z score on every day. A correlation estimated from
# them says that days hardly differ by error, so that any small difference between days would be a call.
LARGEST_CONDITION = 1000.0


@dataclass(frozen=True)
class NullCorrelation:
    """Correlation of errors and how it was come by.

    Parameters
    ----------
    v
        (D, D), positive definite.
    note
        Why it is the identity when an estimate was asked for; None otherwise.
    """

    v: Array
    note: str | None = None


def simple(bhat: Array, shat: Array) -> NullCorrelation:
    """Correlate the z scores of genes with |z| < 2 on every day, as `estimate_null_correlation_simple`.

    Parameters
    ----------
    bhat, shat
        Estimates and standard errors, (L, D).

    Returns
    -------
    NullCorrelation
        The identity with a note where too few genes look null for an estimate, or it is near singular.
    """
    z = bhat / shat
    n_days = z.shape[1]
    if n_days == 1:
        return NullCorrelation(np.eye(1))
    null = z[np.abs(z).max(axis=1) < NULL_Z]
    # n rows around their mean span n - 1 dimensions, so D rows or fewer cannot give full rank.
    if len(null) <= n_days:
        return _identity(n_days, f"{len(null)} of {len(z)} genes have |z| < {NULL_Z:g} on every day")
    spread = null.std(axis=0)
    if not (spread > 0).all():
        return _identity(n_days, f"the z scores of the {len(null)} null genes do not vary on some day")
    v = np.corrcoef(null, rowvar=False)
    np.fill_diagonal(v, 1.0)
    eigenvalues = np.linalg.eigvalsh(v)
    if eigenvalues[-1] > LARGEST_CONDITION * eigenvalues[0]:
        return _identity(n_days, f"the z scores of the {len(null)} null genes are almost collinear")
    return NullCorrelation(v)


def _identity(n_days: int, because: str) -> NullCorrelation:
    return NullCorrelation(
        np.eye(n_days), f"error correlation taken as the identity: {because}, too little to estimate it"
    )


def from_fit(covariance: Array, kind: str) -> NullCorrelation:
    """Turn the fit's own error covariances across days into what mash takes.

    Parameters
    ----------
    covariance
        Of the estimates of each gene, (L, D, D), positive definite.
    kind
        ``fit``: the mean over genes of their correlations; ``per_gene``: each gene's own.

    Returns
    -------
    NullCorrelation
        (D, D) or (L, D, D). One that is near singular is mixed with the identity until it is not.
    """
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    v = covariance / (sd[:, :, None] * sd[:, None, :])
    v = (v + np.swapaxes(v, 1, 2)) / 2
    if kind == "fit":
        v = v.mean(axis=0, keepdims=True)
    n_days = v.shape[-1]
    v[:, np.arange(n_days), np.arange(n_days)] = 1.0
    values = np.linalg.eigvalsh(v)
    low, high = values[:, 0], values[:, -1]
    # (1 - m) high + m = LARGEST_CONDITION ((1 - m) low + m), solved for the share m of the identity
    excess = np.maximum(high - LARGEST_CONDITION * low, 0)
    mixed = (excess / (excess + LARGEST_CONDITION - 1))[:, None, None]
    v = (1 - mixed) * v + mixed * np.eye(n_days)
    note = None
    if (mixed > 0).any():
        note = f"near singular error correlation of {int((mixed > 0).sum())} gene(s) drawn to the identity"
        if kind == "fit":
            note = "the mean error correlation was near singular and drawn to the identity"
    return NullCorrelation(v[0] if kind == "fit" else v, note)


def error_correlation(cfg: DiscoveryConfig, se: str, covariance: Array | None) -> NullCorrelation | None:
    """Choose the error correlation that the fit gives; None leaves it to the engine.

    Parameters
    ----------
    cfg
        Its ``null_correlation``; under robust errors each gene's own takes the place of ``simple``.
    se
        ``export.se``.
    covariance
        Of the errors across days, (L, D, D); None where the fit's file is not there.

    Returns
    -------
    NullCorrelation or None
        For mash.
    """
    kind = cfg.null_correlation
    if kind == "simple" and se == "sandwich":
        kind = "per_gene"
    if cfg.method != "mashr" or kind not in ("fit", "per_gene") or covariance is None:
        return None
    return from_fit(covariance, kind)

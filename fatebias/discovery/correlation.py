"""The correlation of errors between days, estimated from genes that show no effect on any day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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

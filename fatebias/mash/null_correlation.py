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
    """A correlation of errors between D days.

    Attributes
    ----------
    v
        (D, D), or (L, D, D) where each gene has its own; positive definite.
    note
        Where it is not the estimate that was asked for, what it is instead and why; else None.
    """

    v: Array
    note: str | None = None


def estimate_null_correlation(bhat: Array, shat: Array) -> NullCorrelation:
    """Return the correlation of the z scores of genes whose z score is within 2 on every day.

    As mashr's ``estimate_null_correlation_simple``, except that an estimate from too few genes, or one that
    is nearly singular (condition above 1000), is replaced by the identity, with a note.

    Parameters
    ----------
    bhat, shat
        Estimates and standard errors, (L, D).

    Returns
    -------
    NullCorrelation
        (D, D).

    References
    ----------
    Urbut et al. 2019, doi 10.1038/s41588-018-0268-8, Methods.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=500)
    >>> found = estimate_null_correlation(noise, np.ones(noise.shape))
    >>> round(float(found.v[0, 1]), 1), found.note
    (0.7, None)
    """
    z = bhat / shat
    n_days = z.shape[1]
    if n_days == 1:
        return NullCorrelation(np.eye(1))
    null = z[np.abs(z).max(axis=1) < NULL_Z]
    # n rows around their mean span n - 1 dimensions, so D rows or fewer cannot have full rank.
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

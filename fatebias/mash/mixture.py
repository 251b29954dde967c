"""Weights of a mixture with known components: a convex problem, by quadratic programmes in sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from fatebias.errors import DiscoveryError

Array = NDArray[np.float64]

EM_STEPS = 20
# After EM, weights below this share of the largest start at zero; the gradient brings back those that matter.
START_SHARE = 1e-3
STARVED_SHARE = 0.1
MAX_STEPS = 200
GAP = 1e-11
# Added to the Hessian's diagonal, as a share of its mean: neighbouring scales are nearly collinear.
RIDGE = 1e-10
SUFFICIENT_DECREASE = 0.01
# Below this a decrease drowns in rounding, and a Newton step is taken on trust.
ROUNDING = 1e-13


def penalised_weights(log_lik: Array, null_weight: float) -> Array:
    """Maximise sum_j log sum_p pi_p l_jp + (null_weight - 1) log pi_0 over the simplex, pi (P,).

    The penalty is a Dirichlet prior that leans towards the null (Urbut et al. 2019, Methods; Stephens 2017,
    doi 10.1093/biostatistics/kxw041, supplement S.2.5), equal to `null_weight` - 1 further observations that
    only the null, component 0 of `log_lik` (J, P), explains.
    """
    lik = np.exp(log_lik - log_lik.max(axis=1, keepdims=True))
    counts = np.ones(len(lik))
    if null_weight > 1:
        lik = np.vstack([lik, np.eye(1, lik.shape[1])])
        counts = np.append(counts, null_weight - 1)
    return maximise(lik, counts / counts.sum())


def maximise(lik: Array, shares: Array) -> Array:
    """Maximise sum_j shares_j log (lik x)_j over the simplex, x (P,).

    Kim, Carbonetto, Stephens and Anitescu 2020, doi 10.1080/10618600.2019.1689985: minimise
    f(x) = -sum_j shares_j log (lik x)_j + sum_p x_p over x >= 0, whose minimum lies on the simplex, by Newton
    steps, each a quadratic programme solved with an active set. On the simplex, -min(gradient) bounds the
    distance of f from its optimum, so the loop ends with a certificate. `lik` (J, P) has a positive entry in
    each row; `shares` sum to 1.
    """
    x = _start(lik, shares)
    for _ in range(MAX_STEPS):
        fitted = lik @ x
        gradient = 1 - lik.T @ (shares / fitted)
        if -gradient.min() < GAP:
            return x
        moving = np.flatnonzero((x > 0) | (gradient < 0))
        scaled = lik[:, moving] / fitted[:, None]
        hessian = scaled.T @ (shares[:, None] * scaled)
        step = np.zeros_like(x)
        step[moving] = quadratic_minimum(hessian, gradient[moving], x[moving]) - x[moving]
        size = _step_size(fitted, lik @ step, shares, float(step.sum()), float(gradient @ step))
        x = np.maximum(x + size * step, 0)
        x /= x.sum()
    raise DiscoveryError(
        "the mixture's weights did not converge",
        found=f"a gap of {-gradient.min():.1e} after {MAX_STEPS} steps",
        allowed=f"a gap below {GAP:.0e}",
        fix="look for estimates or standard errors out of all proportion",
    )


def quadratic_minimum(hessian: Array, gradient: Array, x: Array) -> Array:
    """Minimise (p - x)' hessian (p - x) / 2 + gradient' (p - x) over p >= 0, starting from p = x.

    The active set method of Lawson and Hanson: solve on the free coordinates, stop at the first bound met,
    free the bound coordinate whose gradient is most negative, until none is.
    """
    hessian = hessian + RIDGE * hessian.diagonal().mean() * np.eye(len(x))
    linear = gradient - hessian @ x
    tolerance = 1e-3 * GAP
    p, free = x.copy(), x > 0
    for _ in range(10 * len(x)):
        wanted = np.zeros_like(p)
        wanted[free] = cho_solve(cho_factor(hessian[np.ix_(free, free)]), -linear[free])
        blocked = free & (wanted < 0)
        if blocked.any():
            share = (p[blocked] / (p[blocked] - wanted[blocked])).min()
            p = p + share * (wanted - p)
            free &= p > tolerance
            p[~free] = 0
            continue
        p = wanted
        slope = np.where(free, 0, hessian @ p + linear)
        worst = int(slope.argmin())
        if slope[worst] > -tolerance:
            break
        free[worst] = True
    return p


def _start(lik: Array, shares: Array) -> Array:
    """Take a few EM steps from equal weights and keep the components that stand out."""
    x = np.full(lik.shape[1], 1 / lik.shape[1])
    for _ in range(EM_STEPS):
        x *= lik.T @ (shares / (lik @ x))
    kept = x > START_SHARE * x.max()
    starved = lik[:, kept] @ x[kept] < STARVED_SHARE * (lik @ x)
    kept[(lik[starved] * x).argmax(axis=1)] = True  # a row may live on a component that no other row needs
    return np.where(kept, x, 0) / x[kept].sum()


def _step_size(fitted: Array, change: Array, shares: Array, step_sum: float, slope: float) -> float:
    """Halve the Newton step until f falls by a fair part of what its slope promises."""
    size = 1.0
    while size > ROUNDING:
        ratio = 1 + size * change / fitted
        if (ratio > 0).all():
            decrease = shares @ np.log(ratio) - size * step_sum
            if decrease >= -SUFFICIENT_DECREASE * size * slope - ROUNDING:
                break
        size /= 2
    return size

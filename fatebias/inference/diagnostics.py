"""Figures by which to judge a fit, and what they warn of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyro.ops.stats import fit_generalized_pareto

from fatebias.inference.laplace import LaplaceFit
from fatebias.inference.result import LossTrace
from fatebias.model.design_matrix import DesignMatrix, walk_steps
from fatebias.model.softmax import log_total
from fatebias.model.variational import StructuredFamily

Array = NDArray[np.float64]

# Draws behind a k-hat, and the value above which it is looked at again with more: with few, a gene whose
# k-hat is 0.5 is above the limit one time in ten.
K_HAT_LOOKS = ((200, 0.5), (2_000, 0.6), (20_000, float("inf")))
DRAWS_AT_ONCE = 2_000
ENTRIES_AT_ONCE = 40_000  # draws by rows, which a processor's cache holds
K_HAT_LIMIT = 0.7
# Vehtari et al. 2021 (doi 10.1214/20-BA1221) for both
R_HAT_LIMIT = 1.01
ESS_LIMIT = 400.0
SETTLED_NATS = 1.0
DIVERGENT_LIMIT = 0.01
LEAST_POINTS_USED = 4.0


def loss_drift(trace: LossTrace) -> dict[str, float]:
    """Return how far the loss still fell at the end.

    ``loss_final`` is the mean of the last quarter of the steps, ``loss_drift`` the mean of the quarter before
    it minus that, in nats, ``loss_drift_error`` its standard error.
    """
    quarter = max(1, len(trace.loss) // 4)
    final = {"loss_final": float(trace.loss[-quarter:].mean())}
    if quarter < 2:
        return final
    drift, error = fall(trace.loss, quarter)
    return final | {"loss_drift": drift, "loss_drift_error": error}


def fall(loss: Array, steps: int) -> tuple[float, float]:
    """Return how far the mean of the last steps is below that of as many before, and its standard error."""
    last, before = loss[-steps:], loss[-2 * steps : -steps]
    error = np.sqrt((last.var(ddof=1) + before.var(ddof=1)) / steps)
    return float(before.mean() - last.mean()), float(error)


def gene_k_hats(
    design: DesignMatrix, laplace: LaplaceFit, family: StructuredFamily | None, weight: float, seed: int
) -> dict[str, Any]:
    """Return the Pareto k-hat of each gene's block, all other effects held at their mean.

    The shape of the tail of the importance ratios between the model and the fitted normal, given everything
    else (Vehtari et al. 2024, jmlr.org/papers/v25/19-556.html): below 0.7 the normal is close enough to the
    true conditional posterior. A joint k-hat is uninformative in thousands of dimensions. Without a family
    the Laplace solution itself is judged.
    """
    ratios = _BlockRatios(design, laplace, family, weight, seed)
    k_hats = [ratios.k_hat(gene) for gene in range(design.rows.n_genes)]
    high = sum(k > K_HAT_LIMIT for k in k_hats)
    return {"k_hat": [round(k, 3) for k in k_hats], "k_hat_max": max(k_hats), "k_hat_above_0.7": high}


class _BlockRatios:
    """Log importance ratios of one gene's block, the other effects at their mean."""

    def __init__(
        self,
        design: DesignMatrix,
        laplace: LaplaceFit,
        family: StructuredFamily | None,
        weight: float,
        seed: int,
    ) -> None:
        self.design, self.laplace = design, laplace
        self.weight = weight
        self.mean, self.transform, self.scale_precision = _fitted(design, laplace, family)
        self.logits = design.logits(self.mean)
        self.by_column = design.matrix.tocsc()
        self.generator = np.random.default_rng(seed)

    def k_hat(self, gene: int) -> float:
        """Return the gene's k-hat, from more draws where it is high."""
        for n_draws, doubt in K_HAT_LOOKS:
            parts = [min(DRAWS_AT_ONCE, n_draws - done) for done in range(0, n_draws, DRAWS_AT_ONCE)]
            k = k_hat(np.concatenate([self.log_ratios(gene, part) for part in parts]))
            if k <= doubt:
                break
        return k

    def log_ratios(self, gene: int, n_draws: int) -> Array:
        """Return the log ratios, (S,), of draws from the gene's conditional normal, up to a constant."""
        block = self.design.block_index[gene]
        block = block[block < self.design.size]
        precision = self.laplace.curvature.of_gene(gene)
        normal = self.generator.standard_normal((n_draws, len(block)))
        noise = np.linalg.solve(np.linalg.cholesky(precision).T, normal.T).T
        moves = noise @ self.transform[gene][: len(block), : len(block)].T
        likelihood = self.weight * self._log_likelihood(block, moves)
        prior = _log_prior(self.design, self.mean[block] + moves, self.scale_precision)
        return likelihood + prior + 0.5 * (normal**2).sum(axis=1)

    def _log_likelihood(self, block: NDArray[np.int64], moves: Array) -> Array:
        """Return the log-likelihood of the rows that a block touches, (S,), up to a constant."""
        fate, column = np.divmod(block, self.design.per_fate)
        columns, place = np.unique(column, return_inverse=True)
        part = self.by_column[:, columns]
        touched = np.unique(part.indices)
        dense = part[touched].toarray().T
        p = self.design.rows.p[touched]
        of_fate = [(moves[:, fate == f], dense[place[fate == f]]) for f in range(self.design.rows.n_effects)]
        found = np.zeros(len(moves))
        for (own, columns), labels in zip(of_fate, p[:, 1:].T, strict=True):
            found += own @ (columns @ labels)
        at_once = max(1, ENTRIES_AT_ONCE // len(moves))
        for start in range(0, len(touched), at_once):
            rows = slice(start, start + at_once)
            eta = np.stack([own @ columns[:, rows] for own, columns in of_fate])  # (F*, S, m)
            eta += self.logits[touched[rows]].T[:, None, :]
            found -= log_total(eta, axis=0) @ p[rows].sum(axis=1)
        return found


def _fitted(
    design: DesignMatrix, laplace: LaplaceFit, family: StructuredFamily | None
) -> tuple[Array, Array, Array]:
    """Return the mean, each block's T in the units of the effects, and E[1 / s^2]."""
    if family is None:
        width = design.block_index.shape[1]
        return (
            laplace.mean,
            np.tile(np.eye(width), (len(design.block_index), 1, 1)),
            laplace.scale_precision,
        )
    return family.block_moments()


def _log_prior(design: DesignMatrix, effects: Array, scale_precision: Array) -> Array:
    """Return the log prior of one gene's effects given the scales, (S,), up to a constant."""
    f, d = design.rows.n_effects, design.rows.n_days
    theta = effects[:, : f * d].reshape(-1, f, d) @ walk_steps(d).T
    delta = effects[:, f * d :].reshape(len(effects), -1, f)
    gene = np.einsum("sfd,fd->s", theta**2, scale_precision[:, :d])
    return -0.5 * (gene + np.einsum("sgf,f->s", delta**2, scale_precision[:, d]))


def k_hat(log_ratio: Array) -> float:
    """Return the shape of the generalised Pareto tail of log ratios, (S,); -inf where all are equal."""
    tail = int(min(0.2 * len(log_ratio), 3 * np.sqrt(len(log_ratio))))
    ratio = np.sort(np.exp(log_ratio - log_ratio.max()))
    excess = ratio[-tail:] - ratio[-tail - 1]
    if excess[-1] <= 1e-12:
        return float("-inf")
    return float(fit_generalized_pareto(torch.from_numpy(np.maximum(excess, 1e-300)))[0])


def laplace_figures(laplace: LaplaceFit) -> dict[str, float | int | bool]:
    """Return how far the Laplace solution has come."""
    return {
        "laplace_rounds": len(laplace.log_evidence),
        "laplace_gradient_norm": float(np.sqrt(max(laplace.decrement, 0.0))),
        "laplace_scale_change": laplace.scale_change,
        "laplace_converged": laplace.converged,
        "laplace_log_evidence": laplace.log_evidence[-1],
    }


def convergence_warnings(diagnostics: Mapping[str, Any], compare: str = "inference=nuts") -> tuple[str, ...]:
    """Return one sentence, with what to do, for each figure that says the fit cannot be trusted.

    `compare` is the setting that does without a normal posterior.
    """
    found = []
    if not diagnostics.get("laplace_converged", True):
        found.append(
            "the Laplace solution has not settled: one more round would change a scale by "
            f"{diagnostics['laplace_scale_change']:.1%}, gradient norm "
            f"{diagnostics['laplace_gradient_norm']:.2g}; raise inference.max_rounds"
        )
    drift, error = diagnostics.get("loss_drift"), diagnostics.get("loss_drift_error", 0.0)
    # a cold start has far to go: there a short, noisy run must not pass for lack of evidence
    doubt = 3 * error if "laplace_converged" in diagnostics else 0.5 * error
    if drift is None and "svi_steps" in diagnostics and "laplace_converged" not in diagnostics:
        found.append("SVI took too few steps to tell whether it has settled; raise inference.num_steps")
    if drift is not None and drift > max(SETTLED_NATS, doubt):
        found.append(
            f"SVI has not settled: the loss still fell by {drift:.1f} nats towards the end; "
            "raise inference.num_steps"
        )
    if diagnostics.get("k_hat_above_0.7"):
        found.append(
            f"Pareto k-hat is above {K_HAT_LIMIT} for {diagnostics['k_hat_above_0.7']} of the genes "
            f"(highest {diagnostics['k_hat_max']:.2f}): their posterior is not normal; compare {compare}"
        )
    if diagnostics.get("scale_points_used", LEAST_POINTS_USED) < LEAST_POINTS_USED:
        found.append(
            f"the scales' posterior rests on {diagnostics['scale_points_used']:.1f} of "
            f"{diagnostics['scale_points']} points; compare inference.scales=fixed and inference=nuts"
        )
    if diagnostics.get("r_hat_max", 1.0) > R_HAT_LIMIT:
        found.append(
            f"NUTS chains disagree: R-hat up to {diagnostics['r_hat_max']:.3f}; "
            "raise inference.num_warmup and inference.num_samples"
        )
    if diagnostics.get("nuts_divergent_share", 0.0) > DIVERGENT_LIMIT:
        found.append(
            f"NUTS diverged in {diagnostics['nuts_divergences']} draws and may have missed a part of the "
            "posterior; raise inference.num_warmup, or try priors=tight"
        )
    if diagnostics.get("ess_min", ESS_LIMIT) < ESS_LIMIT:
        found.append(
            f"NUTS gave few independent draws: effective sample size down to {diagnostics['ess_min']:.0f}; "
            "raise inference.num_samples"
        )
    return tuple(found)

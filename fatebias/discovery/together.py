"""All fates in one mixture: what a gene does to one of them says whether it does anything at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig
from fatebias.discovery.correlation import error_correlation, exact_likelihood
from fatebias.discovery.engine import choose_engine, run_engine
from fatebias.discovery.input import summary_of
from fatebias.discovery.result import EngineResult
from fatebias.estimates.estimates import GeneEstimates, fate_view
from fatebias.mash.effect_likelihood import EffectLikelihood
from fatebias.mash.joint import Exact
from fatebias.mash.null_correlation import NullCorrelation, estimate_null_correlation
from fatebias.mash.product import FittedProduct, fit_product
from fatebias.mash.shrink import NEGLIGIBLE_WEIGHT

Array = NDArray[np.float64]

INDEPENDENT = (
    "errors of fates are taken as independent, as discovery.null_correlation=identity asks; they are not"
)


@dataclass(frozen=True)
class TogetherFit:
    """A mixture over the effects on all fates, F* x D, and what the data say of them."""

    moments: EffectLikelihood  # one normal a gene
    likelihood: EffectLikelihood  # the same, or several normals a gene
    fitted: FittedProduct
    engine: str  # that fitted each fate's own mixture
    why: list[str]  # that engine
    pi: dict[str, float]  # weights by component, named by each fate's
    versions: dict[str, str]
    notes: tuple[str, ...]

    def of(self, weights: Array) -> EngineResult:
        """Return the posterior of a weighted sum of the fates' effects, weights (F*,)."""
        view = fate_view(weights, self.moments.mean.shape[1] // len(weights))
        exact = Exact(self.likelihood, self.fitted.prior, view)
        mean, sd = exact.posterior.moments()
        seen = self.moments.through(view)
        return EngineResult(
            postmean=mean,
            postsd=sd,
            lfsr=np.exp(exact.posterior.log_lfsr),
            qvalue=None,
            loglik=self.fitted.loglik,
            v=seen.covariance / (seen.sd[:, :, None] * seen.sd[:, None, :]),
            pi=self.pi,
            priors=(self.fitted.prior.through(view),),
            versions=self.versions,
            notes=self.notes,
            exact=exact,
        )


def fit_together(
    estimates: GeneEstimates,
    fates: Sequence[str],
    genes: Sequence[str],
    cfg: DiscoveryConfig,
    se: str,
    folder: Path | None,
) -> TogetherFit:
    """Fit each fate's own mixture, then their product; arguments as in `discover_contrasts`."""
    engine, why = choose_engine(cfg, len(genes))
    alone, notes = [], []
    for f, fate in enumerate(fates[1:]):
        given = estimates.contrast(np.eye(len(fates) - 1)[f])
        correlation = error_correlation(cfg, se, given.covariance)
        v = None if correlation is None else correlation.v
        told = exact_likelihood(cfg, se, given.likelihood)
        one = run_engine(engine, summary_of(genes, given.betahat, given.se), cfg, v, told, folder)
        alone.append(one)
        notes += [f"{fate}: {note}" for note in one.notes]
    moments, note = _one_normal(estimates, cfg, se)
    exact = exact_likelihood(cfg, se, estimates.likelihood) if engine == "native" else None
    likelihood = moments if exact is None else exact
    nullweight = cfg.nullweight if cfg.prior == "nullbiased" else 1.0
    fitted = fit_product(likelihood, [one.priors[0] for one in alone], nullweight)
    return TogetherFit(
        moments, likelihood, fitted, engine, why, _names(fitted, fates, alone), alone[0].versions,
        (*notes, *note),
    )  # fmt: skip


def _one_normal(
    estimates: GeneEstimates, cfg: DiscoveryConfig, se: str
) -> tuple[EffectLikelihood, tuple[str, ...]]:
    """Return one normal a gene with the error correlation that is asked for, between fates too."""
    n_genes = len(estimates.mean)
    mean = estimates.mean.reshape(n_genes, -1)  # (L, F* x D)
    covariance = estimates.covariance.reshape(n_genes, mean.shape[1], -1)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    found = error_correlation(cfg, se, covariance)
    if cfg.null_correlation == "identity":
        found = NullCorrelation(np.eye(mean.shape[1]), INDEPENDENT)
    elif found is None:
        found = estimate_null_correlation(mean, sd)
    mended = found.v * (sd[:, :, None] * sd[:, None, :])
    return EffectLikelihood.normal(mean, mended), () if found.note is None else (found.note,)


def _names(fitted: FittedProduct, fates: Sequence[str], alone: Sequence[EngineResult]) -> dict[str, float]:
    """Name each product, such as ``MES equal_effects.3, NEU null``; no effect at all is ``null``."""
    by_fate = []
    for fate, one in zip(fates[1:], alone, strict=True):
        n_kept = len(one.priors[0].weights)  # of R all, of the embedded engine those that are not negligible
        kept = [name for name, w in one.pi.items() if w > NEGLIGIBLE_WEIGHT or len(one.pi) == n_kept]
        kept = kept if len(kept) == n_kept else [f"component {i + 1}" for i in range(n_kept)]
        by_fate.append([f"{fate} {name}" for name in [*kept, "null"]])  # -1: a fate without a null of its own
    none = {f"{fate} null" for fate in fates[1:]}
    named = {}
    for parts, weight in zip(fitted.parts, fitted.prior.weights, strict=True):
        words = [names[part] for names, part in zip(by_fate, parts, strict=True)]
        named["null" if set(words) == none else ", ".join(words)] = float(weight)
    return named

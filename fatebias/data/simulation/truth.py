"""The truth of a simulated screen: effects of genes and guides by design, nuisance of plausible size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig

# Effects on the other non-reference fates, relative to those on the contrast.
OTHER_FATE_SCALE = 0.5


@dataclass(frozen=True, eq=False)
class Truth:
    """What a simulated screen was drawn from, on the logit scale against the reference fate."""

    fates: tuple[str, ...]  # reference first, then the F* others
    contrast: str  # the fate that the design is about
    gene_names: tuple[str, ...]  # L
    guide_names: tuple[str, ...]  # G; guide id g is at index g - 1
    gene_of_guide: NDArray[np.int32]  # (G,) gene id 1..L
    theta: NDArray[np.float64]  # (L, F*, D) gene effects
    delta: NDArray[np.float64]  # (G, F*) deviation of each guide from its gene, zero for inactive guides
    inactive: NDArray[np.bool_]  # (G,) guides without any effect
    alpha: NDArray[np.float64]  # (F*, D) day intercepts
    b: NDArray[np.float64]  # (F*, R) replicate effects
    gamma: NDArray[np.float64]  # (F*,) burden slope

    def guide_effects(self) -> NDArray[np.float64]:
        """Return each guide's effect, theta + delta, zero for inactive guides, (G, F*, D)."""
        whole = self.theta[self.gene_of_guide - 1] + self.delta[:, :, None]
        return np.where(self.inactive[:, None, None], 0.0, whole)


def numbered(stem: str, count: int, start: int = 1) -> tuple[str, ...]:
    """Return `count` names whose order by name is their order by number."""
    digits = len(str(start + count - 1))
    return tuple(f"{stem}{number:0{digits}d}" for number in range(start, start + count))


def draw_truth(
    simulate: SimulateConfig,
    data: DataConfig,
    priors: PriorsConfig,
    rng: np.random.Generator,
    gene_names: tuple[str, ...] | None = None,
) -> Truth:
    """Draw effects and nuisance parameters; `priors` are the scales of ``design: prior`` alone."""
    fates = (data.ref_fate, *(fate for fate in data.fates if fate != data.ref_fate))
    genes = gene_names or numbered("GENE", simulate.n_genes)
    per_gene = simulate.guides_per_gene
    gene_of_guide = np.repeat(np.arange(1, len(genes) + 1, dtype=np.int32), per_gene)
    n_star, n_guides, n_days = len(fates) - 1, gene_of_guide.size, simulate.n_days

    if simulate.design == "prior":
        s = priors
        theta = _walk(rng, (len(genes), n_star, n_days), s.s_tau, s.s_time)
        spread = np.abs(rng.normal(0, s.s_guide, n_star))
        alpha = rng.normal(0, s.s_alpha, (n_star, n_days))
        b = rng.normal(0, s.s_rep, (n_star, simulate.n_replicates))
        gamma = rng.normal(0, s.s_gamma, n_star)
    else:
        theta = np.zeros((len(genes), n_star, n_days))
        for f, fate in enumerate(fates[1:]):
            scale = 1.0 if fate == data.contrast_fate else OTHER_FATE_SCALE
            theta[:, f] = scale * _designed(simulate, len(genes), rng)
        spread = np.full(n_star, simulate.sigma_guide)
        start, drift = rng.normal(-0.2, 0.3, (n_star, 1)), rng.normal(0.1, 0.1, (n_star, n_days))
        alpha = start + np.cumsum(drift, axis=1)
        b = rng.normal(0, 0.15, (n_star, simulate.n_replicates))
        gamma = rng.normal(0, 0.05, n_star)

    inactive = np.zeros(n_guides, dtype=bool)
    inactive[rng.permutation(n_guides)[: round(simulate.inactive_guide_share * n_guides)]] = True
    delta = spread * rng.standard_normal((n_guides, n_star))
    delta[inactive] = 0.0
    guides = tuple(f"{gene}_{sg}" for gene in genes for sg in numbered("sg", per_gene))
    return Truth(
        fates, data.contrast_fate, genes, guides, gene_of_guide, theta, delta, inactive, alpha, b, gamma
    )


def _walk(
    rng: np.random.Generator, shape: tuple[int, int, int], s_tau: float, s_time: float
) -> NDArray[np.float64]:
    """Draw theta as the model does, (L, F*, D): theta_0 = tau z0, theta_d = theta_{d-1} + sigma_time eps."""
    n_genes, n_star, n_days = shape
    scale = np.empty((n_star, n_days))
    scale[:, 0] = np.abs(rng.normal(0, s_tau, n_star))
    scale[:, 1:] = np.abs(rng.normal(0, s_time, (n_star, n_days - 1)))
    return np.cumsum(scale * rng.standard_normal((n_genes, n_star, n_days)), axis=2)


def _designed(simulate: SimulateConfig, n_genes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw one fate's effects, (L, D): active genes follow a course over the days, the others are zero."""
    effects = np.zeros((n_genes, simulate.n_days))
    if simulate.design == "each_day":
        for d in range(simulate.n_days):
            active, size = _active(simulate, n_genes, rng)
            effects[active, d] = size
        return effects
    courses = COURSES[simulate.design]
    if not courses:
        return effects
    active, size = _active(simulate, n_genes, rng)
    for position, gene in enumerate(active):
        course = courses[position % len(courses)]
        effects[gene] = size[position] * course(simulate.n_days, rng)
    return effects + 0.0  # no negative zeros


def _active(
    simulate: SimulateConfig, n_genes: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the active genes and their signed effect sizes."""
    active = rng.permutation(n_genes)[: round(simulate.active_share * n_genes)]
    size = rng.uniform(simulate.effect_min, simulate.effect_max, active.size)
    return active, size * rng.choice([-1.0, 1.0], active.size)


def _persistent(n_days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.ones(n_days)


def _single_day(n_days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return (np.arange(n_days) == rng.integers(n_days)).astype(float)


def _sign_flip(n_days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if n_days == 1:
        return np.ones(1)
    return np.where(np.arange(n_days) < rng.integers(1, n_days), 1.0, -1.0)


def _late(n_days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return (np.arange(n_days) >= n_days // 2).astype(float)


def _early(n_days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return (np.arange(n_days) < (n_days + 1) // 2).astype(float)


COURSES: dict[str, tuple[Callable[[int, np.random.Generator], NDArray[np.float64]], ...]] = {
    "no_effects": (),
    "persistent": (_persistent,),
    "single_day": (_single_day,),
    "sign_flip": (_sign_flip,),
    "late": (_late,),
    "early": (_early,),
    "mixed": (_persistent, _single_day, _sign_flip),
}

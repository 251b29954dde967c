"""The kinds of screens that `benchmarks.recovery` draws, each with its truth.

``KINDLY`` are those that the model was made for, drawn by the simulator alone; ``BREAKING`` are those that it
was not. A name that ends in ``_null`` has no effects.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.expression import absorption
from benchmarks.misfit import Clones, GuideLaw, Labels, dirichlet, redraw, uneven_fates
from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.screen import Screen
from fatebias.data.simulation.simulate import simulate_screen

Array = NDArray[np.float64]

BASE = SimulateConfig(n_cells=20_000, n_genes=100, effect_min=0.2, effect_max=1.0, concentration=50.0)


@dataclass(frozen=True)
class Design:
    """One kind of screen."""

    simulate: SimulateConfig
    guides: GuideLaw = GuideLaw()
    clones: Clones | None = None
    depth: bool = False
    labels: Labels | None = None  # None: Dirichlet with the concentration of `simulate`
    identified: bool = True  # whether theta is what an estimate aims at; else only its zeros and signs are

    @property
    def by_simulator(self) -> bool:
        """Whether it has nothing that the simulator does not draw."""
        return self == Design(self.simulate)

    def draw(self, seed: int) -> tuple[Screen, Array]:
        """Return a screen and the true effects on its contrast, (L, D), for a seed of the design."""
        simulate = dataclasses.replace(self.simulate, seed=1000 + seed)
        data = DataConfig(source="simulated", simulate=simulate)
        screen, truth = simulate_screen(simulate, data, PriorsConfig())
        place = [truth.gene_names.index(gene) for gene in screen.gene_names]
        theta = truth.theta[place, screen.contrast_index]
        if not self.by_simulator:
            screen = redraw(
                screen,
                truth,
                np.random.default_rng([0xBEAC, simulate.seed]),
                labels=self.labels or partial(dirichlet, by_day=(simulate.concentration,)),
                guides=self.guides,
                clones=self.clones,
                depth=self.depth,
            )
        return screen, theta


def _settings(**changed: Any) -> SimulateConfig:
    return dataclasses.replace(BASE, **changed)


def _rougher(**changed: Any) -> SimulateConfig:
    return dataclasses.replace(BASE, **{"concentration": 20.0, **changed})


NULL = _rougher(design="no_effects")
PERSISTENT = _rougher(design="persistent")
WEAK = {"effect_min": 0.1, "effect_max": 0.35, "concentration": 5.0}
MANY_GUIDES = {"guides_per_gene": 6, "moi": 5.0}
FALLING = partial(dirichlet, by_day=(100.0, 20.0, 5.0, 2.0))
MES_NOISY = partial(uneven_fates, tight="NEU", concentration=(100.0, 2.0))

KINDLY: dict[str, Design] = {
    "no_effects": Design(_settings(design="no_effects", concentration=5.0)),
    "single_day": Design(_settings(design="single_day", active_share=0.36, moi=5.0)),
    "persistent": Design(_settings(design="persistent")),
    "persistent_weak": Design(_settings(design="persistent", **WEAK)),
    "sign_flip": Design(_settings(design="sign_flip", concentration=5.0)),
    "predecessor": Design(
        _settings(design="each_day", n_cells=25_000, n_ntc_guides=20, active_share=0.1, **MANY_GUIDES)
    ),
    "shared": Design(_settings(design="persistent", concentration=5.0, neighbours=15)),
    "dead_guides": Design(_settings(design="persistent", sigma_guide=0.4, inactive_guide_share=0.25)),
    "single_draws": Design(_settings(design="mixed", concentration=1.0)),
    "moi_1": Design(_settings(design="mixed", moi=1.0)),
    "moi_2.5": Design(_settings(design="mixed", moi=2.5, concentration=5.0)),
    "moi_5": Design(_settings(design="mixed", moi=5.0)),
    "small": Design(_settings(design="mixed", n_cells=2_000, n_genes=50)),
    "large": Design(_settings(design="mixed", n_cells=50_000, n_genes=300, moi=2.5)),
}
BREAKING: dict[str, Design] = {
    "late": Design(_rougher(design="late")),
    "early": Design(_rougher(design="early")),
    "flip_weak": Design(_rougher(design="sign_flip", **WEAK)),
    # Guides by day.
    "guide_day_0_null": Design(NULL),
    "guide_day_0.1_null": Design(NULL, GuideLaw(by_day=0.1)),
    "guide_day_0.15_null": Design(NULL, GuideLaw(by_day=0.15)),
    "guide_day_0": Design(PERSISTENT),
    "guide_day_0.1": Design(PERSISTENT, GuideLaw(by_day=0.1)),
    "guide_day_0.15": Design(PERSISTENT, GuideLaw(by_day=0.15)),
    # Guides by gene: those of genes without effect do nothing.
    "guides_silent_null": Design(NULL, GuideLaw("active")),
    "guides_vary": Design(
        _rougher(design="single_day", active_share=0.36, **MANY_GUIDES), GuideLaw("active", spread=0.2)
    ),
    "guides_efficacy": Design(PERSISTENT, GuideLaw("efficacy")),
    "guides_failing": Design(PERSISTENT, GuideLaw("failing")),
    # Clones, without effects.
    "clones_10_null": Design(_rougher(design="no_effects", n_ntc_guides=4), clones=Clones(10)),
    "clones_10_known_null": Design(NULL, clones=Clones(10, known=True)),
    "clones_20_null": Design(NULL, clones=Clones(20)),
    "clones_10_across_null": Design(NULL, clones=Clones(10, across=True)),
    "clones_20_across_null": Design(NULL, clones=Clones(20, across=True)),
    "clones_10_crossed_null": Design(NULL, clones=Clones(10, nested=False)),
    "clones_20_crossed_null": Design(NULL, clones=Clones(20, nested=False)),
    # Scatter of labels.
    "scatter_days_null": Design(NULL, labels=FALLING),
    "scatter_days": Design(PERSISTENT, labels=FALLING),
    "scatter_fates_null": Design(NULL, labels=MES_NOISY),
    "scatter_fates": Design(PERSISTENT, labels=MES_NOISY),
    # Controls; with 20 NTC guides it is `guide_day_0`.
    "ntc_0": Design(_rougher(design="persistent", n_ntc_guides=0)),
    "ntc_2": Design(_rougher(design="persistent", n_ntc_guides=2)),
    "ntc_4": Design(_rougher(design="persistent", n_ntc_guides=4)),
    "ntc_0_null": Design(_rougher(design="no_effects", n_ntc_guides=0)),
    "ntc_2_null": Design(_rougher(design="no_effects", n_ntc_guides=2)),
    "ntc_4_null": Design(_rougher(design="no_effects", n_ntc_guides=4)),
    "replicates": Design(PERSISTENT, GuideLaw(by_replicate=0.5)),
    "absorption": Design(PERSISTENT, labels=absorption, identified=False),
    "absorption_null": Design(NULL, labels=absorption, identified=False),
    "depth": Design(PERSISTENT, depth=True),
    "depth_null": Design(NULL, depth=True),
}
DESIGNS = {**KINDLY, **BREAKING}

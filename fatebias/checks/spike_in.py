"""Positive controls: NTC pseudo-genes get effects of known size and go through fit and discovery."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.checks.call import fit_and_call
from fatebias.checks.spike_report import ALL_DAYS, NO_DAYS, ONE_DAY, report
from fatebias.config import Config, ModelConfig
from fatebias.data.screen import Screen
from fatebias.data.synthetic import PSEUDO_GENE, pseudo_genes, spike_in
from fatebias.discovery.engine import call_rule
from fatebias.discovery.ranking import active
from fatebias.estimates.tables import read_posterior
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths
from fatebias.inference.laplace import InitialValues
from fatebias.inference.posterior import Posterior
from fatebias.model.design_matrix import design_of

log = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spikes:
    """What is spiked into the pseudo-genes of one fit.

    Attributes
    ----------
    effects
        In logits, shape (n, D); zero where a pseudo-gene stays null.
    days
        ``none``, ``one`` or ``all``, n of them.
    """

    effects: Array
    days: tuple[str, ...]


class Deck:
    """Deals out effects: every other pseudo-gene stays null, the others go through all designs in turn.

    A design is a size, a sign, and one day or all of them; each comes once before any comes again, in random
    order, over as many pseudo-genes and fits as there are.

    Parameters
    ----------
    sizes
        Effects in logits, above zero.
    n_days
        D.
    seed
        Of the order.
    """

    def __init__(self, sizes: list[float], n_days: int, seed: int) -> None:
        patterns = (ONE_DAY, ALL_DAYS) if n_days > 1 else (ALL_DAYS,)
        self.designs = list(itertools.product(sizes, (-1.0, 1.0), patterns))
        self.n_days = n_days
        self.rng = np.random.default_rng([0x5B1CE, seed])
        self.left: list[int] = []
        self.days_left: list[int] = []
        self.null_next = False

    def deal(self, n: int) -> Spikes:
        """Give n pseudo-genes their effects."""
        effects, days = np.zeros((n, self.n_days)), [NO_DAYS] * n
        for place in range(n):
            if not self.null_next:
                self.left = self.left or self.rng.permutation(len(self.designs)).tolist()
                size, sign, days[place] = self.designs[self.left.pop()]
                effects[place, self._days(days[place])] = sign * size
            self.null_next = not self.null_next
        return Spikes(effects, tuple(days))

    def _days(self, pattern: str) -> Any:
        if pattern == ALL_DAYS:
            return slice(None)
        self.days_left = self.days_left or self.rng.permutation(self.n_days).tolist()
        return self.days_left.pop()


def run_spike_in(screen: Screen, cfg: Config, paths: RunPaths) -> dict[str, Any]:
    """Spike effects of known size into NTC pseudo-genes, fit and call, and count what is found.

    In each round all NTC guides become pseudo-genes, part by part as in the negative controls, in other
    random groups each time. Half of the pseudo-genes get an effect, their guides varying around it by the
    run's own ``sigma_guide`` where there is one; the others and the real genes stay as they are. The fits
    are the run's model, weight and priors by ``inference=laplace``, begun at the run's own posterior.

    Parameters
    ----------
    screen
        With 6 NTC guides or more.
    cfg
        The run's settings, the likelihood weight a number.
    paths
        Of a run whose fit is done; ``spike_in.csv`` and ``spike_in.png`` go there.

    Returns
    -------
    dict
        See `spike_report.report`.

    Raises
    ------
    FitError, DiscoveryError, OutputError
        As the fit and the discovery.
    """
    from fatebias import pl
    from fatebias.pl.save import save_png

    posterior = read_posterior(paths.posterior)
    sigma = float(posterior.scales_mean[screen.contrast_index, -1])
    deck = Deck(cfg.calibration.spike_in_sizes, screen.D, cfg.seed)
    tables = []
    for number in range(cfg.calibration.spike_in):
        for part in range(cfg.calibration.control_splits):
            rng = np.random.default_rng([0x5B1C, cfg.seed, number, part])
            split = pseudo_genes(
                screen,
                part=part,
                n_parts=cfg.calibration.control_splits,
                seed=int(np.random.SeedSequence([cfg.seed, number]).generate_state(1)[0]),
            )
            spikes = deck.deal(split.L - screen.L)
            spiked = spike_in(split, by_guide(split, screen.L, spikes.effects, sigma, rng))
            table = _called(spiked, screen, cfg, posterior, paths.root)
            rows = _rows(table, spikes, screen, cfg)
            head = pd.DataFrame({names.ROUND: number, names.PART: part}, index=rows.index)
            tables.append(pd.concat([head, rows], axis=1))
        log.info("spike-in: round %d of %d is done", number + 1, cfg.calibration.spike_in)
    table = pd.concat(tables, ignore_index=True)
    with atomic_path(paths.spike_in) as draft:
        table.to_csv(draft, index=False)
    found = report(table, cfg.calibration.spike_in_sizes) | {
        "rounds": cfg.calibration.spike_in,
        "ntc_guides": len(screen.ntc_guide_names),
        "sigma_guide": sigma,
    }
    save_png(pl.spike_in(found["by_size"]), paths.spike_in_plot)
    return found


def by_guide(split: Screen, n_real: int, effects: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Give the guides of spiked pseudo-genes their effects.

    Parameters
    ----------
    split
        With pseudo-genes behind the real genes.
    n_real
        Number of real genes.
    effects
        Of the pseudo-genes, shape (n, D).
    sigma
        SD of guides around their gene, the same deviation on each day with an effect.
    rng
        For the deviations.

    Returns
    -------
    ndarray
        Shape (G + 1, D), zero for all other guides.
    """
    by_gene = np.concatenate([np.zeros((n_real + 1, split.D)), effects])
    of_guide = by_gene[split.gene_of_guide]
    deviation = sigma * rng.standard_normal(len(of_guide))
    return np.where(of_guide != 0, of_guide + deviation[:, None], 0.0)


def begin_at(split: Screen, screen: Screen, posterior: Posterior, model: ModelConfig) -> InitialValues:
    """Start a fit with pseudo-genes from the posterior of the screen without them.

    Parameters
    ----------
    split
        With pseudo-genes behind the real genes.
    screen
        Without them.
    posterior
        Of `screen`.
    model
        For ``model.guide_effects``.

    Returns
    -------
    InitialValues
        Pseudo-genes begin at zero; no scale is held.
    """
    design = design_of(split, model)
    gene = screen.guide_gene
    flat = np.zeros(design.size)
    flat[design.theta_index[: screen.L]] = posterior.theta_mean
    delta = posterior.beta_mean[..., 0] - posterior.theta_mean[gene, :, 0]
    flat[design.delta_index[: screen.G]] = delta
    flat[design.shared_index] = posterior.shared_mean
    return InitialValues(posterior.scales_mean**-2.0, mean=flat)


def _called(spiked: Screen, screen: Screen, cfg: Config, posterior: Posterior, root: Path) -> pd.DataFrame:
    """Fit and call; the rows of the pseudo-genes, in their order."""
    start = begin_at(spiked, screen, posterior, cfg.model)
    table = fit_and_call(spiked, cfg, root, start)
    assert all(name.startswith(PSEUDO_GENE) for name in table[names.GENE].iloc[screen.L :])
    return table.iloc[screen.L :]


def _rows(table: pd.DataFrame, spikes: Spikes, screen: Screen, cfg: Config) -> pd.DataFrame:
    """Lay out a row for each pseudo-gene and day."""

    def of(prefix: str) -> Array:
        return table[names.day_columns(prefix, screen.D)].to_numpy(dtype=float).ravel()

    effect, postmean = spikes.effects.ravel(), of(names.POSTMEAN)
    right = pd.array(np.sign(effect) == np.sign(postmean), dtype="boolean")
    right[effect == 0] = pd.NA
    return pd.DataFrame(
        {
            names.GENE: np.repeat(table[names.GENE].to_numpy(), screen.D),
            names.DAY: np.tile(np.asarray(screen.day_labels, dtype=object), len(table)),
            "days": np.repeat(np.asarray(spikes.days, dtype=object), screen.D),
            "effect": effect,
            "betahat": of(names.BETAHAT),
            "se": of(names.SE),
            "postmean": postmean,
            "lfsr": of(names.LFSR),
            "called": active(table, call_rule(cfg.discovery)).ravel(),
            "right_sign": right,
        }
    )

"""The power check: NTC pseudo-genes get effects of known size and go through fit and discovery."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fatebias import names
from fatebias.checks.base import NtcCheck, Report, own_discovery
from fatebias.checks.spike_report import as_metrics, gene_days, power_report, summary_line
from fatebias.config import Config
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

log = logging.getLogger(__name__)


class SpikeIn(NtcCheck):
    """Counts how often known effects in NTC pseudo-genes are called."""

    name = "spike_in"

    def wanted(self, config: Config) -> bool:
        """Return whether any rounds are asked for."""
        return bool(config.calibration.spike_in)

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Return rounds, sizes and the settings of the discovery."""
        settings = config.calibration
        own = [settings.spike_in, settings.spike_in_sizes, settings.control_splits]
        return [own, own_discovery(config)]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Return the table and the power curve."""
        return [paths.spike_in, paths.spike_in_plot]

    def run(self, screen: Screen, config: Config, weight: float, paths: RunPaths) -> Report:
        """Spike effects of known size into NTC pseudo-genes, fit and call, and return what is found.

        In each round all NTC guides become pseudo-genes, part by part as in the calibration check, in other
        random groups each time. Half of the pseudo-genes get an effect, their guides varying around it by the
        run's own ``sigma_guide`` where there is one; the others and the real genes stay as they are
        (`OwnFit.with_pseudo_genes`).
        """
        import pandas as pd

        from fatebias import pl
        from fatebias.checks.call import call_given
        from fatebias.checks.own_fit import OwnFit
        from fatebias.checks.spike_design import Deck, by_guide
        from fatebias.data.synthetic import PSEUDO_GENE, pseudo_genes, spike_in
        from fatebias.pl.save import save_png

        settings = config.calibration
        fit = OwnFit.read(screen, config, weight, paths.posterior)
        sigma = float(fit.posterior.scales_mean[screen.contrast_index, -1])
        deck = Deck(settings.spike_in_sizes, screen.D, config.seed)
        tables = []
        for number in range(settings.spike_in):
            grouping = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
            for part in range(settings.control_splits):
                rng = np.random.default_rng([0x5B1C, config.seed, number, part])
                split = pseudo_genes(screen, part=part, n_parts=settings.control_splits, seed=grouping)
                spikes = deck.deal(split.L - screen.L)
                spiked = spike_in(split, by_guide(split, screen.L, spikes.effects, sigma, rng))
                table = call_given(spiked, config, fit.with_pseudo_genes(spiked)).iloc[screen.L :]
                assert all(name.startswith(PSEUDO_GENE) for name in table[names.GENE])
                rows = gene_days(table, spikes.effects, spikes.days, screen.day_labels, config.discovery)
                head = pd.DataFrame({names.ROUND: number, names.PART: part}, index=rows.index)
                tables.append(pd.concat([head, rows], axis=1))
            log.info("power check: round %d of %d is done", number + 1, settings.spike_in)
        table = pd.concat(tables, ignore_index=True)
        with atomic_path(paths.spike_in) as draft:
            table.to_csv(draft, index=False)
        report = power_report(table, settings.spike_in_sizes) | {
            "rounds": settings.spike_in,
            "ntc_guides": len(screen.ntc_guide_names),
            "sigma_guide": sigma,
        }
        save_png(pl.spike_in(report["by_size"]), paths.spike_in_plot)
        return report

    def summary_line(self, report: Report) -> str:
        """Return the power and the rate of false discoveries."""
        return summary_line(report)

    def metrics(self, report: Report) -> dict[str, float]:
        """Return the numbers, powers by size too."""
        return {f"{self.name}_{name}": value for name, value in as_metrics(report).items()}

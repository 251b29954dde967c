"""Refits with other weights of the cells (bootstrap, jackknife), and replicates fitted apart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fatebias.checks.base import Check, Report, named_numbers, own_discovery
from fatebias.config import Config
from fatebias.errors import DataError
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    import pandas as pd

    from fatebias.data.screen import Screen


class Resample(Check):
    """Shows how far estimates move when cells, clusters or replicates come out otherwise."""

    name = "resample"

    def wanted(self, config: Config) -> bool:
        """Return whether any way of resampling is asked for."""
        cfg = config.calibration
        return bool(cfg.bootstrap) or cfg.jackknife != "none" or cfg.concordance

    def require(self, screen: Screen, config: Config) -> None:
        """Raise a DataError where there are no units to draw or leave out, or no replicates to compare."""
        from fatebias.checks.units import resampling_units

        cfg = config.calibration
        if cfg.bootstrap:
            resampling_units(screen, cfg.bootstrap_unit)
        if cfg.jackknife != "none":
            resampling_units(screen, cfg.jackknife)
        if cfg.concordance and screen.R < 2:
            raise DataError(
                "replicates cannot be compared",
                where="calibration.concordance=true",
                found=f"{screen.R} replicate",
                allowed="two or more",
                fix="calibration.concordance=false, or data.rep_key=COLUMN",
            )

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Return the ways of resampling, and the settings of the discovery that judges the bootstrap."""
        cfg = config.calibration
        own = [cfg.bootstrap, cfg.bootstrap_unit, cfg.bootstrap_seed]
        return [own, cfg.jackknife, cfg.concordance, own_discovery(config)]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Return the tables asked for."""
        cfg = config.calibration
        return [
            *([paths.bootstrap, paths.bootstrap_refits] if cfg.bootstrap else []),
            *([paths.jackknife] if cfg.jackknife != "none" else []),
            *([paths.concordance] if cfg.concordance else []),
        ]

    def run(self, screen: Screen, config: Config, weight: float, paths: RunPaths) -> Report:
        """Resample as the settings ask, and return a part each for bootstrap, jackknife and concordance."""
        import torch

        from fatebias.checks.centre import centre_of_run
        from fatebias.checks.concordance import concordance
        from fatebias.checks.resample_tables import account, bootstrap_table, error_table, write_refits
        from fatebias.checks.resampling import bootstrap, jackknife
        from fatebias.checks.units import resampling_units
        from fatebias.estimates.tables import read_posterior
        from fatebias.files.tables import read_table

        cfg = config.calibration
        posterior = read_posterior(paths.posterior)
        given = read_table(paths.gene_summary)
        workers = max(1, torch.get_num_threads())
        report: Report = {}
        if cfg.bootstrap or cfg.jackknife != "none":
            full = centre_of_run(screen, config, weight, posterior)
        if cfg.bootstrap:
            begun = time.perf_counter()
            found = bootstrap(full, screen, cfg, workers)
            write_refits(found, full, screen, cfg, paths.bootstrap_refits)
            table, called = bootstrap_table(screen, config, given, found)
            _write(table, paths.bootstrap)
            drawn = resampling_units(screen, cfg.bootstrap_unit)
            report["bootstrap"] = account(found, drawn, begun) | {"called": called}
        if cfg.jackknife != "none":
            begun = time.perf_counter()
            found = jackknife(full, screen, cfg.jackknife, workers)
            _write(error_table(given, found, "jack"), paths.jackknife)
            report["jackknife"] = account(found, resampling_units(screen, cfg.jackknife), begun)
        if cfg.concordance:
            table, report["concordance"] = concordance(screen, config, weight, posterior)
            _write(table, paths.concordance)
        return report

    def summary_line(self, report: Report) -> str:
        """Return a line for each way of resampling."""
        lines = []
        for name, per in (("bootstrap", "refits"), ("jackknife", "left out one at a time")):
            part = report.get(name)
            if part is None:
                continue
            called = f"; {part['called']} genes called with its errors" if "called" in part else ""
            note = f"; {part['note']}" if part["note"] else ""
            lines.append(
                f"{name} over {part['units']} {part['unit']} ({part['refits']} {per}): labels' variance "
                f"{part['variance_ratio']:.2f} times what the model says{called}{note}"
            )
        if "concordance" in report:
            from fatebias.checks.concordance import summary_line

            lines.append(summary_line(report["concordance"]))
        return "\n".join(lines)

    def metrics(self, report: Report) -> dict[str, float]:
        """Return the numbers, named by the way of resampling."""
        return {k: v for part, found in report.items() for k, v in named_numbers(found, part).items()}


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as draft:
        table.to_csv(draft, index=False)

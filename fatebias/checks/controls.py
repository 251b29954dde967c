"""The calibration check: NTC pseudo-genes go through fit and discovery, and should not be called."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fatebias import names
from fatebias.checks.base import FEWEST_NTC_TO_JUDGE, NtcCheck, Report, share_with_interval
from fatebias.config import Config
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from fatebias.data.screen import Screen


class Controls(NtcCheck):
    """Counts the calls of NTC pseudo-genes, which have no effect."""

    name = "controls"
    by_default = True
    needs = ("fit", "discover")

    def wanted(self, config: Config) -> bool:
        """Return True: it is done wherever the screen allows."""
        return True

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Return the settings of the discovery; the number of parts is in the fit's key."""
        return dataclasses.asdict(config.discovery)

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Return the table and the QQ plot."""
        return [paths.controls, paths.controls_plot]

    def run(self, screen: Screen, config: Config, weight: float, paths: RunPaths) -> Report:
        """Fit again with each part of the NTC guides as pseudo-genes, call, and return the counts.

        The fit is the run's model, weight and priors by ``inference=laplace``; the results of real genes are
        not touched.
        """
        import pandas as pd

        from fatebias import pl
        from fatebias.checks.call import fit_and_call
        from fatebias.data.synthetic import PSEUDO_GENE, pseudo_genes
        from fatebias.pl.save import save_png

        tables = []
        n_parts = config.calibration.control_splits
        for part in range(n_parts):
            split = pseudo_genes(screen, part=part, n_parts=n_parts, seed=config.seed)
            table = fit_and_call(split, config, weight, paths.root)
            table = table[table[names.GENE].str.startswith(PSEUDO_GENE)]
            tables.append(table.assign(**{names.PART: part}))
        table = pd.concat(tables, ignore_index=True)
        with atomic_path(paths.controls) as draft:
            table.to_csv(draft, index=False)
        z = z_scores(table, screen.D)
        save_png(pl.controls(z), paths.controls_plot)
        called, n = int(table[names.HIT_ANYDAY].sum()), len(table)
        return {
            "pseudo_genes": n,
            "called": called,
            **share_with_interval("rate", called, n),
            "z_sd": float(np.sqrt((z**2).mean())),
            "ntc_guides": len(screen.ntc_guide_names),
        }

    def summary_line(self, report: Report) -> str:
        """Return how many pseudo-genes are called, and the SD of their z scores."""
        few = ""
        if report["ntc_guides"] < FEWEST_NTC_TO_JUDGE:
            few = f"; fewer than {FEWEST_NTC_TO_JUDGE} NTC guides cannot tell more"
        return (
            f"calibration check: {report['called']} of {report['pseudo_genes']} NTC pseudo-genes called "
            f"(95 % interval {report['rate_low']:.1%} to {report['rate_high']:.1%}); "
            f"SD of their z scores {report['z_sd']:.2f}{few}"
        )


def z_scores(table: pd.DataFrame, n_days: int) -> NDArray[np.float64]:
    """Return ``betahat / se`` of all genes on the first day, then on the second, and so on, (L * D,)."""
    betahat, se = (
        table[names.day_columns(of, n_days)].to_numpy(dtype=float) for of in (names.BETAHAT, names.SE)
    )
    return (betahat / se).T.ravel()

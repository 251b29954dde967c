"""What a fit is held against once it is there: stages that judge it and leave its results as they are.

Each is done after fit and discovery where it was asked for, and kept while its inputs and settings stay.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.api.fitting import with_weight
from fatebias.config import Config
from fatebias.files.atomic import atomic_json, sha256_file
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

Report = dict[str, Any]


class Check(ABC):
    """One such stage.

    Attributes
    ----------
    name
        In ``stages`` and run.json.
    unasked
        Whether it is there unless left out, so that a screen that lacks what it takes is nothing to warn of.
    needs
        Stages that must be done before.
    follows
        Stages whose outcome it is about: done afresh, they leave its results outdated.
    """

    name: str
    unasked: bool = False
    needs: tuple[str, ...] = ("fit",)
    follows: tuple[str, ...] = ("fit", "discover")

    @abstractmethod
    def wanted(self, config: Config) -> bool:
        """Say whether the settings ask for it."""

    def lacks(self, screen: Screen) -> str | None:
        """Say what the screen has too little of; None where nothing."""
        return None

    @abstractmethod
    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Give what decides its results besides the fit, as JSON can hold it."""

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Name its files."""
        return []

    def config(self, config: Config, fit: Mapping[str, Any]) -> Config:
        """Give the run's settings with the likelihood weight of its fit."""
        return with_weight(config, float(fit["likelihood_weight"]))

    @abstractmethod
    def do(self, screen: Screen, config: Config, paths: RunPaths) -> Report:
        """Do it; what run.json is to say, plain content."""

    @abstractmethod
    def words(self, report: Report) -> str:
        """Say it on the terminal."""

    def figures(self, report: Report) -> dict[str, float]:
        """Give its numbers by name, for MLflow."""
        return _numbers(report, self.name)


def _numbers(report: Mapping[str, Any], name: str) -> dict[str, float]:
    return {f"{name}_{k}": float(v) for k, v in report.items() if isinstance(v, (int, float))}


class Commitment(Check):
    """Whether genes move commitment, beside the contrast."""

    name = "commitment"
    needs = ("fit", "discover")

    def wanted(self, config: Config) -> bool:
        """Measure it where a measure is given."""
        return config.calibration.commitment != "none"

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Take the measure, and what it is held beside."""
        degree = None if screen.commitment is None else screen.commitment.tolist()
        own = [config.calibration.commitment, degree]
        return [own, dataclasses.asdict(config.discovery), sha256_file(paths.mash_out)]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Name its table."""
        return [paths.commitment]

    def config(self, config: Config, fit: Mapping[str, Any]) -> Config:
        """Weigh labels as the data suggest, whatever the run's own weight."""
        return dataclasses.replace(config, likelihood_weight=float(fit["suggested_weight"]))

    def do(self, screen: Screen, config: Config, paths: RunPaths) -> Report:
        """See `calibration.commitment`."""
        from fatebias.checks.commitment import run_commitment

        return run_commitment(screen, config, paths)

    def words(self, report: Report) -> str:
        """Count genes by what they move."""
        from fatebias.checks.commitment import words

        return words(report)


class _Ntc(Check):
    """What needs NTC guides."""

    def lacks(self, screen: Screen) -> str | None:
        """Ask for six NTC guides."""
        from fatebias.data.synthetic import FEWEST_NTC

        n_ntc = len(screen.ntc_guide_names)
        return f"{n_ntc} NTC guides, {FEWEST_NTC} are needed" if n_ntc < FEWEST_NTC else None


class Controls(_Ntc):
    """Negative controls: NTC pseudo-genes are called."""

    name = "controls"
    unasked = True
    needs = ("fit", "discover")

    def wanted(self, config: Config) -> bool:
        """Be there always, where the screen allows."""
        return True

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Take the discovery; the fit's key has the number of parts."""
        return dataclasses.asdict(config.discovery)

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Name the table and the QQ plot."""
        return [paths.controls, paths.controls_plot]

    def do(self, screen: Screen, config: Config, paths: RunPaths) -> Report:
        """See `calibration.controls`."""
        from fatebias.checks.controls import run_controls

        return run_controls(screen, config, paths)

    def words(self, report: Report) -> str:
        """Count the calls."""
        from fatebias.checks.controls import words

        return words(report)


class SpikeIn(_Ntc):
    """Positive controls: effects of known size in NTC pseudo-genes."""

    name = "spike_in"

    def wanted(self, config: Config) -> bool:
        """Do as many rounds as asked for."""
        return bool(config.calibration.spike_in)

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Take rounds, sizes and the discovery."""
        settings = config.calibration
        own = [settings.spike_in, settings.spike_in_sizes, settings.control_splits]
        return [own, dataclasses.asdict(config.discovery)]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Name the table and the power curve."""
        return [paths.spike_in, paths.spike_in_plot]

    def do(self, screen: Screen, config: Config, paths: RunPaths) -> Report:
        """See `calibration.spike_in`."""
        from fatebias.checks.spike_in import run_spike_in

        return run_spike_in(screen, config, paths)

    def words(self, report: Report) -> str:
        """Say the power and the rate of false discoveries."""
        from fatebias.checks.spike_report import words

        return words(report)

    def figures(self, report: Report) -> dict[str, float]:
        """Give powers by size too."""
        from fatebias.checks.spike_report import figures

        return {f"{self.name}_{name}": value for name, value in figures(report).items()}


class Heldout(Check):
    """The score on cells left out of the fit."""

    name = "heldout"
    follows = ("fit",)

    def wanted(self, config: Config) -> bool:
        """Leave out what was asked for."""
        return config.calibration.heldout != "none"

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Take what is left out at a time."""
        return [config.calibration.heldout, config.calibration.heldout_folds]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Name the file of the score."""
        return [paths.heldout]

    def do(self, screen: Screen, config: Config, paths: RunPaths) -> Report:
        """See `calibration.heldout`."""
        from fatebias.checks.heldout import heldout_score

        report = heldout_score(screen, config)
        atomic_json(paths.heldout, report)
        return report

    def words(self, report: Report) -> str:
        """Say the score and the gains."""
        from fatebias.checks.heldout import words

        return words(report)


class Resample(Check):
    """Refits with other weights of the cells, and replicates apart."""

    name = "resample"

    def wanted(self, config: Config) -> bool:
        """Do as far as asked for."""
        from fatebias.checks import resample_stage

        return resample_stage.asked_for(config.calibration)

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Take the ways of resampling, and the discovery that judges the bootstrap."""
        settings = config.calibration
        own = [settings.bootstrap, settings.bootstrap_unit, settings.bootstrap_seed]
        return [own, settings.jackknife, settings.concordance, dataclasses.asdict(config.discovery)]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Name the tables asked for."""
        from fatebias.checks import resample_stage

        return resample_stage.outputs(paths, config.calibration)

    def do(self, screen: Screen, config: Config, paths: RunPaths) -> Report:
        """See `calibration.resample_stage`."""
        from fatebias.checks import resample_stage

        return resample_stage.run_resample(screen, config, paths)

    def words(self, report: Report) -> str:
        """Say a line for each way."""
        from fatebias.checks import resample_stage

        return "\n".join(resample_stage.words(report))

    def figures(self, report: Report) -> dict[str, float]:
        """Name numbers by the way of resampling."""
        return {k: v for part, found in report.items() for k, v in _numbers(found, part).items()}


CHECKS: tuple[Check, ...] = (Commitment(), Controls(), SpikeIn(), Heldout(), Resample())

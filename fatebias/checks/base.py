"""What every check of a fit provides, so that a run can do it, keep it and report it."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.config import Config
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

Report = dict[str, Any]


def own_discovery(config: Config) -> dict[str, Any]:
    """Return the settings that decide the calls of the screen's own contrast, which checks judge."""
    settings = dataclasses.asdict(config.discovery)
    del settings["contrasts"]
    return settings


class Check(ABC):
    """A stage that judges a finished fit and leaves its results as they are.

    A run does it after fit and discovery, where the settings ask for it, and keeps it while its inputs and
    settings stay the same. Modules of checks are imported whenever a run starts, on machines without torch
    too: they import what is heavy where they use it.
    """

    name: str  # in `stages` and run.json
    by_default: bool = False  # nobody asked for it, so a screen that does not allow it is no reason to warn
    needs: tuple[str, ...] = ("fit",)  # stages that must be done before
    follows: tuple[str, ...] = ("fit", "discover")  # stages that it judges: done again, they outdate it
    as_fitted: bool = True  # days are weighted as in the fit

    @abstractmethod
    def wanted(self, config: Config) -> bool:
        """Return whether the settings ask for it."""

    def require(self, screen: Screen, config: Config) -> None:  # noqa: B027
        """Raise a DataError before the fit where the screen does not allow what the settings ask for."""

    def lacks(self, screen: Screen) -> str | None:
        """Return what the screen has too little of, in words; None where the check can be done."""
        return None

    @abstractmethod
    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Return what decides the results besides the fit, as JSON can hold it."""

    @abstractmethod
    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Return the files that it writes."""

    def weight(self, fit: Mapping[str, Any]) -> float:
        """Return the likelihood weight of the check's own fits, from run.json's entry of the run's fit."""
        return float(fit["likelihood_weight"])

    @abstractmethod
    def run(self, screen: Screen, config: Config, weight: float, paths: RunPaths) -> Report:
        """Do the check, write its files and return what run.json keeps, plain content."""

    @abstractmethod
    def summary_line(self, report: Report) -> str:
        """Return the report in a line or a few, for the terminal."""

    def metrics(self, report: Report) -> dict[str, float]:
        """Return the numbers of the report by name, for MLflow."""
        return named_numbers(report, self.name)


# Fewer NTC guides make so few pseudo-genes that a count of calls says little.
FEWEST_NTC_TO_JUDGE = 10


class NtcCheck(Check):
    """A check that makes pseudo-genes of NTC guides."""

    def lacks(self, screen: Screen) -> str | None:
        """Return how many NTC guides there are, where they are too few."""
        from fatebias.data.synthetic import FEWEST_NTC

        n_ntc = len(screen.ntc_guide_names)
        return f"{n_ntc} NTC guides, {FEWEST_NTC} are needed" if n_ntc < FEWEST_NTC else None


def named_numbers(report: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Return the numbers among the entries of a report, their names with a prefix."""
    return {f"{prefix}_{k}": float(v) for k, v in report.items() if isinstance(v, (int, float))}


def share_with_interval(name: str, count: int, n: int, copies: int = 1) -> dict[str, float | None]:
    """Return a share and its 95 % interval (Clopper and Pearson 1934) under `name`; None where n is 0.

    Of n that are `copies` looks at the same, the interval counts one look.
    """
    from scipy.stats import beta

    if n == 0:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    one, of = count / copies, n / copies
    low = beta.ppf(0.025, one, of - one + 1) if one > 0 else 0.0
    high = beta.ppf(0.975, one + 1, of - one) if one < of else 1.0
    return {name: count / n, f"{name}_low": float(low), f"{name}_high": float(high)}

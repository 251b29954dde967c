"""The whole config of a run, and its groups but for `data`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Any

from fatebias.config.data import DataConfig
from fatebias.config.values import one_of, positive, refuse, share
from fatebias.contrasts import ALL, parse_contrasts

CHECK = "check"  # reads and judges the screen, and stops
FIT = "fit"  # alone of all stages it needs nothing but the screen
STAGES = (FIT, "discover", "commitment", "controls", "spike_in", "heldout", "resample")
AUTO = "auto"
FIGURE_FORMATS = ("png", "pdf", "svg")
# With fewer refits the errors of a bootstrap are too rough to use.
FEWEST_REFITS = 20


@dataclass
class PriorsConfig:
    """Scales of the priors, in logits (docs/inference.md)."""

    s_alpha: float = 2.5
    s_rep: float = 0.8
    s_gamma: float = 0.8
    s_tau: float = 4.0
    s_time: float = 0.8
    s_guide: float = 1.5
    s_covar: float = 0.8

    def __post_init__(self) -> None:
        """Refuse scales that are not finite and above zero."""
        for each in fields(self):
            positive(f"priors.{each.name}", getattr(self, each.name))


@dataclass
class ModelConfig:
    """Choices within the model that are not priors."""

    guide_effects: str = "random"

    def __post_init__(self) -> None:
        """Check the choice of guide effects."""
        one_of("model.guide_effects", self.guide_effects, ("random", "centred"))


@dataclass
class InferenceConfig:
    """How the posterior is found."""

    method: str = "svi"
    variational: str = "structured"
    warm_start: str = "laplace"
    scales: str = "integrated"
    batch_size: int | None = None
    lr: float = 0.001
    clip_norm: float = 10.0
    num_steps: int = 500
    num_posterior_draws: int = 4000
    stop: str = "level"
    tolerance: float | None = None
    patience: int = 200
    max_rounds: int = 30
    num_chains: int = 2
    num_warmup: int = 600
    num_samples: int = 1000
    checkpoint_every_s: float = 60.0
    progress: bool = True

    def __post_init__(self) -> None:
        """Check choices and ranges."""
        one_of("inference.method", self.method, ("svi", "laplace", "nuts"))
        one_of("inference.variational", self.variational, ("structured", "normal"))
        one_of("inference.warm_start", self.warm_start, ("laplace", "none"))
        one_of("inference.scales", self.scales, ("integrated", "fixed"))
        one_of("inference.stop", self.stop, ("level", "never"))
        for name in ("num_steps", "max_rounds", "num_chains", "num_warmup", "num_samples", "patience"):
            if getattr(self, name) < 1:
                raise refuse(f"inference.{name}", getattr(self, name), "a whole number, 1 or more")
        if self.num_posterior_draws < 2:
            raise refuse("inference.num_posterior_draws", self.num_posterior_draws, "2 or more")
        if self.batch_size is not None and self.batch_size < 1:
            raise refuse("inference.batch_size", self.batch_size, "null (all cells) or 1 and more")
        for name in ("lr", "clip_norm", "tolerance", "checkpoint_every_s"):
            positive(f"inference.{name}", getattr(self, name))


@dataclass
class ExportConfig:
    """Which estimates and standard errors mash is given."""

    estimates: str = "posterior"
    se: str = "posterior"
    guides: str = "normal"
    baseline: str = "ntc"
    inactive_guides: bool | None = None  # an earlier key: true is guides=mixture, false guides=normal
    dead_guides: bool | None = None  # the same, up to 0.1

    def __post_init__(self) -> None:
        """Check the choices, and that they go together."""
        for earlier in (self.dead_guides, self.inactive_guides):
            if earlier is not None:
                self.guides = "mixture" if earlier else "normal"
        self.dead_guides = self.inactive_guides = None
        one_of("export.estimates", self.estimates, ("posterior", "unshrunken"))
        one_of("export.se", self.se, ("posterior", "sandwich"))
        one_of("export.guides", self.guides, ("normal", "mixture"))
        one_of("export.baseline", self.baseline, ("ntc", "genes", "auto"))
        for key, plain in (("guides", "normal"), ("baseline", "ntc")):
            value = getattr(self, key)
            if value != plain and (self.estimates, self.se) != ("unshrunken", "posterior"):
                raise refuse(
                    f"export.{key}",
                    f"{value} with export.estimates={self.estimates} export.se={self.se}",
                    f"{plain}, or {value} with export.estimates=unshrunken and export.se=posterior",
                )


@dataclass
class CalibrationConfig:
    """How the likelihood weight is found, and which checks judge the calls."""

    method: str = "auto"
    control_splits: int = 2
    control_draws: int = 1
    commitment: str = "none"
    spike_in: int = 0
    spike_in_sizes: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.4, 0.8])
    heldout: str = "none"
    heldout_folds: int = 5
    bootstrap: int = 0
    bootstrap_unit: str = "cells"
    bootstrap_seed: int = 0
    jackknife: str = "none"
    concordance: bool = False

    def __post_init__(self) -> None:
        """Check choices and counts."""
        if self.bootstrap != 0 and self.bootstrap < FEWEST_REFITS:
            raise refuse("calibration.bootstrap", self.bootstrap, f"0 (none), or {FEWEST_REFITS} and more")
        one_of("calibration.bootstrap_unit", self.bootstrap_unit, ("cells", "clusters"))
        if self.bootstrap_seed < 0:
            raise refuse("calibration.bootstrap_seed", self.bootstrap_seed, "a whole number, 0 or more")
        one_of("calibration.jackknife", self.jackknife, ("none", "replicate", "clusters"))
        one_of("calibration.method", self.method, ("auto", "dispersion", "information", "controls"))
        one_of("calibration.heldout", self.heldout, ("none", "clusters", "replicate"))
        for name, least in (("control_splits", 2), ("heldout_folds", 2), ("control_draws", 1)):
            if getattr(self, name) < least:
                raise refuse(f"calibration.{name}", getattr(self, name), f"{least} or more")
        one_of("calibration.commitment", self.commitment, ("none", "entropy", "column"))
        if self.spike_in < 0:
            raise refuse("calibration.spike_in", self.spike_in, "0 (none), or a number of rounds")
        sizes = self.spike_in_sizes
        if not sizes or sorted(set(sizes)) != list(sizes) or not all(0 < size < 10 for size in sizes):
            raise refuse("calibration.spike_in_sizes", sizes, "logits above 0 and below 10, in rising order")


@dataclass
class DiscoveryConfig:
    """How daywise effects become calls (docs/calls.md)."""

    method: str = "mashr"
    engine: str = "auto"
    command: list[str] = field(default_factory=lambda: ["Rscript"])
    prior: str = "nullbiased"
    nullweight: float = 10.0
    covariances: str = "canonical"
    rank_one: str = "keep"
    null_correlation: str = "simple"
    likelihood: str = "exact"
    fates: str = "alone"
    mash_lfsr_thresh: float = 0.05
    lfsr_thresh: float = 0.05
    qvalue_thresh: float | None = None
    anyday_correction: str = "none"
    effect_size_eps: float = 0.2
    effect_prob_large_min: float | None = None
    contrasts: Any = field(default_factory=lambda: [ALL])  # a list of names; one name is a list of it
    seed: int = 1
    timeout_s: float = 3600.0

    def __post_init__(self) -> None:
        """Check choices, thresholds and the command that starts R."""
        one_of("discovery.method", self.method, ("mashr", "ashr"))
        one_of("discovery.engine", self.engine, ("auto", "rscript", "native"))
        one_of("discovery.prior", self.prior, ("nullbiased", "uniform"))
        one_of("discovery.covariances", self.covariances, ("canonical", "days", "datadriven", "learnt"))
        one_of("discovery.rank_one", self.rank_one, ("keep", "mend"))
        one_of("discovery.null_correlation", self.null_correlation, ("simple", "identity", "fit", "per_gene"))
        one_of("discovery.likelihood", self.likelihood, ("exact", "moments"))
        one_of("discovery.fates", self.fates, ("alone", "together"))
        one_of("discovery.anyday_correction", self.anyday_correction, ("none", "bonferroni"))
        positive("discovery.effect_size_eps", self.effect_size_eps, zero=True)
        self.contrasts = _names("discovery.contrasts", self.contrasts)
        if len(set(self.contrasts)) != len(self.contrasts):
            raise refuse("discovery.contrasts", self.contrasts, "each contrast once")
        for name in ("mash_lfsr_thresh", "lfsr_thresh", "qvalue_thresh", "effect_prob_large_min"):
            share(f"discovery.{name}", getattr(self, name))
        if not math.isfinite(self.nullweight) or self.nullweight < 1:
            raise refuse("discovery.nullweight", self.nullweight, "a number, 1 or more")
        positive("discovery.timeout_s", self.timeout_s)
        if not self.command or not all(self.command):
            raise refuse("discovery.command", self.command, "the words that start R, such as [Rscript]")


@dataclass
class TrackingConfig:
    """Where MLflow keeps the runs for comparison (docs/tracking.md)."""

    backend: str = "local"
    uri: str | None = None
    experiment: str = "fatebias"
    every_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the backend and that a server comes with its address."""
        one_of("tracking.backend", self.backend, ("local", "server", "off"))
        if self.backend == "server" and not re.match(r"https?://", self.uri or ""):
            raise refuse(
                "tracking.uri",
                self.uri or "nothing",
                "the http(s) address of an MLflow server",
                "python run.py tracking=server tracking.uri=http://127.0.0.1:5000",
            )
        positive("tracking.every_s", self.every_s)
        if not self.experiment:
            raise refuse("tracking.experiment", self.experiment, "a name")


def _names(key: str, found: object) -> list[str]:
    """Return a list of names; one name alone is a list of one."""
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refuse(
            key, found, f"{ALL}, or a list of contrasts such as [NEU] or [{ALL},MES-NEU]; [] for none"
        )
    return names


def _likelihood_weight(found: object) -> float | str:
    """Return a number as a float, so that 1 and 1.0 are the same run."""
    if found == AUTO:
        return AUTO
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise refuse("likelihood_weight", found, f"a finite number above zero, or {AUTO}")
    positive("likelihood_weight", float(found))
    return float(found)


@dataclass
class Config:
    """The whole configuration of one run."""

    data: DataConfig = field(default_factory=DataConfig)
    priors: PriorsConfig = field(default_factory=PriorsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    discovery: DiscoveryConfig = field(default_factory=DiscoveryConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    likelihood_weight: Any = 1.0
    seed: int = 0
    device: str = "auto"
    out_dir: str | None = None
    stages: list[str] = field(default_factory=lambda: list(STAGES))
    resume: bool = True
    plots: Any = True  # [png]; formats of figures/

    def __post_init__(self) -> None:
        """Check the settings of no group."""
        self.plots = _formats(self.plots)
        self.likelihood_weight = _likelihood_weight(self.likelihood_weight)
        if not 0 <= self.seed < 2**32:
            raise refuse("seed", self.seed, "a whole number from 0 to 4294967295")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise refuse("device", self.device, ("auto", "cpu", "cuda", "cuda:N"))
        if not self.stages:
            raise refuse("stages", "none", STAGES)
        if CHECK in self.stages and len(self.stages) > 1:
            raise refuse("stages", self.stages, f"[{CHECK}] by itself, or without it {list(STAGES)}")
        for stage in self.stages:
            one_of("stages", stage, (*STAGES, CHECK), in_list=True)
        if len(set(self.stages)) != len(self.stages):
            raise refuse("stages", self.stages, "each stage once")
        _check_together(self)


def _formats(found: object) -> list[str]:
    """Return the formats of figures: true takes the default, false none."""
    if isinstance(found, bool):
        return ["png"] if found else []
    formats = [found] if isinstance(found, str) else found
    if not isinstance(formats, list) or not set(map(str, formats)) <= set(FIGURE_FORMATS):
        raise refuse("plots", found, f"true (png), false, or a list of {', '.join(FIGURE_FORMATS)}")
    return list(dict.fromkeys(formats))


def weight_asked(config: Config) -> float:
    """Return the likelihood weight where it is a number; under ``auto`` it must be estimated first."""
    if config.likelihood_weight == AUTO:
        raise ValueError("likelihood_weight=auto: estimate the weight and pass it on")
    return float(config.likelihood_weight)


def _check_together(config: Config) -> None:
    """Check settings that one group demands of another."""
    if config.export.guides == "mixture" and config.model.guide_effects == "centred":
        raise refuse(
            "export.guides",
            "mixture with model.guide_effects=centred",
            "normal, or mixture with guide_effects=random",
        )
    if "fit" in config.stages:  # without it the fates are those of the fit, whatever data says
        parse_contrasts(
            config.discovery.contrasts, config.data.fates, config.data.ref_fate, config.data.contrast_fate
        )
    if config.calibration.commitment == "column" and config.data.commitment_key is None:
        raise refuse(
            "calibration.commitment",
            "column with data.commitment_key=null",
            "column together with the name of an obs column, else none or entropy",
            "data.commitment_key=priming_degree_fwd is where CellRank writes it",
        )

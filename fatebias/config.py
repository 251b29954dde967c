"""One dataclass a config group: the schema behind conf/, its defaults, and the checks on values.

Hydra validates keys and types while it composes; `OmegaConf.to_object` then builds these
classes, and that is when the ``__post_init__`` checks run, before any data are read.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, field, fields
from typing import Any

from fatebias.contrasts import parse_contrasts
from fatebias.errors import ConfigError
from fatebias.pasted import setting

CHECK = "check"  # reads and judges the screen, and stops
STAGES = ("fit", "discover", "commitment", "controls", "spike_in", "heldout", "resample")
AUTO = "auto"
# With fewer refits the errors of a bootstrap are too rough to use.
FEWEST_REFITS = 20


def _refuse(key: str, found: object, allowed: object, fix: str | None = None) -> ConfigError:
    return ConfigError(
        f"{key} has a value that cannot be used", where=key, found=found, allowed=allowed, fix=fix
    )


def _one_of(key: str, found: str, choices: tuple[str, ...]) -> None:
    if found not in choices:
        near = difflib.get_close_matches(found, choices, n=1)
        raise _refuse(key, found, choices, f"did you mean {key}={near[0]}?" if near else None)


def _positive(key: str, found: float | None, *, zero: bool = False) -> None:
    if found is None:
        return
    if not math.isfinite(found) or found < 0 or (found == 0 and not zero):
        raise _refuse(key, found, "a finite number, zero or more" if zero else "a finite number above zero")


def _share(key: str, found: float | None) -> None:
    if found is not None and not 0 < found < 1:
        raise _refuse(key, found, "a number between 0 and 1, both excluded")


@dataclass
class SimulateConfig:
    """Size and truth of a simulated screen (data=simulated)."""

    n_cells: int = 8000
    n_genes: int = 60
    guides_per_gene: int = 4
    n_ntc_guides: int = 20
    n_days: int = 4
    n_replicates: int = 2
    moi: float = 2.0
    concentration: float = 20.0
    design: str = "mixed"
    active_share: float = 0.25
    effect_min: float = 0.3
    effect_max: float = 1.0
    sigma_guide: float = 0.15
    inactive_guide_share: float = 0.0
    dead_guide_share: float | None = None  # the name of inactive_guide_share up to 0.1; still read
    neighbours: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes and shares that make no screen."""
        if self.dead_guide_share is not None:
            self.inactive_guide_share, self.dead_guide_share = self.dead_guide_share, None
        for name in ("n_cells", "n_genes", "guides_per_gene", "n_days", "n_replicates", "neighbours"):
            if getattr(self, name) < 1:
                raise _refuse(f"data.simulate.{name}", getattr(self, name), "a whole number, 1 or more")
        if self.n_ntc_guides < 0:
            raise _refuse("data.simulate.n_ntc_guides", self.n_ntc_guides, "a whole number, 0 or more")
        _positive("data.simulate.moi", self.moi)
        _positive("data.simulate.concentration", self.concentration)
        _positive("data.simulate.sigma_guide", self.sigma_guide, zero=True)
        for name in ("active_share", "inactive_guide_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise _refuse(f"data.simulate.{name}", getattr(self, name), "a share from 0 to 1")
        if not 0 <= self.effect_min <= self.effect_max:
            raise _refuse(
                "data.simulate.effect_min", self.effect_min, f"from 0 to effect_max={self.effect_max}"
            )
        designs = (
            "mixed", "no_effects", "persistent", "single_day", "each_day", "sign_flip", "late", "early",
            "prior",
        )  # fmt: skip
        _one_of("data.simulate.design", self.design, designs)


@dataclass
class DataConfig:
    """Where the screen is and how its parts are named."""

    source: str = "demo"
    adata_path: str | None = None
    guide_map_csv: str | None = None
    modality: str | None = None
    guide_modality: str | None = None
    fate_prob_key: str = "lineages_fwd"
    fates: list[str] = field(default_factory=lambda: ["EC", "MES", "NEU"])
    ref_fate: str = "EC"
    contrast_fate: str = "MES"
    fate_columns: list[str] | None = None
    other_fates: str = "refuse"
    merge_fates: Any = None  # dict[str, list[str]]; Hydra adds no keys to a typed one from the command line
    guide_key: str = "guide"
    guide_threshold: float | None = None
    unmapped_guides: str = "refuse"
    guide_calls: str | None = None
    two_targets: str = "refuse"
    covar_key: str = "covar"
    rep_key: str = "rep"
    covariates: list[str] = field(default_factory=list)
    day_key: str = "day"
    day_order: list[str] | None = None
    meant_labels: list[str] = field(default_factory=list)
    bad_cells: str = "refuse"
    cell_weights: str = "none"
    weights: str | None = None
    cluster_key: str | None = None
    connectivities_key: str = "connectivities"
    commitment_key: str | None = None
    permutation: int = 0
    Kmax: int = 20
    min_cells: int = 1
    D: int | None = None
    R: int | None = None
    simulate: SimulateConfig = field(default_factory=SimulateConfig)

    def __post_init__(self) -> None:
        """Check the fates against each other, and that data=anndata names its files."""
        _one_of("data.source", self.source, ("demo", "simulated", "anndata", "memory"))
        _take_files_given(self)
        _one_of("data.unmapped_guides", self.unmapped_guides, ("refuse", "ignore"))
        _one_of("data.two_targets", self.two_targets, ("refuse", "first", "both", "drop"))
        _one_of("data.bad_cells", self.bad_cells, ("refuse", "drop", "renormalise"))
        _check_cell_weights(self)
        in_model = [name for name in self.covariates if name in (self.day_key, self.rep_key)]
        if in_model or len(set(self.covariates)) != len(self.covariates):
            raise _refuse(
                "data.covariates",
                self.covariates,
                "columns besides day and replicate, which are in the model, each once",
                setting("data.covariates", ["log_umi", "lane"]),
            )
        if self.permutation < 0:
            raise _refuse("data.permutation", self.permutation, "0 (as read), or the number of a shuffle")
        if len(self.fates) < 2 or len(set(self.fates)) != len(self.fates):
            raise _refuse("data.fates", self.fates, "two or more different names")
        for name in ("ref_fate", "contrast_fate"):
            _one_of(f"data.{name}", getattr(self, name), tuple(self.fates))
        if self.contrast_fate == self.ref_fate:
            raise _refuse(
                "data.contrast_fate",
                f"{self.contrast_fate}, which is data.ref_fate too",
                [fate for fate in self.fates if fate != self.ref_fate],
            )
        if self.other_fates not in ("refuse", "drop", *self.fates):
            raise _refuse("data.other_fates", self.other_fates, ["refuse", "drop", *self.fates])
        if self.merge_fates is not None:
            self.merge_fates = _merge_fates(self.merge_fates)
        if self.fate_columns is not None:
            _check_fate_columns(self)
        if self.guide_threshold is not None:
            _positive("data.guide_threshold", self.guide_threshold, zero=True)
        for name, least in (("Kmax", 1), ("min_cells", 1), ("D", 1), ("R", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise _refuse(f"data.{name}", value, f"a whole number, {least} or more")
        # Some screens bring their guide map with them.
        if self.source == "anndata" and self.adata_path is None:
            raise ConfigError(
                "data=anndata needs data.adata_path",
                where="data.adata_path",
                found="nothing",
                fix="data=anndata data.adata_path=screen.h5ad data.guide_map_csv=guides.csv",
            )


def _take_files_given(data: DataConfig) -> None:
    """Read the files that are named, whatever group of settings was chosen; a simulation reads none."""
    named = [name for name in ("adata_path", "guide_map_csv") if getattr(data, name) is not None]
    if named and data.source == "simulated":
        raise ConfigError(
            "data=simulated reads no file",
            where=f"data.{named[0]}",
            found=getattr(data, named[0]),
            fix="data=anndata reads your files; leave them out to simulate",
        )
    if named and data.source == "demo":
        data.source = "anndata"


def _check_cell_weights(data: DataConfig) -> None:
    _one_of("data.cell_weights", data.cell_weights, ("none", "column", "entropy"))
    if (data.cell_weights == "column") != (data.weights is not None):
        raise _refuse(
            "data.cell_weights",
            f"{data.cell_weights} with data.weights={data.weights or 'null'}",
            "column together with the name of an obs column, else none or entropy",
            "data.cell_weights=column data.weights=COLUMN",
        )


def _merge_fates(groups: object) -> dict[str, list[str]]:
    """Return the names behind each sum of fates as text."""
    sums = groups if isinstance(groups, dict) else {}
    parts = [part for group in sums.values() for part in (group if isinstance(group, list) else [group])]
    sound = bool(sums) and all(isinstance(group, list) and group for group in sums.values())
    if not sound or len(set(parts)) != len(parts):
        raise _refuse(
            "data.merge_fates",
            groups,
            "the fates behind each sum, each fate in one of them",
            setting("data.merge_fates", {"EC": ["EC_1", "EC_2"], "MES": ["MES_1", "MES_2"]}),
        )
    return {str(fate): [str(part) for part in group] for fate, group in sums.items()}


def _check_fate_columns(data: DataConfig) -> None:
    columns = data.fate_columns or []
    absent = [fate for fate in data.fates if fate not in [*columns, *(data.merge_fates or ())]]
    if absent or len(set(columns)) != len(columns):
        raise _refuse(
            "data.fate_columns",
            columns,
            f"every name of data.fates ({', '.join(data.fates)}) once, in the order of the file's columns",
        )


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
            _positive(f"priors.{each.name}", getattr(self, each.name))


@dataclass
class ModelConfig:
    """Choices within the model that are not priors."""

    guide_effects: str = "random"

    def __post_init__(self) -> None:
        """Check the choice of guide effects."""
        _one_of("model.guide_effects", self.guide_effects, ("random", "centred"))


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
        _one_of("inference.method", self.method, ("svi", "laplace", "nuts"))
        _one_of("inference.variational", self.variational, ("structured", "normal"))
        _one_of("inference.warm_start", self.warm_start, ("laplace", "none"))
        _one_of("inference.scales", self.scales, ("integrated", "fixed"))
        for name in ("num_steps", "max_rounds", "num_chains", "num_warmup", "num_samples", "patience"):
            if getattr(self, name) < 1:
                raise _refuse(f"inference.{name}", getattr(self, name), "a whole number, 1 or more")
        if self.num_posterior_draws < 2:
            raise _refuse("inference.num_posterior_draws", self.num_posterior_draws, "2 or more")
        if self.batch_size is not None and self.batch_size < 1:
            raise _refuse("inference.batch_size", self.batch_size, "null (all cells) or 1 and more")
        for name in ("lr", "clip_norm", "tolerance", "checkpoint_every_s"):
            _positive(f"inference.{name}", getattr(self, name))


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
        _one_of("export.estimates", self.estimates, ("posterior", "unshrunken"))
        _one_of("export.se", self.se, ("posterior", "sandwich"))
        _one_of("export.guides", self.guides, ("normal", "mixture"))
        _one_of("export.baseline", self.baseline, ("ntc", "genes", "auto"))
        for key, plain in (("guides", "normal"), ("baseline", "ntc")):
            value = getattr(self, key)
            if value != plain and (self.estimates, self.se) != ("unshrunken", "posterior"):
                raise _refuse(
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
            raise _refuse("calibration.bootstrap", self.bootstrap, f"0 (none), or {FEWEST_REFITS} and more")
        _one_of("calibration.bootstrap_unit", self.bootstrap_unit, ("cells", "clusters"))
        if self.bootstrap_seed < 0:
            raise _refuse("calibration.bootstrap_seed", self.bootstrap_seed, "a whole number, 0 or more")
        _one_of("calibration.jackknife", self.jackknife, ("none", "replicate", "clusters"))
        _one_of("calibration.method", self.method, ("auto", "dispersion", "information", "controls"))
        _one_of("calibration.heldout", self.heldout, ("none", "clusters", "replicate"))
        for name, least in (("control_splits", 2), ("heldout_folds", 2), ("control_draws", 1)):
            if getattr(self, name) < least:
                raise _refuse(f"calibration.{name}", getattr(self, name), f"{least} or more")
        _one_of("calibration.commitment", self.commitment, ("none", "entropy", "column"))
        if self.spike_in < 0:
            raise _refuse("calibration.spike_in", self.spike_in, "0 (none), or a number of rounds")
        sizes = self.spike_in_sizes
        if not sizes or sorted(set(sizes)) != list(sizes) or not all(0 < size < 10 for size in sizes):
            raise _refuse("calibration.spike_in_sizes", sizes, "logits above 0 and below 10, in rising order")


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
    contrasts: list[str] = field(default_factory=list)
    seed: int = 1
    timeout_s: float = 3600.0

    def __post_init__(self) -> None:
        """Check choices, thresholds and the command that starts R."""
        _one_of("discovery.method", self.method, ("mashr", "ashr"))
        _one_of("discovery.engine", self.engine, ("auto", "rscript", "native"))
        _one_of("discovery.prior", self.prior, ("nullbiased", "uniform"))
        _one_of("discovery.covariances", self.covariances, ("canonical", "days", "datadriven", "learnt"))
        _one_of("discovery.rank_one", self.rank_one, ("keep", "mend"))
        _one_of(
            "discovery.null_correlation", self.null_correlation, ("simple", "identity", "fit", "per_gene")
        )
        _one_of("discovery.likelihood", self.likelihood, ("exact", "moments"))
        _one_of("discovery.fates", self.fates, ("alone", "together"))
        _one_of("discovery.anyday_correction", self.anyday_correction, ("none", "bonferroni"))
        _positive("discovery.effect_size_eps", self.effect_size_eps, zero=True)
        if len(set(self.contrasts)) != len(self.contrasts):
            raise _refuse("discovery.contrasts", self.contrasts, "each contrast once")
        for name in ("mash_lfsr_thresh", "lfsr_thresh", "qvalue_thresh", "effect_prob_large_min"):
            _share(f"discovery.{name}", getattr(self, name))
        if not math.isfinite(self.nullweight) or self.nullweight < 1:
            raise _refuse("discovery.nullweight", self.nullweight, "a number, 1 or more")
        _positive("discovery.timeout_s", self.timeout_s)
        if not self.command or not all(self.command):
            raise _refuse("discovery.command", self.command, "the words that start R, such as [Rscript]")


@dataclass
class TrackingConfig:
    """Where MLflow keeps the runs for comparison (docs/tracking.md)."""

    backend: str = "local"
    uri: str | None = None
    experiment: str = "fatebias"
    every_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the backend and that a server comes with its address."""
        _one_of("tracking.backend", self.backend, ("local", "server", "off"))
        if self.backend == "server" and not re.match(r"https?://", self.uri or ""):
            raise _refuse(
                "tracking.uri",
                self.uri or "nothing",
                "the http(s) address of an MLflow server",
                "python run.py tracking=server tracking.uri=http://127.0.0.1:5000",
            )
        _positive("tracking.every_s", self.every_s)
        if not self.experiment:
            raise _refuse("tracking.experiment", self.experiment, "a name")


def _likelihood_weight(found: object) -> float | str:
    """Return a number as a float, so that 1 and 1.0 are the same run."""
    if found == AUTO:
        return AUTO
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise _refuse("likelihood_weight", found, f"a finite number above zero, or {AUTO}")
    _positive("likelihood_weight", float(found))
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

    def __post_init__(self) -> None:
        """Check the settings of no group."""
        self.likelihood_weight = _likelihood_weight(self.likelihood_weight)
        if not 0 <= self.seed < 2**32:
            raise _refuse("seed", self.seed, "a whole number from 0 to 4294967295")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise _refuse("device", self.device, ("auto", "cpu", "cuda", "cuda:N"))
        if not self.stages:
            raise _refuse("stages", "none", STAGES)
        if CHECK in self.stages and len(self.stages) > 1:
            raise _refuse("stages", self.stages, f"[{CHECK}] by itself, or without it {list(STAGES)}")
        for stage in self.stages:
            _one_of("stages", stage, (*STAGES, CHECK))
        if len(set(self.stages)) != len(self.stages):
            raise _refuse("stages", self.stages, "each stage once")
        _check_together(self)


def weight_asked(config: Config) -> float:
    """Return the likelihood weight where it is a number; under ``auto`` it must be estimated first."""
    if config.likelihood_weight == AUTO:
        raise ValueError("likelihood_weight=auto: estimate the weight and pass it on")
    return float(config.likelihood_weight)


def _check_together(config: Config) -> None:
    """Check settings that one group demands of another."""
    if config.export.guides == "mixture" and config.model.guide_effects == "centred":
        raise _refuse(
            "export.guides",
            "mixture with model.guide_effects=centred",
            "normal, or mixture with guide_effects=random",
        )
    if "fit" in config.stages:  # without it the fates are those of the fit, whatever data says
        parse_contrasts(
            config.discovery.contrasts, config.data.fates, config.data.ref_fate, config.data.contrast_fate
        )
    if config.calibration.commitment == "column" and config.data.commitment_key is None:
        raise _refuse(
            "calibration.commitment",
            "column with data.commitment_key=null",
            "column together with the name of an obs column, else none or entropy",
            "data.commitment_key=priming_degree_fwd is where CellRank writes it",
        )

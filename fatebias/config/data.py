"""The group data: where the screen is, how its parts are named, and screens that are simulated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fatebias.config.values import one_of, positive, refuse
from fatebias.errors import ConfigError
from fatebias.pasted import setting

# What names a screen of one's own.
FILES = (("data", "anndata"), ("data.adata_path", "screen.h5ad"), ("data.guide_map_csv", "guides.csv"))


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
                raise refuse(f"data.simulate.{name}", getattr(self, name), "a whole number, 1 or more")
        if self.n_ntc_guides < 0:
            raise refuse("data.simulate.n_ntc_guides", self.n_ntc_guides, "a whole number, 0 or more")
        positive("data.simulate.moi", self.moi)
        positive("data.simulate.concentration", self.concentration)
        positive("data.simulate.sigma_guide", self.sigma_guide, zero=True)
        for name in ("active_share", "inactive_guide_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise refuse(f"data.simulate.{name}", getattr(self, name), "a share from 0 to 1")
        if not 0 <= self.effect_min <= self.effect_max:
            raise refuse(
                "data.simulate.effect_min", self.effect_min, f"from 0 to effect_max={self.effect_max}"
            )
        designs = (
            "mixed", "no_effects", "persistent", "single_day", "each_day", "sign_flip", "late", "early",
            "prior",
        )  # fmt: skip
        one_of("data.simulate.design", self.design, designs)


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
        one_of("data.source", self.source, ("demo", "simulated", "anndata", "memory"))
        _take_files_given(self)
        one_of("data.unmapped_guides", self.unmapped_guides, ("refuse", "ignore"))
        one_of("data.two_targets", self.two_targets, ("refuse", "first", "both", "drop"))
        one_of("data.bad_cells", self.bad_cells, ("refuse", "drop", "renormalise"))
        _check_cell_weights(self)
        in_model = [name for name in self.covariates if name in (self.day_key, self.rep_key)]
        if in_model or len(set(self.covariates)) != len(self.covariates):
            raise refuse(
                "data.covariates",
                self.covariates,
                "columns besides day and replicate, which are in the model, each once",
                setting("data.covariates", ["log_umi", "lane"]),
            )
        if self.permutation < 0:
            raise refuse("data.permutation", self.permutation, "0 (as read), or the number of a shuffle")
        if len(self.fates) < 2 or len(set(self.fates)) != len(self.fates):
            raise refuse("data.fates", self.fates, "two or more different names")
        for name in ("ref_fate", "contrast_fate"):
            one_of(f"data.{name}", getattr(self, name), tuple(self.fates))
        if self.contrast_fate == self.ref_fate:
            raise refuse(
                "data.contrast_fate",
                f"{self.contrast_fate}, which is data.ref_fate too",
                [fate for fate in self.fates if fate != self.ref_fate],
            )
        if self.other_fates not in ("refuse", "drop", *self.fates):
            raise refuse("data.other_fates", self.other_fates, ["refuse", "drop", *self.fates])
        if self.merge_fates is not None:
            self.merge_fates = _merge_fates(self.merge_fates)
        if self.fate_columns is not None:
            _check_fate_columns(self)
        if self.guide_threshold is not None:
            positive("data.guide_threshold", self.guide_threshold, zero=True)
        for name, least in (("Kmax", 1), ("min_cells", 1), ("D", 1), ("R", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise refuse(f"data.{name}", value, f"a whole number, {least} or more")
        # Some screens bring their guide map with them.
        if self.source == "anndata" and self.adata_path is None:
            raise ConfigError(
                "data=anndata needs data.adata_path",
                where="data.adata_path",
                found="nothing",
                fix=" ".join(setting(*each) for each in FILES),
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
    one_of("data.cell_weights", data.cell_weights, ("none", "column", "entropy"))
    if (data.cell_weights == "column") != (data.weights is not None):
        fixed = [setting("data.cell_weights", "column"), setting("data.weights", data.weights or "COLUMN")]
        if data.weights is None:
            fixed = [setting("data.cell_weights", "none"), "or with the name of the column:", *fixed]
        raise refuse(
            "data.cell_weights",
            f"{data.cell_weights} with data.weights={data.weights or 'null'}",
            "column together with the name of an obs column, else none or entropy",
            " ".join(fixed),
        )


def _merge_fates(groups: object) -> dict[str, list[str]]:
    """Return the names behind each sum of fates as text."""
    sums = groups if isinstance(groups, dict) else {}
    parts = [part for group in sums.values() for part in (group if isinstance(group, list) else [group])]
    sound = bool(sums) and all(isinstance(group, list) and group for group in sums.values())
    if not sound or len(set(parts)) != len(parts):
        raise refuse(
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
        raise refuse(
            "data.fate_columns",
            columns,
            f"every name of data.fates ({', '.join(data.fates)}) once, in the order of the file's columns",
        )

"""A small sound screen, files of it as anndata writes them, and the same with one thing changed."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.load import load_screen
from fatebias.data.screen import Screen

FATES = ["EC", "MES", "NEU"]
GUIDES = ["GATA2_sg1", "GATA2_sg2", "TBXT_sg1", "TBXT_sg2", "NTC_sg1", "NTC_sg2"]
N_CELLS = 36


def _fate_frame() -> pd.DataFrame:
    p = np.random.default_rng(1).dirichlet([2.0, 2.0, 2.0], N_CELLS)
    return pd.DataFrame(p, index=_cells(), columns=FATES)


def _guide_frame() -> pd.DataFrame:
    held = np.zeros((N_CELLS, len(GUIDES)), dtype=np.int32)
    for cell in range(N_CELLS):
        held[cell, [cell % 6, (cell + 1 + cell // 6) % 6]] = 1
    return pd.DataFrame(held, index=_cells(), columns=GUIDES)


def _cells() -> list[str]:
    return [f"c{i:02d}" for i in range(N_CELLS)]


def _obs() -> pd.DataFrame:
    return pd.DataFrame({"day": [f"d{i % 3}" for i in range(N_CELLS)]}, index=_cells())


def _covar() -> pd.DataFrame:
    return pd.DataFrame({"rep": [f"r{i // 3 % 2}" for i in range(N_CELLS)]}, index=_cells())


def _guide_map() -> list[list[object]]:
    return [[guide, guide.split("_")[0], int(guide.startswith("NTC"))] for guide in GUIDES]


@dataclass(frozen=True)
class Parts:
    """What is written; a test replaces the part that it is about."""

    fates: Any = field(default_factory=_fate_frame)
    guides: Any = field(default_factory=_guide_frame)
    covar: Any = field(default_factory=_covar)
    obs: pd.DataFrame = field(default_factory=_obs)
    uns: dict[str, Any] = field(default_factory=dict)
    header: list[str] = field(default_factory=lambda: ["guide_name", "gene_name", "is_ntc"])
    guide_map: list[list[object]] = field(default_factory=_guide_map)

    def but(self, **parts: Any) -> Parts:
        return replace(self, **parts)

    def adata(self) -> ad.AnnData:
        obsm = {"lineages_fwd": self.fates, "guide": self.guides, "covar": self.covar}
        given = {key: part for key, part in obsm.items() if part is not None}
        return ad.AnnData(np.zeros((len(self.obs), 1), np.float32), obs=self.obs, obsm=given, uns=self.uns)


def as_newer_pandas_writes() -> contextlib.AbstractContextManager[object]:
    """Allow the string types of newer pandas, where this anndata knows them."""
    if "allow_write_nullable_strings" in dir(getattr(ad, "settings", None)):
        return ad.settings.override(allow_write_nullable_strings=True)
    return contextlib.nullcontext()


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., DataConfig]:
    """Write the parts and give the config that reads them."""

    def written(parts: Parts, suffix: str = ".h5ad", **settings: Any) -> DataConfig:
        path, guide_map = tmp_path / f"screen{suffix}", tmp_path / "guides.csv"
        with as_newer_pandas_writes():
            adata = parts.adata()
            if suffix == ".zarr":
                adata.write_zarr(path)
            else:
                adata.write_h5ad(path)
        with guide_map.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([parts.header, *parts.guide_map])
        return DataConfig(source="anndata", adata_path=str(path), guide_map_csv=str(guide_map), **settings)

    return written


@pytest.fixture
def load(write: Callable[..., DataConfig], tmp_path: Path) -> Callable[..., Screen]:
    """Write the parts and read them as a run does."""

    def loaded(parts: Parts, suffix: str = ".h5ad", **settings: Any) -> Screen:
        return load_screen(write(parts, suffix, **settings), PriorsConfig(), tmp_path)

    return loaded

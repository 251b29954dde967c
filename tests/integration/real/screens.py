"""The screens in FATEBIAS_REAL_DATA, and how their parts are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fatebias.config import DataConfig

FOLDER = Path(os.environ.get("FATEBIAS_REAL_DATA", ""))
NEEDED = pytest.mark.skipif(
    not os.environ.get("FATEBIAS_REAL_DATA"),
    reason="FATEBIAS_REAL_DATA does not name the folder of real screens",
)
LARRY = {
    "fates": ["Monocyte", "Neutrophil", "Baso"],
    "ref_fate": "Monocyte",
    "contrast_fate": "Baso",
    "D": 3,
    "R": 2,
}
PAPALEXI = {
    "fates": ["IFN_low", "IFN_high", "cycling"],
    "ref_fate": "IFN_low",
    "contrast_fate": "IFN_high",
    "D": 4,
    "R": 3,
}


def data_of(name: str, guide_map: str, **settings: object) -> DataConfig:
    return DataConfig(
        source="anndata", adata_path=str(FOLDER / name), guide_map_csv=str(FOLDER / guide_map), **settings
    )

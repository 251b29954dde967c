"""Golden cases, and small inputs as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.mash_cases import Array, golden, screen

__all__ = ["golden", "screen"]


@pytest.fixture
def write_summary(tmp_path: Path) -> Callable[..., Path]:
    """Write effects and errors as gene_summary_for_mash.csv, with the names given or g0, g1, ..."""

    def write(bhat: Array, shat: Array, genes: list[str] | None = None) -> Path:
        table = pd.DataFrame({"gene": genes or [f"g{i}" for i in range(len(bhat))]})
        for prefix, values in (("betahat_d", bhat), ("se_d", shat)):
            for d in range(values.shape[1]):
                table[f"{prefix}{d}"] = values[:, d]
        path = tmp_path / "gene_summary_for_mash.csv"
        table.to_csv(path, index=False)
        return path

    return write

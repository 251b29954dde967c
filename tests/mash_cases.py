"""Golden outputs of R's mashr and small inputs with known structure, as fixtures of two folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fatebias.discovery.input import GeneSummary, read_summary

Array = NDArray[np.float64]

DATA = Path(__file__).parent / "golden" / "mash"


@dataclass(frozen=True)
class Golden:
    """One call of R's mashr: what it was given, as settings, and what it gave."""

    settings: dict[str, str]
    in_csv: Path
    out: pd.DataFrame
    loglik: float
    v: Array | None
    components: list[str] | None
    significant: int | None

    @property
    def summary(self) -> GeneSummary:
        return read_summary(self.in_csv)

    def by_day(self, prefix: str) -> Array:
        return self.out.filter(regex=rf"^{prefix}\d+$").to_numpy()


CASES = pd.read_csv(DATA / "cases.csv", index_col="case")


@pytest.fixture(params=list(CASES.index))
def golden(request: pytest.FixtureRequest) -> Golden:
    """Each golden case in turn."""
    name, case = request.param, CASES.loc[request.param]
    v, pi = DATA / f"{name}_out_V.txt", DATA / f"{name}_out_pi.csv"
    return Golden(
        settings={key: case[key] for key in ("prior", "null_correlation", "covariances")},
        in_csv=DATA / f"{case['input']}_in.csv",
        out=pd.read_csv(DATA / f"{name}_out.csv"),
        loglik=float((DATA / f"{name}_out_loglik.txt").read_text()),
        v=np.loadtxt(v) if v.exists() else None,
        components=list(pd.read_csv(pi, na_filter=False)["component"])  # one is called null
        if pi.exists()
        else None,
        significant=None if pd.isna(case["significant"]) else int(case["significant"]),
    )


@pytest.fixture
def screen() -> Callable[..., tuple[Array, Array, Array]]:
    """Draw effects (a third of them equal on all days, the others zero), estimates and errors."""

    def draw(n_genes: int, n_days: int, seed: int = 0, size: float = 1.0) -> tuple[Array, Array, Array]:
        rng = np.random.default_rng(seed)
        effects = np.repeat(rng.normal(0, size, (n_genes, 1)), n_days, axis=1)
        effects[rng.random(n_genes) > 1 / 3] = 0
        shat = rng.uniform(0.1, 0.3, (n_genes, n_days))
        return effects, effects + shat * rng.normal(size=effects.shape), shat

    return draw

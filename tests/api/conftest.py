"""A small simulated screen as files, shared by all tests of the Python API."""

from __future__ import annotations

from pathlib import Path

import pytest

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.load import SourceFiles, source_files


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> SourceFiles:
    simulate = SimulateConfig(n_cells=1200, n_genes=8, n_ntc_guides=4, design="persistent", seed=5)
    return source_files(
        DataConfig(source="simulated", simulate=simulate), PriorsConfig(), tmp_path_factory.mktemp("screen")
    )


@pytest.fixture(scope="session")
def screen(files: SourceFiles):
    import fatebias as fb

    return fb.read_screen(files.adata, guides=files.guide_map)


@pytest.fixture(scope="session")
def fitted(screen):
    import fatebias as fb

    return fb.fit(screen, preset="calibrated", inference="laplace", progress=False)


@pytest.fixture(scope="session")
def folder(fitted, tmp_path_factory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("saved") / "fit")

"""Bundled and simulated screens go through the same files and the same reader as a user's."""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.load import load_once, load_screen, source_files
from fatebias.data.simulation.demo import make_demo
from fatebias.data.simulation.simulate import simulate_raw, simulate_screen
from fatebias.errors import OutputError

SMALL = SimulateConfig(n_cells=500, n_genes=8, moi=1.5, seed=4)
PRIORS = PriorsConfig()


def simulated(**settings):
    return DataConfig(source="simulated", simulate=SMALL, **settings)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def demo():
    return load_screen(DataConfig(), PRIORS, Path("unused"))


def test_the_bundled_screen_is_as_described(demo):
    assert (demo.N, demo.L, demo.G, demo.D, demo.R) == (8000, 60, 240, 4, 2)
    assert len(demo.ntc_guide_names) == 20
    assert demo.day_labels == ("d0", "d2", "d4", "d6")
    assert demo.n_guides.mean() == pytest.approx(2, abs=0.05)
    assert demo.fates == ("EC", "MES", "NEU")
    assert demo.guide_names[0] == "ARID1A_sg1"
    assert not demo.summary["warnings"]
    assert not demo.summary["notes"]


def test_the_bundled_files_are_small_and_in_the_package():
    folder = files("fatebias.data") / "demo"
    sizes = {entry.name: len(entry.read_bytes()) for entry in folder.iterdir()}
    assert set(sizes) == {"screen.h5ad", "guides.csv", "truth.csv"}
    assert sum(sizes.values()) < 2e6


def test_known_effects_of_the_bundled_screen(demo):
    files = source_files(DataConfig(), PRIORS, Path("unused"))
    truth = rows_of(files.truth)
    assert list(truth[0]) == ["gene", "contrast", "day", "theta"]
    assert len(truth) == 60 * 2 * 4
    effects = np.array([float(row["theta"]) for row in truth]).reshape(60, 2, 4)
    assert tuple(dict.fromkeys(row["gene"] for row in truth)) == demo.gene_names
    np.testing.assert_allclose(effects, ad.read_h5ad(files.adata).uns["theta_true"], rtol=1e-9)
    mes = effects[:, 0]
    active = mes.any(axis=1)
    single = (mes != 0).sum(axis=1) == 1
    flipping = (mes.min(axis=1) < 0) & (mes.max(axis=1) > 0)
    assert (active.sum(), single.sum(), flipping.sum()) == (15, 5, 5)


def test_the_bundled_screen_can_be_made_again(demo, tmp_path):
    make_demo(tmp_path)
    again = DataConfig(
        source="anndata", adata_path=str(tmp_path / "screen.h5ad"), guide_map_csv=str(tmp_path / "guides.csv")
    )
    screen = load_screen(again, PRIORS, tmp_path)
    for name in ("guide_ids", "mask", "ntc_slots", "day", "rep", "gene_of_guide"):
        np.testing.assert_array_equal(getattr(screen, name), getattr(demo, name), err_msg=name)
    np.testing.assert_allclose(screen.p, demo.p, rtol=1e-9, atol=1e-15)
    bundled = source_files(DataConfig(), PRIORS, tmp_path)
    assert (tmp_path / "guides.csv").read_bytes() == bundled.guide_map.read_bytes()
    for made, kept in zip(rows_of(tmp_path / "truth.csv"), rows_of(bundled.truth), strict=True):
        assert float(made.pop("theta")) == pytest.approx(float(kept.pop("theta")), rel=1e-9)
        assert made == kept


def test_a_simulated_screen_is_the_same_from_its_file_as_in_memory(tmp_path):
    screen = load_screen(simulated(), PRIORS, tmp_path)
    in_memory, truth = simulate_screen(SMALL, DataConfig(), PRIORS)
    assert screen.fingerprint() == in_memory.fingerprint()
    assert {path.name for path in tmp_path.iterdir()} == {"screen.h5ad", "guides.csv", "truth.csv"}

    stored = ad.read_h5ad(tmp_path / "screen.h5ad")
    for key in ("theta", "delta", "alpha", "b", "gamma"):
        np.testing.assert_array_equal(stored.uns[f"{key}_true"], getattr(truth, key))
    assert tuple(stored.uns["genes_true"]) == screen.gene_names
    assert tuple(stored.uns["guides_true"]) == screen.guide_names
    assert tuple(stored.uns["fates_true"]) == screen.fates
    assert stored.shape == (500, 0)
    assert len(rows_of(tmp_path / "truth.csv")) == 8 * 2 * 4


def test_keys_and_fates_of_the_config_are_written(tmp_path):
    data = simulated(
        fates=["A", "B"], ref_fate="B", contrast_fate="A", fate_prob_key="fp", guide_key="g", covar_key="c",
        rep_key="batch", day_key="time",
    )  # fmt: skip
    screen = load_screen(data, PRIORS, tmp_path)
    assert screen.fates == ("B", "A")
    stored = ad.read_h5ad(tmp_path / "screen.h5ad")
    assert set(stored.obsm) == {"fp", "g", "c"}
    assert list(stored.obs) == ["time"]


def test_a_simulated_screen_is_written_once_and_again_when_settings_change(tmp_path):
    path = source_files(simulated(), PRIORS, tmp_path).adata
    os.utime(path, (0, 0))
    source_files(simulated(), PriorsConfig(s_tau=1.0), tmp_path)  # priors matter to design: prior alone
    assert path.stat().st_mtime == 0
    (tmp_path / "guides.csv").unlink()
    source_files(simulated(), PRIORS, tmp_path)
    assert path.stat().st_mtime > 0
    os.utime(path, (0, 0))
    source_files(DataConfig(source="simulated", simulate=replace(SMALL, seed=5)), PRIORS, tmp_path)
    assert path.stat().st_mtime > 0
    path.write_text("torn")
    assert load_screen(simulated(), PRIORS, tmp_path).N == 500


def test_priors_matter_to_the_prior_design(tmp_path):
    data = DataConfig(source="simulated", simulate=replace(SMALL, design="prior"))
    first = load_screen(data, PRIORS, tmp_path).fingerprint()
    assert load_screen(data, PriorsConfig(s_tau=1.0), tmp_path).fingerprint() != first


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    def full(path: Path, content: memoryview) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="screen.h5ad could not be written\n.*\n  found: No space left"):
        source_files(simulated(), PRIORS, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"guides.csv", "truth.csv"}


def test_a_users_files_are_named_as_configured():
    data = DataConfig(source="anndata", adata_path="a.zarr", guide_map_csv="b.csv")
    found = source_files(data, PRIORS, Path("unused"))
    assert (found.adata, found.guide_map, found.truth) == (Path("a.zarr"), Path("b.csv"), None)


def test_a_gene_without_a_cell_is_in_the_truth_alone():
    raw, truth = simulate_raw(SimulateConfig(n_cells=8, n_genes=30, moi=1), DataConfig(), PRIORS)
    screen, _ = simulate_screen(SimulateConfig(n_cells=8, n_genes=30, moi=1), DataConfig(), PRIORS)
    assert raw.cells.size == 8
    assert screen.L < 30 == len(truth.gene_names)
    assert set(screen.gene_names) < set(truth.gene_names)


def test_a_screen_is_read_once_while_settings_and_files_are_the_same(tmp_path):
    files = source_files(simulated(), PRIORS, tmp_path)
    data = DataConfig(source="anndata", adata_path=str(files.adata), guide_map_csv=str(files.guide_map))
    first = load_once(data, PRIORS, tmp_path)
    assert load_once(replace(data), PRIORS, tmp_path) is first
    assert load_once(replace(data, min_cells=data.min_cells + 1), PRIORS, tmp_path) is not first
    first = load_once(data, PRIORS, tmp_path)
    shutil.copy(files.adata, tmp_path / "copy.h5ad")
    (tmp_path / "copy.h5ad").rename(files.adata)
    assert load_once(data, PRIORS, tmp_path) is not first


@pytest.mark.filterwarnings("ignore::UserWarning")  # anndata's zarr writer
def test_a_folder_is_read_each_time(parts, write, tmp_path):
    """A file within may have changed."""
    data = write(parts, ".zarr")
    assert load_once(data, PRIORS, tmp_path) is not load_once(data, PRIORS, tmp_path)

"""Screens that CellRank itself wrote are read by name and alike from every form (FATEBIAS_REAL_DATA)."""

from __future__ import annotations

import numpy as np
import pytest

from fatebias.config import PriorsConfig
from fatebias.data.load import load_screen
from fatebias.errors import DataError
from tests.integration.real.screens import FOLDER, LARRY, NEEDED, PAPALEXI, data_of

pytestmark = NEEDED


def load(name, guide_map, **settings):
    return load_screen(data_of(name, guide_map, **settings), PriorsConfig(), FOLDER)


def test_larry_reads_the_same_from_both_versions_of_cellrank():
    new = load("a1_larry_cr233.h5ad", "a1_guide_map.csv", **LARRY)
    old = load("a1_larry_cr207.h5ad", "a1_guide_map.csv", **LARRY)
    assert new.fingerprint() == old.fingerprint()
    assert new.cells.tolist() == old.cells.tolist()
    assert (new.N, new.D, new.R, new.L) == (781, 3, 2, 10)
    assert new.day_labels == ("2", "4", "6")


def test_larry_fates_are_found_by_name():
    """The file's columns are Neutrophil, Monocyte, Baso: by position Neutrophil would pass for Monocyte."""
    import h5py

    screen = load("a1_larry_cr233.h5ad", "a1_guide_map.csv", **LARRY)
    assert screen.fates == ("Monocyte", "Neutrophil", "Baso")
    assert screen.summary["fates"]["columns_in_file"] == ["Neutrophil", "Monocyte", "Baso"]
    assert screen.summary["fates"]["named_by"] == "obs['term_states_fwd']"
    with h5py.File(FOLDER / "a1_larry_cr233.h5ad") as root:
        stored = root["obsm/lineages_fwd"][()]
    np.testing.assert_allclose(screen.p, stored[:, [1, 0, 2]], atol=1e-3)


def test_larry_with_neutrophil_as_contrast():
    screen = load("a1_larry_cr207.h5ad", "a1_guide_map.csv", **LARRY | {"contrast_fate": "Neutrophil"})
    assert screen.fates[screen.contrast_index + 1] == "Neutrophil"


def test_papalexi_reads_the_same_from_every_guide_matrix():
    assigned = load("b1_papalexi_thp1.h5ad", "b1_guide_map.csv", guide_key="guide_assigned", **PAPALEXI)
    zeros_stored = load("b1_papalexi_thp1.h5ad", "b1_guide_map.csv", guide_key="guide_explicit0", **PAPALEXI)
    counts = load("b1_papalexi_thp1.h5ad", "b1_guide_map.csv", guide_threshold=4, **PAPALEXI)
    assert assigned.fingerprint() == zeros_stored.fingerprint() == counts.fingerprint()
    assert (assigned.N, assigned.D, assigned.R, assigned.L) == (20_729, 4, 3, 26)
    assert assigned.summary["genes"]["guides_and_cells"]["CD274"]["cells"] == 2
    assert assigned.rep_labels == ("rep_1", "rep_2", "rep_3")


def test_papalexi_counts_are_refused_with_the_threshold_of_its_authors():
    """Guides were assigned at 5 UMIs and more."""
    with pytest.raises(DataError, match="looks like raw UMI counts") as caught:
        load("b1_papalexi_thp1.h5ad", "b1_guide_map.csv", **PAPALEXI)
    assert "64.4% of its entries are 1; 7.8 guides a cell if each counts, 1.3 above 4 UMIs" in str(
        caught.value
    )
    assert "fix: data.guide_threshold=4, by a mixture" in str(caught.value)
    screen = load("b1_papalexi_thp1.h5ad", "b1_guide_map.csv", guide_threshold=0, **PAPALEXI)
    assert screen.N < 20_729
    assert any("64.4% of its entries are 1" in note for note in screen.summary["notes"])
    assert any("data.guide_threshold" in warning for warning in screen.summary["warnings"])


def test_a_file_that_cellrank_left_half_written():
    with pytest.raises(DataError, match=r"obsm\['lineages_fwd'\] is absent") as caught:
        load("partial_write.h5ad", "a1_guide_map.csv", **LARRY)
    assert "obsm has X_diffmap, X_pca, schur_vectors_fwd" in str(caught.value)

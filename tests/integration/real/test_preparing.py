"""Screens of CellRank itself, prepared: what is written is what was read (FATEBIAS_REAL_DATA)."""

from __future__ import annotations

import pytest

import fatebias as fb
from tests.integration.real.screens import FOLDER, LARRY, NEEDED, PAPALEXI

pytestmark = NEEDED


@pytest.mark.parametrize("version", ["cr233", "cr207"])
def test_larry_from_both_versions_of_cellrank(tmp_path, version):
    library = FOLDER / "a1_guide_map.csv"
    found = fb.prepare(
        FOLDER / f"a1_larry_{version}.h5ad", library, out=tmp_path, positive=["Gata2"], **LARRY
    )
    assert "Gata2: 143 cells, mean Baso 0.692 in them, 0.384 in cells with controls alone" in str(found)
    screen = fb.read_screen(found.screen, guides=found.guide_map)
    assert (screen.N, screen.L, screen.contrast, screen.day_labels) == (781, 10, "Baso", ("2", "4", "6"))


def test_papalexi_from_raw_counts_gets_the_threshold_of_its_authors(tmp_path):
    found = fb.prepare(
        FOLDER / "b1_papalexi_thp1.h5ad", FOLDER / "b1_guide_map.csv", out=tmp_path, **PAPALEXI
    )
    assert "a guide is present above 4 UMIs" in str(found)
    assert "9 non-targeting in the library, 9 of them seen in cells" in str(found)
    called = fb.read_screen(
        FOLDER / "b1_papalexi_thp1.h5ad",
        guides=FOLDER / "b1_guide_map.csv",
        guide_key="guide_assigned",
        **PAPALEXI,
    )
    screen = fb.read_screen(found.screen, guides=found.guide_map)
    assert screen.guide_ids.tobytes() == called.guide_ids.tobytes()

"""Controls or genes that sit in one day, replicate or lane are told; others are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

CELLS = 600
GENES = ("AXL", "BMP4", "CDX2", "NTC")


def screen_of(parts, load, lane_of=None, rep_of=None, day_of=None, **settings):
    """One guide a cell, genes in turn; lanes, replicates and days at random but for what is given."""
    rng = np.random.default_rng(2)
    cells = [f"c{i}" for i in range(CELLS)]
    gene = np.arange(CELLS) % 4
    lane, rep, day = (rng.integers(0, 2, CELLS) for _ in range(3))
    for column, given in ((lane, lane_of), (rep, rep_of), (day, day_of)):
        for number, level in (given or {}).items():
            column[gene == number] = np.where(rng.random((gene == number).sum()) < 0.95, level, 1 - level)
    return load(
        parts.but(
            fates=pd.DataFrame(rng.dirichlet([2, 2, 2], CELLS), cells, ["EC", "MES", "NEU"]),
            guides=pd.DataFrame(np.eye(4, dtype=int)[gene], cells, GENES),
            covar=pd.DataFrame({"rep": rep}, cells),
            obs=pd.DataFrame({"day": day, "lane": lane}, cells),
            guide_map=[[name, name, int(name == "NTC")] for name in GENES],
        ),
        **settings,
    )


def told(screen):
    return [warning for warning in screen.summary["warnings"] if " sit in " in warning]


def test_nothing_is_told_of_a_balanced_screen(parts, load):
    assert told(screen_of(parts, load)) == []
    assert told(screen_of(parts, load, covariates=["lane"])) == []


def test_controls_in_one_lane_that_the_model_does_not_know(parts, load):
    (warning,) = told(screen_of(parts, load, lane_of={3: 1, 0: 0, 1: 0}))[:1]
    assert warning.startswith("cells with NTC guides alone sit in lane 1, most others do not")
    assert "the model does not know of it: 'data.covariates=[lane]'" in warning


def test_genes_in_one_lane(parts, load):
    (warning,) = told(screen_of(parts, load, lane_of={1: 1, 0: 0}))[:1]
    assert warning.startswith("the cells of 2 genes sit in one lane, most others do not")
    assert ": AXL (0), BMP4 (1); the model does not know of it" in warning
    (known,) = told(screen_of(parts, load, lane_of={1: 1, 0: 0}, covariates=["lane"]))
    assert "the model sets this right only as far as lane has the same effect on all cells" in known


@pytest.mark.parametrize(("which", "name"), [("rep_of", "replicate"), ("day_of", "day")])
def test_controls_and_genes_in_one_replicate_or_day(parts, load, which, name):
    (controls,) = told(screen_of(parts, load, **{which: {3: 0, 0: 1, 1: 1, 2: 1}}))
    assert controls.startswith(f"cells with NTC guides alone sit in {name} 0")
    (genes,) = told(screen_of(parts, load, **{which: {3: 1, 0: 0, 1: 1, 2: 1}}))
    assert genes.startswith(f"the cells of 1 genes sit in one {name}, most others do not")
    assert "AXL (0)" in genes


def test_few_cells_sit_together_by_chance(parts, load):
    screen = load(parts.but(obs=parts.obs.assign(lane=["L1"] * 18 + ["L2"] * 18)))
    assert told(screen) == []

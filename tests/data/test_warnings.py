"""What may make results wrong is a warning, which the last lines of a run repeat; a screen for each kind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from fatebias.api.fitting import describe_screen

NO_NTC = [
    ["GATA2_sg1", "GATA2", 0],
    ["GATA2_sg2", "GATA2", 0],
    ["TBXT_sg1", "TBXT", 0],
    ["TBXT_sg2", "TBXT", 0],
    ["NTC_sg1", "SOX2", 0],
    ["NTC_sg2", "SOX2", 0],
]


def one_replicate(parts):
    return parts.but(covar=parts.covar.assign(rep="r0")), {}


def replicate_is_day(parts):
    return parts.but(covar=parts.covar.assign(rep=["r1" if i % 3 == 2 else "r0" for i in range(36)])), {}


def crowded(parts):
    guides = parts.guides.copy()
    guides.iloc[:6] = 1
    return parts.but(guides=guides), {"Kmax": 4}


def raw_counts(parts):
    """Guides of 20 UMIs or so above single ambient ones, on 36 cells of many guides."""
    rng = np.random.default_rng(0)
    counts = (rng.random((36, 60)) < 0.5) + (rng.random((36, 60)) < 0.08) * rng.poisson(20, (36, 60))
    names = [*parts.guides.columns, *(f"SOX2_sg{i}" for i in range(54))]
    rows = [*parts.guide_map, *([name, "SOX2", 0] for name in names[6:])]
    held = parts.but(
        guides=sparse.csr_matrix(counts), uns={"guide_names": np.array(names, dtype=object)}, guide_map=rows
    )
    return held, {"guide_threshold": 0, "Kmax": 60}


def controls_on_one_lane(parts):
    guides, obs = parts.guides.copy(), parts.obs.assign(lane="a")
    guides.iloc[:20] = 0
    guides.iloc[20:, 4:] = 0
    guides.iloc[:20, 4] = 1
    obs.loc[obs.index[20:], "lane"] = "b"
    return parts.but(guides=guides, obs=obs), {}


def gene_without_cells(parts):
    guides = parts.guides.copy()
    guides[["TBXT_sg1", "TBXT_sg2"]] = 0
    return parts.but(guides=guides), {}


def twice_the_same(parts):
    names = parts.obs.index.tolist()
    names[1] = names[0]
    frames = {part: getattr(parts, part).set_axis(names) for part in ("obs", "fates", "guides", "covar")}
    return parts.but(**frames), {}


def the_same_everywhere(parts):
    return parts.but(fates=parts.fates * 0 + [0.2, 0.3, 0.5]), {}


def never_the_reference(parts):
    fates = parts.fates.assign(EC=0.0)
    return parts.but(fates=fates.div(fates.sum(axis=1), axis=0)), {}


def left_out_lineage(parts):
    return parts.but(fates=parts.fates * 0.8), {"bad_cells": "renormalise"}


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda parts: (parts.but(guide_map=NO_NTC), {}), "no NTC guide in the guide map"),
        (one_replicate, "one replicate"),
        (replicate_is_day, "replicate and day are confounded"),
        (crowded, "16.7% of the cells hold more than data.Kmax=4 guides"),
        (raw_counts, "the guide matrix looks like raw UMI counts"),
        (controls_on_one_lane, "cells with NTC guides alone sit in lane a"),
        (gene_without_cells, "1 genes with guide columns but no kept cell"),
        (twice_the_same, "cells share a name, 1 in all (c00)"),
        (the_same_everywhere, "fate probabilities are the same in all cells"),
        (never_the_reference, "no cell turns to EC"),
        (left_out_lineage, "36 cells whose fates sum to 0.80"),
    ],
)
@pytest.mark.filterwarnings("ignore:Observation names are not unique")  # anndata's, as the test makes them
def test_each_kind_is_a_warning_of_the_run(parts, load, made, told):
    changed, settings = made(parts)
    warnings = describe_screen(load(changed, **settings))["warnings"]
    assert [each for each in warnings if each.startswith(told)], warnings
    assert not [each for each in describe_screen(load(parts))["warnings"] if each.startswith(told)]

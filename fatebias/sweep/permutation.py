"""Hits of a screen beside those of its shuffles, under ``experiment=permutation``.

A shuffle has no effects, so its own mixture leans towards the null and calls less than the screen's would.
Its effects are therefore judged a second time with the mixture fitted to the screen itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.api.settings import read_config
from fatebias.discovery.core import discover_contrasts, discover_summary
from fatebias.discovery.input import read_summary
from fatebias.discovery.outcome import Discovery
from fatebias.estimates.estimates import read_fit
from fatebias.files.paths import RunPaths
from fatebias.files.record import RunRecord
from fatebias.sweep.status import MemberStatus

Array = NDArray[np.float64]

PERMUTATION = "data.permutation"
THRESHOLDS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.001)  # of lfsr_min


def permutation_tables(
    found: Sequence[MemberStatus], ranked: Mapping[int, pd.DataFrame]
) -> dict[Path, pd.DataFrame]:
    """Return hits of a screen beside those of its shuffles, by lfsr threshold, under the screen's folder.

    ``fdr`` is the mean of the shuffles' hits over the screen's, at most 1; ``fdr_held`` the same with the
    shuffles judged by the screen's own mixture. Empty without screen and shuffle.
    """
    sets: dict[str, dict[int, list[MemberStatus]]] = {}
    for each in found:
        words = dict(word.lstrip("+").partition("=")[::2] for word in each.member.settings)
        number = words.pop(PERMUTATION, None)
        if number is None or each.member.number not in ranked:
            continue
        others = " ".join(f"{key}={value}" for key, value in words.items())
        kind = 0 if int(number) == 0 else 1
        sets.setdefault(others, {0: [], 1: []})[kind].append(each)
    tables = {}
    for others, runs in sets.items():
        if not runs[0] or not runs[1]:
            continue
        screen = runs[0][0]
        least = [ranked[each.member.number][names.LFSR_MIN].to_numpy(dtype=float) for each in runs[1]]
        held = least_lfsr_held(screen.member.folder, [each.member.folder for each in runs[1]])
        rows = []
        for threshold in THRESHOLDS:
            real = int((ranked[screen.member.number][names.LFSR_MIN].astype(float) < threshold).sum())
            own, by_screen = (np.array([(lfsr < threshold).sum() for lfsr in one]) for one in (least, held))
            rows.append(
                {
                    "settings": others,
                    "lfsr": threshold,
                    "hits": real,
                    "shuffles": len(own),
                    "hits_in_shuffles": own.mean(),
                    "most_in_shuffles": own.max(),
                    "fdr": _share(own, real),
                    "hits_in_shuffles_held": by_screen.mean(),
                    "fdr_held": _share(by_screen, real),
                }
            )
        tables[screen.member.folder] = pd.DataFrame(rows)
    return tables


def _share(hits: NDArray[np.integer], real: int) -> float | None:
    return min(1.0, float(hits.mean()) / real) if real else None


def least_lfsr_held(screen: Path, shuffles: Sequence[Path]) -> list[Array]:
    """Return each gene's least lfsr over days in each shuffle, (L,), under the screen's own mixture."""
    held = _judged(screen).joint
    return [np.exp(_judged(folder).joint.under(held).log_lfsr).min(axis=1) for folder in shuffles]


def _judged(folder: Path) -> Discovery:
    """Judge the effects that a run gave mash again, by the embedded engine."""
    paths = RunPaths(folder)
    settings = dataclasses.replace(read_config(paths.config).discovery, engine="native", contrasts=[])
    effects = read_summary(paths.gene_summary)
    if not paths.posterior.is_file():
        return discover_summary(effects, settings)
    saved = read_fit(paths.posterior, "permutation_fdr.csv")
    se = RunRecord(paths).content["stages"].get("fit", {}).get("se", "posterior")
    [(_, found)] = discover_contrasts(
        saved.estimates, saved.fates, saved.gene_names, settings,
        contrast=saved.contrast, se=se, own=effects, flips=False,
    )  # fmt: skip
    return found

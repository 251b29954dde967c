"""Hits of a screen beside the hits of its shuffles: an empirical false discovery rate by threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fatebias import names
from fatebias.sweep.status import MemberStatus

SETTING = "data.permutation"
THRESHOLDS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.001)


def permutation_table(
    found: Sequence[MemberStatus], ranked: Mapping[int, pd.DataFrame]
) -> pd.DataFrame | None:
    """Count genes below each threshold in a screen and in its shuffles (``experiment=permutation``).

    Parameters
    ----------
    found
        The runs of a sweep.
    ranked
        Run to its ``hits_ranked.csv``, those that are done.

    Returns
    -------
    DataFrame or None
        One row a threshold and set of other settings: ``lfsr``, ``hits``, ``shuffles``,
        ``hits_in_shuffles`` (mean), ``most_in_shuffles``, ``fdr`` (their mean over the hits, at most 1; empty
        without hits). None where no screen stands beside a shuffle of its own.
    """
    sets: dict[str, dict[int, list[int]]] = {}
    for each in found:
        words = dict(word.lstrip("+").partition("=")[::2] for word in each.member.settings)
        number = words.pop(SETTING, None)
        if number is None or each.member.number not in ranked:
            continue
        others = " ".join(f"{key}={value}" for key, value in words.items())
        kind = 0 if int(number) == 0 else 1
        sets.setdefault(others, {0: [], 1: []})[kind].append(each.member.number)
    rows = []
    for others, runs in sets.items():
        if not runs[0] or not runs[1]:
            continue
        for threshold in THRESHOLDS:
            real, *_ = (_below(ranked[number], threshold) for number in runs[0])
            shuffled = [_below(ranked[number], threshold) for number in runs[1]]
            rows.append(
                {
                    "settings": others,
                    "lfsr": threshold,
                    "hits": real,
                    "shuffles": len(shuffled),
                    "hits_in_shuffles": float(np.mean(shuffled)),
                    "most_in_shuffles": max(shuffled),
                    "fdr": min(1.0, float(np.mean(shuffled)) / real) if real else None,
                }
            )
    return pd.DataFrame(rows) if rows else None


def _below(ranking: pd.DataFrame, threshold: float) -> int:
    return int((ranking[names.LFSR_MIN].astype(float) < threshold).sum())

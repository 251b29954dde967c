"""Weights of days: their factors in the cells' weights, their level in the likelihood weight.

Needs no torch: a run that has nothing to fit imports it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

Array = NDArray[np.float64]


def weigh_days(screen: Screen, of_day: Array) -> tuple[Screen, float]:
    """Return a screen whose cells' weights carry those of the days, (D,), and the level taken out of them."""
    level = float(np.average(of_day[screen.day], weights=screen.weight))
    return replace(screen, weight=screen.weight * of_day[screen.day] / level), level


def weigh_as_fitted(screen: Screen, fit: Mapping[str, Any]) -> Screen:
    """Return the screen with its days weighted as in a fit, given run.json's entry of that fit."""
    by_day = fit.get("day_weights")
    return (
        screen if by_day is None else weigh_days(screen, np.array([by_day[d] for d in screen.day_labels]))[0]
    )

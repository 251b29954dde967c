"""What a count of called pseudo-genes can show: with few of them nearly nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

WIDE = 0.2  # an interval of the rate of false calls that is wider says little
WANTED = 0.1  # the rate that a reader wants to see excluded
TAIL = 0.025  # of a 95 % interval (Clopper and Pearson 1934) on either side


def enough() -> int:
    """Return the number of pseudo-genes of which none is called that shows a rate below `WANTED`."""
    return math.ceil(math.log(TAIL) / math.log(1 - WANTED))


def few_controls(report: Mapping[str, Any]) -> str | None:
    """Say that so few pseudo-genes say little and how many would say more; None where there are enough."""
    low, high = report.get("rate_low"), report.get("rate_high")
    if low is None or high is None or high - low <= WIDE:
        return None
    number, draws = int(report["pseudo_genes"]), int(report.get("draws") or 1)
    what = f"{number} pseudo-genes say little"
    if draws > 1:  # the interval counts the guides once, too
        again = f"of the same guides, grouped {draws} times"
        what = f"{number} pseudo-genes {again}, say as little as {number // draws}"
    size = report.get("guides_per_pseudo_gene")
    guides = "" if not size else f", here {enough() * int(size):,} NTC guides"
    calls = f"{report['called']} called" if report["called"] else "none called"
    return (
        f"{what}: with {calls}, the true rate may be anything from {low:.0%} to {high:.0%}. It takes "
        f"{enough()} of them{guides}, and none called, to show that it is below {WANTED:.0%}."
    )

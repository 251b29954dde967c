"""Every column, file and site name that more than one module uses, long names cut, the dimension legend.

Dimensions: N cells, M collapsed rows, K guide slots a cell, G non-NTC guides, L genes,
F all fates, F* = F - 1 non-reference fates, D days, R replicates, S posterior draws.
"""

from __future__ import annotations

from collections.abc import Sequence

# Columns of the tables under out_dir (docs/outputs.md).
GENE = "gene"
GUIDE = "guide"
FATE = "fate"
REPLICATE = "replicate"
CELLS = "cells"
DAY = "day"
PART = "part"
DRAW = "draw"
ROUND = "round"
BETAHAT = "betahat_d"
SE = "se_d"
POSTMEAN = "postmean_d"
POSTSD = "postsd_d"
LFSR = "lfsr_d"
QVALUE = "qvalue_d"
PLARGE = "plarge_d"
NO_DATA = "no_data"
CELLS_BY_DAY = "cells_d"
MDE = "mde_d"
MDE_LASTING = "mde_lasting"
AME = "ame_"
AME_SE = "ame_se_"
LFSR_MIN = "lfsr_min"
BEST_DAY = "best_day"
HIT_ANYDAY = "hit_anyday"
ACTIVE_DAYS = "active_days"
N_ACTIVE_DAYS = "n_active_days"
P_ANY = "p_any"
PEAK_DAY = "peak_day"
P_PEAK = "p_peak"
COURSE = "course"
P_COURSE = "p_course"
FLIP_DAYS = "flip_days"
P_FLIP = "p_flip"
P_FLIP_FIT = "p_flip_fit"
P_INACTIVE = "p_inactive"

# Columns of the guide map.
MAP_GUIDE = "guide_name"
MAP_GENE = "gene_name"
MAP_NTC = "is_ntc"


# Sample sites of the model (docs/inference.md); the factor carries the likelihood.
SOFT_CE = "soft_ce"
LATENT_SITES = ("alpha", "b", "gamma", "tau", "z0", "sigma_time", "eps", "sigma_guide", "u")


LONGEST = 24  # letters of a gene's or a fate's name in a picture or a table for the eye


def short(name: object, most: int = LONGEST) -> str:
    """Return a name of at most `most` letters: of a long one the beginning and the end, "…" between."""
    text = str(name)
    if len(text) <= most:
        return text
    end = (most - 1) // 3  # late and early, or isoforms, differ at the end
    return f"{text[: most - 1 - end].rstrip()}…{text[len(text) - end :].lstrip()}"


def versus(fate: str, against: str, most: int) -> str:
    """Return ``FATE against FATE`` in at most `most` letters, the longer name cut first."""
    room = most - len(" against ")
    half = room // 2
    one, other = short(fate, max(half, room - len(against))), short(against, max(half, room - len(fate)))
    return f"{one} against {other}"


def day_columns(prefix: str, n_days: int) -> list[str]:
    """Return the columns ``prefix0`` to ``prefix{D-1}`` of one quantity over days."""
    return [f"{prefix}{d}" for d in range(n_days)]


def day_number(day: object, labels: Sequence[str]) -> int:
    """Return the number of a day that a table names by its label, or by number (2, d2) where it has none."""
    return labels.index(day) if isinstance(day, str) and day in labels else int(str(day).removeprefix("d"))

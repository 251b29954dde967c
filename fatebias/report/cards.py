"""The cards of genes as JSON, from which page.js draws a card when it is opened."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fatebias.report.content import ContrastResults, Gene, Part

DIGITS = 4  # that count


def cards_json(
    contrasts: Sequence[ContrastResults], genes: Mapping[str, Gene], day_labels: Sequence[str]
) -> str:
    """Return days, contrasts and genes as JSON that is safe in a script element whatever the names are."""
    content = {
        "days": list(day_labels),
        "contrasts": [_contrast(each) for each in contrasts],
        "genes": {name: _gene(gene, contrasts) for name, gene in genes.items()},
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # "</script>" and "<!--" would end or change the element whatever JSON says of strings.
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _contrast(each: ContrastResults) -> dict[str, Any]:
    return {
        "title": each.title,
        "fate": each.fate,
        "against": each.against,
        "own": each.own,
        "genes": list(each.genes),
        "betahat": _rows(each.betahat),
        "se": _rows(each.se),
        "postmean": _rows(each.postmean),
        "postsd": _rows(each.postsd),
        "lfsr": _rows(each.lfsr),
        "called": [[int(day) for day in gene] for gene in each.called],
        "change": None if each.change is None else _rows(each.change),
        "changeSe": None if each.change_se is None else _rows(each.change_se),
        "pAny": _numbers(each.p_any),
        "course": list(each.course),
        "pCourse": _numbers(each.p_course),
        "flips": list(each.flip_days),
        "pFlip": _numbers(each.p_flip),
        "mde": _rows(each.mde),
        "mdeLasting": _numbers(each.mde_lasting),
    }


def _gene(gene: Gene, contrasts: Sequence[ContrastResults]) -> dict[str, Any]:
    return {
        "cells": gene.cells,
        "cellsByDay": list(gene.cells_by_day),
        "guides": [
            {**_part(guide, contrasts), "inactive": _number(guide.p_inactive)} for guide in gene.guides
        ],
        "fates": {fate: _numbers(values) for fate, values in gene.fates.items()},
        "kHat": _number(gene.k_hat),
        "replicates": [_part(each, contrasts) for each in gene.replicates],
        "mean": {fate: _rows(values) for fate, values in gene.mean.items()},
    }


def _part(part: Part, contrasts: Sequence[ContrastResults]) -> dict[str, Any]:
    """Return a guide or a replicate with its estimates in the order of the contrasts, null for none."""
    found = [part.of(contrast) for contrast in contrasts]
    estimates = [each and {"betahat": _numbers(each.betahat), "se": _numbers(each.se)} for each in found]
    return {"name": part.name, "cells": part.cells, "estimates": estimates}


def _rows(values: Iterable[Iterable[float]]) -> list[list[float | None]]:
    return [_numbers(row) for row in values]


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float | None) -> float | None:
    """Round to the digits that a picture shows; what is no number is null."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")

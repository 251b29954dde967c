"""The first lines of the page: what was found, how many of it may be false, what speaks against the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fatebias.config import AUTO
from fatebias.data.synthetic import FEWEST_NTC
from fatebias.estimates.estimates import AVERAGE_GENE
from fatebias.names import short
from fatebias.report.content import ContrastResults, Fact, Table
from fatebias.report.few_controls import few_controls
from fatebias.report.run_files import RunFiles
from fatebias.report.text import DASH, count, expected, listed, plain

NEAR = 1.25  # a weight within this factor of the suggested one is the same for all that matters
ENGINES = {"native": "embedded mash", "rscript": "R's mashr"}
NAMED = 6


def sentence(contrast: ContrastResults) -> str:
    """Say in one sentence what the screen's own contrast shows."""
    n = int(contrast.hits.sum())
    genes = count(len(contrast.genes), "gene")
    if not n:
        return f"None of {genes} is called: no knockdown surely moves cells between {_fates(contrast)}."
    up, down, both = sides(contrast)
    parts = [
        f"{len(found)} {words}"
        for found, words in (
            (up, f"towards {contrast.fate}"),
            (down, f"towards {contrast.against}"),
            (both, "one way on some days and the other way on others"),
        )
        if found
    ]
    verb = "moves" if n == 1 else "move"
    return f"{n} of {genes} {verb} cells between {_fates(contrast)} when knocked down: {listed(parts)}."


def sides(contrast: ContrastResults) -> tuple[list[str], list[str], list[str]]:
    """Return the hits whose calls are all up, all down, and those with both, in the order of their rank."""
    up, down = (
        np.asarray((contrast.called & (side * contrast.postmean > 0)).any(axis=1)) for side in (1, -1)
    )
    found: tuple[list[str], list[str], list[str]] = ([], [], [])
    for gene, one, other in zip(contrast.genes, up, down, strict=True):
        if one or other:
            found[2 if one and other else 0 if one else 1].append(gene)
    return found


def calls_table(contrasts: Sequence[ContrastResults], day_labels: Sequence[str]) -> Table:
    """Return how many genes are called by contrast and day, up and down apart."""
    rows = []
    for each in contrasts:
        by_day = [
            f"{up} ▲ {down} ▼".replace(" ", "\N{NO-BREAK SPACE}") if up or down else DASH
            for up, down in _by_day(each)
        ]
        hits = each.hit_names
        named = listed([short(gene) for gene in hits], NAMED) if hits else DASH
        rows.append(
            (each.title, str(len(hits)), *by_day, expected(each.expected_false) if hits else DASH, named)
        )
    return Table(
        "Genes called",
        ("contrast", "hits", *day_labels, "calls expected to be false", "the surest"),
        tuple(rows),
        "▲ the knockdown pushes cells towards the first fate, ▼ away from it. A hit is a gene that is called "
        "on at least one day.",
    )


def _by_day(contrast: ContrastResults) -> list[tuple[int, int]]:
    """Count the genes called on each day, up and down."""
    up, down = (contrast.called & (side * contrast.postmean > 0) for side in (1, -1))
    return list(zip(up.sum(axis=0).tolist(), down.sum(axis=0).tolist(), strict=True))


def facts(run: RunFiles, contrasts: Sequence[ContrastResults], rule: str) -> tuple[Fact, ...]:
    """Return what a reader needs to know before believing the hits."""
    n_calls = sum(int(each.called.sum()) for each in contrasts)
    false = sum(each.expected_false for each in contrasts)
    found = [
        Fact(
            "Expected false",
            f"{expected(false)} of {count(n_calls, 'call')}" if n_calls else "no calls",
            "A call is a gene on a day. The number is the sum over calls of the lfsr (local false sign "
            f"rate), the probability that the direction of the effect is wrong. Called where {rule}.",
        )
    ]
    found += [each for each in (_controls(run), _weight(run), _baseline(run), _converged(run)) if each]
    found += [_engine(run), _preset(run)]
    return tuple(found)


def _controls(run: RunFiles) -> Fact | None:
    report = run.stage("controls").get("report")
    if not report:
        return Fact(
            "Negative controls",
            "not checked",
            "Nothing shows how many calls are false. The stage controls does, where the screen has "
            f"{FEWEST_NTC} or more guides that target nothing (NTC).",
        )
    called, n = int(report["called"]), int(report["pseudo_genes"])
    found = few_controls(report) or (
        f"The true rate lies between {report['rate_low']:.0%} and {report['rate_high']:.0%} (95 % interval)."
    )
    return Fact(
        "Negative controls",
        f"{called} of {n} called",
        "Guides that target nothing (NTC), grouped into pseudo-genes and treated like genes. None should be "
        f"called. {found}",
        bad=called > 0,
    )


def _weight(run: RunFiles) -> Fact | None:
    used, suggested = weights(run)
    if used is None:
        return None
    words = (
        "A soft label is a cell's probabilities of its fates in place of one fate. The weight is how many "
        "independent observations one cell counts for."
    )
    if run.asked.get("likelihood_weight") == AUTO:
        return Fact("Weight of soft labels", f"{plain(used)}, found from the data", words)
    if suggested is None:
        return Fact("Weight of soft labels", plain(used), words)
    value = f"{plain(used)} used, {plain(suggested)} suggested by the data"
    return Fact("Weight of soft labels", value, words, bad=far(used, suggested))


def weights(run: RunFiles) -> tuple[float | None, float | None]:
    """Return the weight that was used and the one that the data suggest."""
    used, suggested = (run.fit.get(name) for name in ("likelihood_weight", "suggested_weight"))
    return (None if used is None else float(used)), (None if suggested is None else float(suggested))


def weight_is_off(run: RunFiles) -> float | None:
    """Return by which factor the labels count too little (above 1) or too much; None where they are right."""
    used, suggested = weights(run)
    if used is None or suggested is None or run.asked.get("likelihood_weight") == AUTO:
        return None
    return suggested / used if far(used, suggested) else None


def far(used: float, suggested: float) -> bool:
    """Whether the weight that was used differs from the suggested one for all that matters."""
    return abs(math.log(used / suggested)) > math.log(NEAR)


def _baseline(run: RunFiles) -> Fact | None:
    """Say what effects are counted from."""
    if not run.fit:
        return None
    if against_average(run):
        words = "The mean of the genes that differ least from each other; the notes on the fit say why."
        return Fact("Effects are against", "the average gene", words)
    if run.screen is not None and not run.screen["guides"]["ntc"]:
        return Fact(
            "Effects are against", "the day's intercept", "There are no NTC guides to count from.", bad=True
        )
    return Fact("Effects are against", "cells with NTC guides", "Guides that target nothing have no effect.")


def against_average(run: RunFiles) -> bool:
    """Return whether effects are against the average gene."""
    return bool(run.fit.get("baseline") == AVERAGE_GENE)


def _converged(run: RunFiles) -> Fact | None:
    if "warnings" not in run.fit:
        return None
    warnings = run.fit["warnings"]
    if not warnings:
        return Fact("Fit", "converged", "No diagnostic speaks against the fit.")
    return Fact("Fit", "not converged", " ".join(map(as_sentence, warnings)), bad=True)


def as_sentence(note: str) -> str:
    """Return a note with a capital and a full stop."""
    return f"{note[:1].upper()}{note[1:].rstrip('.')}."


def _engine(run: RunFiles) -> Fact:
    engine = str(run.discovery.get("engine", DASH))
    method = str(run.discovery.get("method", "mashr"))
    words = (
        "Effects are shared between days by mash (multivariate adaptive shrinkage)."
        if method == "mashr"
        else "Each day is judged by itself by ash (adaptive shrinkage)."
    )
    return Fact("Engine", ENGINES.get(engine, engine), words)


def _preset(run: RunFiles) -> Fact:
    named = preset(run)
    if named:
        return Fact("Settings", f"experiment={named}", "The other settings are in config.yaml.")
    return Fact("Settings", "defaults and what the command names", "All settings are in config.yaml.")


def preset(run: RunFiles) -> str:
    """Return the experiment that the run was started with, empty where there was none."""
    chosen = run.record.get("tracking", {}).get("choices", {}).get("experiment")
    if chosen:
        return str(chosen)
    words: list[Any] = run.record.get("command") or []
    found = [str(word).partition("=")[2] for word in words if str(word).startswith("experiment=")]
    return found[-1] if found else ""


def _fates(contrast: ContrastResults) -> str:
    return f"{contrast.against} and {contrast.fate}"

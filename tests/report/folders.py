"""Folders of finished runs, written without a fit: every file that the report reads, any names and sizes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FATES = ("EC", "MES", "NEU")
DAYS = ("d0", "d2", "d4", "d6")
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    'it\'s "quoted" & <b>bold</b>',
    "{{ 7 * 7 }}${alert(4)}",
    "Überα\u2028基因",
    "<!--<script>",
    "NA",
)


def write_run(
    root: Path,
    *,
    genes: Sequence[str] = ("A", "B", "C", "D", "E", "F"),
    days: Sequence[str] = DAYS,
    fates: Sequence[str] = FATES,
    contrasts: Sequence[str] = ("NEU",),
    guides_per_gene: int = 3,
    weight: float = 1.0,
    suggested: float = 20.0,
    command: Sequence[str] = ("run.py", "out_dir=results"),
    warnings: Sequence[str] = (),
    ntc: int = 20,
    seed: int = 0,
) -> Path:
    """Write a run in which the first half of the genes are hits of every contrast; return its folder."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    reports = {}
    for name in ("", *contrasts):
        below = root / "contrasts" / name if name else root
        below.mkdir(parents=True, exist_ok=True)
        reports[name] = _discovery(below, genes, days, rng)
    _fit_tables(root, genes, days, fates, guides_per_gene, rng)
    _other_fates(root, fates)
    _json(root / "screen_summary.json", _screen(genes, days, fates, guides_per_gene, ntc, rng))
    _json(root / "calibration.json", _calibration(days, suggested))
    settings = _settings(weight, contrasts)
    fit = {
        "status": "done",
        "screen": {
            "fingerprint": "f" * 64, "fates": list(fates), "contrast": fates[1], "day_labels": list(days),
            "rep_labels": ["rep1", "rep2"], "cells": 8000, "genes": len(genes),
            "guides": guides_per_gene * len(genes),
        },
        "diagnostics": {"k_hat": [0.9, *[0.2] * (len(genes) - 1)], "k_hat_max": 0.9, "loss_drift": 0.01},
        "warnings": list(warnings), "notes": [], "baseline": "ntc", "likelihood_weight": weight,
        "suggested_weight": suggested,
        "settings": settings,
    }  # fmt: skip
    controls = {
        "pseudo_genes": 4, "called": 0, "rate_low": 0.0, "rate_high": 0.6, "z_sd": 0.9, "z_sd_low": 0.5,
        "z_sd_high": 1.3, "weight_from_data": False,
    }  # fmt: skip
    discovery = {
        **reports[""], "engine": "native", "method": "mashr", "versions": {"numpy": "2"}, "notes": [],
        "contrasts": {name: reports[name] for name in contrasts},
    }  # fmt: skip
    record = {
        "status": "done", "started": "2026-01-01T00:00:00+00:00", "command": list(command), "seed": 0,
        "git": {"commit": "abc", "dirty": False}, "versions": {"fatebias": "0.1.0", "python": "3.11"},
        "stages": {
            "fit": fit,
            "discover": {"status": "done", "report": discovery},
            "controls": {"status": "done", "report": controls, "words": "calibration check: none called"},
        },
    }  # fmt: skip
    _json(root / "run.json", record)
    _json(root / "config.yaml", settings)  # JSON is YAML
    return root


def change(root: Path, file: str, **parts: Any) -> None:
    """Set entries of a JSON file; two underscores go one level down, as in ``stages__fit``."""
    content = json.loads((root / file).read_text(encoding="utf-8"))
    for key, value in parts.items():
        *groups, last = key.split("__")
        node = content
        for group in groups:
            node = node[group]
        node[last] = value
    _json(root / file, content)


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _table(path: Path, columns: dict[str, Any]) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def _by_day(prefix: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{prefix}{d}": values[:, d] for d in range(values.shape[1])}


def _discovery(
    root: Path, genes: Sequence[str], days: Sequence[str], rng: np.random.Generator
) -> dict[str, Any]:
    n, n_days = len(genes), len(days)
    hit = np.arange(n) < n // 2
    effect = np.where(hit[:, None], rng.choice([-1, 1], (n, 1)) * rng.uniform(0.4, 1.4, (n, n_days)), 0.01)
    effect[0, -1] *= -1  # the first gene flips
    lfsr = np.where(hit[:, None], np.sort(10.0 ** rng.uniform(-120, -3, n))[:, None], 0.9) * np.ones(n_days)
    empty = np.full(n, np.nan)
    ranked = {
        "gene": genes, **_by_day("betahat_d", effect * 1.1), **_by_day("se_d", np.full((n, n_days), 0.1)),
        **_by_day("postmean_d", effect), **_by_day("postsd_d", np.full((n, n_days), 0.08)),
        **_by_day("lfsr_d", lfsr), "lfsr_min": lfsr[:, 0], "best_day": [days[0]] * n, "hit_anyday": hit,
    }  # fmt: skip
    every = ";".join(days)
    calls = {
        "gene": genes, "hit_anyday": hit, "active_days": np.where(hit, every, ""),
        "n_active_days": np.where(hit, n_days, 0), "p_any": np.where(hit, 1.0, 0.1),
        "peak_day": [days[0]] * n, "p_peak": np.full(n, 0.3),
        "course": ["reversing", *["persistent"] * (n - 1)], "p_course": np.full(n, 0.9),
        "flip_days": [f"{days[0]}-{days[-1]}" if n_days > 1 else "", *[""] * (n - 1)],
        "no_data": [""] * n,
        "p_flip": np.where(np.arange(n) == 0, 1.0, 0.0),
        **_by_day("mde_d", np.where(hit[:, None], np.nan, np.full((n, n_days), 0.6))),
        "mde_lasting": np.where(hit, empty, 0.3),
    }  # fmt: skip
    _table(root / "hits_ranked.csv", ranked)
    _table(root / "gene_calls.csv", calls)
    false = float(lfsr[hit].sum())
    return {"n_days": n_days, "n_genes": n, "n_hits": int(hit.sum()), "n_calls": n_days * int(hit.sum()),
            "expected_false": false}  # fmt: skip


def _fit_tables(
    root: Path, genes: Sequence[str], days: Sequence[str], fates: Sequence[str], each: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    n, n_days = len(genes), len(days)
    of = [gene for gene in genes for _ in range(each)]
    guides = {
        "guide": [f"{gene}_sg{k % each + 1}" for k, gene in enumerate(of)], "gene": of,
        "cells": rng.integers(20, 90, len(of)), **_by_day("betahat_d", rng.normal(0, 1, (len(of), n_days))),
        **_by_day("se_d", np.full((len(of), n_days), 0.2)), "p_inactive": rng.uniform(0, 1, len(of)),
    }  # fmt: skip
    _table(root / "guide_summary.csv", guides)
    marginal: dict[str, Any] = {"gene": genes}
    for fate in (fates[1], fates[0], *fates[2:]):
        middle = "" if fate == fates[1] else f"{fate}_"
        marginal |= _by_day(f"ame_{middle}d", rng.normal(0, 0.1, (n, n_days)))
        marginal |= _by_day(f"ame_se_{middle}d", np.full((n, n_days), 0.02))
    _table(root / "marginal_effects.csv", marginal)
    replicates = {
        "gene": np.repeat(list(genes), 2), "replicate": ["rep1", "rep2"] * n,
        **_by_day("betahat_d", rng.normal(0, 1, (2 * n, n_days))),
        **_by_day("se_d", np.full((2 * n, n_days), 0.15)),
        **_by_day("cells_d", rng.integers(20, 40, (2 * n, n_days))),
    }  # fmt: skip
    replicates["betahat_d0"][0] = replicates["se_d0"][0] = np.nan  # too few cells
    _table(root / "replicate_effects.csv", replicates)
    pseudo = rng.normal(0, 0.1, (4, n_days))
    _table(
        root / "controls.csv",
        {"gene": [f"NTC_pseudo_{k}" for k in range(4)], **_by_day("betahat_d", pseudo),
         **_by_day("se_d", np.full_like(pseudo, 0.1))},
    )  # fmt: skip
    steps = np.arange(200)
    loss = 1000 + 50 * np.exp(-steps / 20) + rng.normal(size=200)
    _table(root / "loss_trace.csv", {"step": steps, "loss": loss, "timestamp_ms": steps})


def _other_fates(root: Path, fates: Sequence[str]) -> None:
    """Write guides and replicates on further fates: on each half of what they are on the contrast."""
    for name, other in (("guide_summary", "guides"), ("replicate_effects", "replicates")):
        table = pd.read_csv(root / f"{name}.csv", keep_default_na=False, na_values={"betahat_d0": [""]})
        effects = [column for column in table if column.startswith("betahat_d")]
        halves = table.assign(**{column: table[column].astype(float) / 2 for column in effects})
        found = [halves.assign(fate=fate)[["fate", *table]] for fate in fates[2:]]
        pd.concat(found).to_csv(root / f"{other}_other_fates.csv", index=False)


def _screen(
    genes: Sequence[str], days: Sequence[str], fates: Sequence[str], each: int, ntc: int,
    rng: np.random.Generator,
) -> dict[str, Any]:  # fmt: skip
    counts = rng.integers(10, 80, (len(genes), len(days)))
    shares = rng.dirichlet(np.full(len(fates), 8.0), (len(genes), len(days)))  # (L, D, F)
    return {
        "source": "screen.h5ad", "guide_map": "guides.csv",
        "cells": {"in_file": 8100, "kept": 8000, "dropped": {"more guides than Kmax": 100}},
        "cells_by_day_and_replicate": {day: {"rep1": 1000, "rep2": 1000} for day in days},
        "fates": {
            "mean_probability": dict.fromkeys(fates, 1 / len(fates)),
            "mean_probability_by_day": {fate: [1 / len(fates)] * len(days) for fate in fates},
        },
        "guides_per_cell": {"mean": 2.0, "median": 2.0, "most": 4, "cells_by_number": {"1": 4000, "2": 4000}},
        "guides": {"targeting": each * len(genes), "ntc": ntc, "assignments": 16000, "ntc_share": 0.08,
                   "without_column": [], "ignored_not_in_map": {}},
        "genes": {"number": len(genes), "without_cells": [], "guides_and_cells": {
            gene: {"guides": each, "cells": int(row.sum()), "cells_by_day": row.tolist(),
                   "mean_probability": dict(zip(fates, share.T.tolist(), strict=True))}
            for gene, row, share in zip(genes, counts, shares, strict=True)
        }},
        "guide_counts": {"threshold": 4.0, "from": [1, 2, 3, 4, 5, 6], "entries": [900, 90, 30, 10, 40, 60]},
        "notes": [], "warnings": [],
    }  # fmt: skip


def _calibration(days: Sequence[str], weight: float) -> dict[str, Any]:
    interval = {"weight": weight, "low": weight / 1.1, "high": weight * 1.1}
    return {
        "method": "dispersion",
        "estimates": {"dispersion": {"weight": weight, "low": None, "high": None}, "information": interval},
        "by_day": dict.fromkeys(days, weight),
        "scatter": {day: {"MES": interval, "NEU": interval} for day in days},
    }


def _settings(weight: float, contrasts: Sequence[str]) -> dict[str, Any]:
    return {
        "inference": {"method": "svi"},
        "export": {"estimates": "posterior", "guides": "normal", "se": "posterior"},
        "likelihood_weight": weight,
        "discovery": {"method": "mashr", "covariances": "canonical", "null_correlation": "simple",
                      "mash_lfsr_thresh": 0.05, "anyday_correction": "none", "contrasts": list(contrasts),
                      "qvalue_thresh": None, "effect_prob_large_min": None, "effect_size_eps": 0.2},
    }  # fmt: skip

"""Do the calls hold on simulated truth? ``python -m benchmarks.recovery [--seeds 20] [--designs a,b]``.

Each design is simulated with several seeds and analysed under each setting. The fit is ``inference=laplace``,
with which the default fit agrees to a percent (README). A call is false where the true effect is zero or has
the other sign. What the CSV already has (a design, seed and setting) is kept. ``--quick``: 3 seeds of
4 designs.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.labs import guide_regression, rank_test
from benchmarks.recovery_table import plot, pooled
from fatebias import names
from fatebias.checks.call import call_exported
from fatebias.config import (
    Config,
    DataConfig,
    DiscoveryConfig,
    ExportConfig,
    InferenceConfig,
    PriorsConfig,
    SimulateConfig,
)
from fatebias.data.screen import Screen
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.discovery.engine import call_rule
from fatebias.discovery.ranking import active
from fatebias.estimates.likelihood_weight import estimate_weight
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments

Array = NDArray[np.float64]

BASE = SimulateConfig(n_cells=20_000, n_genes=100, effect_min=0.2, effect_max=1.0, concentration=50.0)
DESIGNS: dict[str, dict[str, Any]] = {
    "no_effects": {"design": "no_effects", "concentration": 5.0},
    "single_day": {"design": "single_day", "active_share": 0.36, "moi": 5.0},
    "persistent": {"design": "persistent", "active_share": 0.25},
    "persistent_weak": {"design": "persistent", "effect_min": 0.1, "effect_max": 0.35, "concentration": 5.0},
    "sign_flip": {"design": "sign_flip", "concentration": 5.0},
    "predecessor": {
        "design": "each_day",
        "n_cells": 25_000,
        "guides_per_gene": 6,
        "n_ntc_guides": 20,
        "active_share": 0.1,
        "moi": 5.0,
    },
    "shared": {"design": "persistent", "concentration": 5.0, "neighbours": 15},
    "dead_guides": {"design": "persistent", "sigma_guide": 0.4, "inactive_guide_share": 0.25},
    "single_draws": {"design": "mixed", "concentration": 1.0},
    "moi_1": {"design": "mixed", "moi": 1.0},
    "moi_2.5": {"design": "mixed", "moi": 2.5, "concentration": 5.0},
    "moi_5": {"design": "mixed", "moi": 5.0},
    "small": {"design": "mixed", "n_cells": 2_000, "n_genes": 50},
    "large": {"design": "mixed", "n_cells": 50_000, "n_genes": 300, "moi": 2.5},
}
QUICK = ("no_effects", "single_day", "persistent", "sign_flip")
CALIBRATED = {
    "likelihood_weight": "auto",
    "export": ExportConfig(estimates="unshrunken"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "auto": {"likelihood_weight": "auto"},
    "unshrunken_simple": CALIBRATED,
    "calibrated": {**CALIBRATED, "discovery": DiscoveryConfig(engine="native", null_correlation="fit")},
    "mean_field": {
        "inference": InferenceConfig(
            variational="normal",
            warm_start="none",
            lr=0.02,
            num_steps=1000,
            num_posterior_draws=1000,
            progress=False,
        )
    },
    "calibrated_dead": {
        **CALIBRATED,
        "export": ExportConfig(estimates="unshrunken", inactive_guides=True),
        "discovery": DiscoveryConfig(engine="native", null_correlation="fit"),
    },
    "per_gene": {**CALIBRATED, "discovery": DiscoveryConfig(engine="native", null_correlation="per_gene")},
}
USUAL = ("default", "mean_field", "auto", "calibrated")
# The calibrated setting is called in further ways, too.
CALLED: dict[str, dict[str, Any]] = {
    "calibrated, gated": {"large": 0.9},  # P(|effect| > 0.2) at least
    "calibrated, bonferroni": {"anyday": "bonferroni"},
}
BASELINES = {"guide_regression": guide_regression, "rank_test": rank_test}


def average_precision(truth: NDArray[np.bool_], score: Array) -> float:
    """Return the area under the precision-recall curve; NaN without a true effect."""
    if not truth.any():
        return float("nan")
    hit = truth[np.argsort(-score, kind="stable")]
    return float((np.cumsum(hit) / np.arange(1, len(hit) + 1))[hit].mean())


def count_calls(theta: Array, called: NDArray[np.bool_], sign: Array, score: Array) -> dict[str, float]:
    """Return counts of true and false calls and the AUPRC, by gene and day and by gene.

    All are (L, D): the truth, the calls, their signs, and the score that ranks them (large first).
    """
    right = called & (theta != 0) & (np.sign(theta) == sign)
    active, any_call = (theta != 0).any(axis=1), called.any(axis=1)
    best = score.argmax(axis=1)
    truly = np.take_along_axis(theta, best[:, None], axis=1)[:, 0]
    best_right = np.sign(truly) == np.take_along_axis(sign, best[:, None], axis=1)[:, 0]
    return {
        "gene_days": int((theta != 0).sum()),
        "called": int(called.sum()),
        "true_calls": int(right.sum()),
        "genes": int(active.sum()),
        "called_genes": int(any_call.sum()),
        "true_genes": int((any_call & active).sum()),
        "right_best_day": int((any_call & active & best_right).sum()),
        "auprc": average_precision((theta != 0).ravel(), score.ravel()),
        "auprc_genes": average_precision(active, score.max(axis=1)),
    }


def ours(screen: Screen, theta: Array, setting: str) -> list[dict[str, Any]]:
    """Return rows of results under one setting; the calibrated one is called in further ways, too."""
    changed = {"discovery": DiscoveryConfig(engine="native"), **SETTINGS[setting]}
    laplace = InferenceConfig(method="laplace", num_posterior_draws=1000)
    cfg = dataclasses.replace(Config(inference=laplace), **changed)
    begun = time.perf_counter()
    auto = cfg.likelihood_weight == "auto"
    weight = estimate_weight(screen, cfg).weight if auto else float(cfg.likelihood_weight)
    fit = fit_screen(screen, cfg, weight)
    posterior = posterior_moments(fit.draw, cfg.inference.num_posterior_draws, screen.guide_gene)
    table = call_exported(screen, cfg, weight, posterior)
    seconds = time.perf_counter() - begun

    def days(prefix: str) -> Array:
        return table[names.day_columns(prefix, screen.D)].to_numpy(dtype=float)

    before = days(names.BETAHAT) - theta
    after = days(names.POSTMEAN) - theta
    lfsr = days(names.LFSR)
    figures = {
        "weight": weight,
        "bias": before.mean(),
        "rmse": np.sqrt((before**2).mean()),
        "rmse_mash": np.sqrt((after**2).mean()),
        "coverage": (np.abs(before) < 1.96 * days(names.SE)).mean(),
        "coverage_mash": (np.abs(after) < 1.96 * days(names.POSTSD)).mean(),
        "seconds": seconds,
    }
    score = -np.log(np.maximum(lfsr, 1e-300))
    rules = {setting: call_rule(cfg.discovery)}
    if setting == "calibrated":
        rules |= {name: dataclasses.replace(rules[setting], **more) for name, more in CALLED.items()}
    rows = []
    for name, rule in rules.items():
        called = active(table, rule)
        counts = count_calls(theta, called, np.sign(days(names.POSTMEAN)), score)
        rows.append({"setting": name, **figures, **counts, "expected_false": lfsr[called].sum()})
    return rows


def run(design: str, seed: int, settings: list[str], done: set[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """Simulate once and return rows of results under all settings that are not done yet."""
    simulate = dataclasses.replace(BASE, seed=1000 + seed, **DESIGNS[design])
    screen, truth = simulate_screen(
        simulate, DataConfig(source="simulated", simulate=simulate), PriorsConfig()
    )
    place = [truth.gene_names.index(gene) for gene in screen.gene_names]
    theta = truth.theta[place, screen.contrast_index]
    rows: list[dict[str, Any]] = []
    for setting in settings:
        if (design, seed, setting) not in done:
            rows += ours(screen, theta, setting)
    for name, baseline in BASELINES.items():
        if (design, seed, name) not in done:
            begun = time.perf_counter()
            effect, p_value, called = baseline(screen)
            score = -np.log(np.maximum(p_value, 1e-300))
            figures = {"setting": name, "seconds": time.perf_counter() - begun}
            rows.append({**figures, **count_calls(theta, called, np.sign(effect), score)})
    return [{"design": design, "seed": seed, **row} for row in rows]


def main() -> None:
    """Run the designs asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--designs", default=",".join(DESIGNS))
    parser.add_argument("--settings", default=",".join(USUAL))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("recovery.csv"))
    asked = parser.parse_args()
    designs = QUICK if asked.quick else asked.designs.split(",")
    columns = None
    table = pd.read_csv(asked.out) if asked.out.is_file() else pd.DataFrame()
    done = set() if table.empty else set(zip(table["design"], table["seed"], table["setting"], strict=True))
    for seed in range(3 if asked.quick else asked.seeds):
        for design in designs:
            rows = run(design, seed, asked.settings.split(","), done)
            if not rows:
                continue
            table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
            columns = columns or list(table.columns)
            with asked.out.open("w", newline="") as handle:
                table.to_csv(handle, index=False, quoting=csv.QUOTE_MINIMAL)
    print(pooled(table).reset_index().to_markdown(index=False, floatfmt=".3g"))
    plot(table, asked.out.with_suffix(".png"))


if __name__ == "__main__":
    main()

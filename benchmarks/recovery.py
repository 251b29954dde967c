"""Do the calls hold on simulated truth? ``python -m benchmarks.recovery [--seeds 20] [--designs a,b]``.

Each of `benchmarks.designs` is drawn with several seeds and analysed under each setting. The fit is
``inference=laplace``, with which the default fit agrees to a percent (README). A call is false where the true
effect is zero or has the other sign; the lfsr of calls promise how many are. What the CSV already has (a
design, seed and setting) is kept. ``--quick``: 3 seeds of 4 designs.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.designs import DESIGNS, Design
from benchmarks.labs import guide_regression, rank_test
from benchmarks.oracle import oracle
from benchmarks.recovery_table import plot, pooled
from fatebias import names
from fatebias.api.settings import make_config
from fatebias.checks.call import call_given
from fatebias.config import AUTO, Config
from fatebias.data.screen import Screen
from fatebias.discovery.engine import call_rule
from fatebias.discovery.ranking import active
from fatebias.estimates.estimates import ContrastEstimates
from fatebias.estimates.from_fit import gene_estimates
from fatebias.estimates.likelihood_weight import estimate_weight
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments

Array = NDArray[np.float64]

QUICK = ("no_effects", "single_day", "persistent", "sign_flip")
BY_LAPLACE = {
    "inference.method": "laplace",
    "inference.num_posterior_draws": 1000,
    "discovery.engine": "native",
}
# The preset `calibrated` as it was when these figures were first made.
BEFORE = {"likelihood_weight": "auto", "export.estimates": "unshrunken", "discovery.null_correlation": "fit"}
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "auto": {"likelihood_weight": "auto"},
    "unshrunken_simple": {**BEFORE, "discovery.null_correlation": "simple"},
    "calibrated": {"preset": "calibrated"},
    "exact": {"preset": "calibrated", "discovery.likelihood": "exact"},
    "together": {"preset": "calibrated", "discovery.likelihood": "exact", "discovery.fates": "together"},
    "calibrated_before": BEFORE,
    "mean_field": {
        "inference.method": "svi",
        "inference.variational": "normal",
        "inference.warm_start": "none",
        "inference.lr": 0.02,
        "inference.num_steps": 1000,
        "inference.progress": False,
    },
    "per_gene": {**BEFORE, "discovery.null_correlation": "per_gene"},
}
USUAL = ("default", "mean_field", "auto", "calibrated")
# The calibrated setting is called in further ways, too.
CALLED: dict[str, dict[str, Any]] = {
    "calibrated, gated": {"large": 0.9},  # P(|effect| > 0.2) at least
    "calibrated, bonferroni": {"anyday": "bonferroni"},
}
BASELINES = {"guide_regression": guide_regression, "rank_test": rank_test}


def settings_of(name: str) -> Config:
    """Return the settings of one analysis."""
    return make_config(**{**BY_LAPLACE, **SETTINGS[name]})


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


def ours(screen: Screen, theta: Array, design: Design, setting: str) -> list[dict[str, Any]]:
    """Return rows of results under one setting; the calibrated one is called in further ways, too."""
    cfg = settings_of(setting)
    begun = time.perf_counter()
    weight = cfg.likelihood_weight
    if weight == AUTO:
        screen, weight = estimate_weight(screen, cfg).weigh(screen)
    fit = fit_screen(screen, cfg, weight, judge=False)
    posterior = posterior_moments(fit.draw, cfg.inference.num_posterior_draws, screen.guide_gene, flips=False)
    estimates = gene_estimates(screen, cfg, posterior, weight)
    table = call_given(screen, cfg, estimates)
    given = estimates.contrast(np.eye(screen.n_fates_star)[screen.contrast_index])
    figures = {
        "weight": float(np.mean(weight)),
        "seconds": time.perf_counter() - begun,
        **errors(given.betahat - theta, given.se, theta, design.identified),
        **after_mash(table, theta, design.identified),
    }
    if design.identified and cfg.export.estimates == "unshrunken":
        figures |= oracle_calls(given, theta, design, cfg)
    lfsr, sign = _days(table, names.LFSR, theta), np.sign(_days(table, names.POSTMEAN, theta))
    score = -np.log(np.maximum(lfsr, 1e-300))
    rules = {setting: call_rule(cfg.discovery)}
    if setting == "calibrated":
        rules |= {name: dataclasses.replace(rules[setting], **more) for name, more in CALLED.items()}
    rows = []
    for name, rule in rules.items():
        called = active(table, rule)
        counts = count_calls(theta, called, sign, score)
        rows.append({"setting": name, **figures, **counts, "expected_false": lfsr[called].sum()})
    return rows


def errors(off: Array, se: Array, theta: Array, identified: bool) -> dict[str, float]:
    """Return bias, error and coverage of 95 % intervals before mash, of active and null genes apart.

    All are (L, D). NaN without such genes and, but for null genes, where theta is not identified.
    """
    covered, has_effect = np.abs(off) < 1.96 * se, theta.any(axis=1)
    nan = float("nan")
    return {
        "bias": off.mean() if identified else nan,
        "rmse": np.sqrt((off**2).mean()) if identified else nan,
        "coverage": covered.mean() if identified else nan,
        "coverage_active": covered[has_effect].mean() if identified and has_effect.any() else nan,
        "coverage_null": covered[~has_effect].mean() if not has_effect.all() else nan,
    }


def after_mash(table: pd.DataFrame, theta: Array, identified: bool) -> dict[str, float]:
    """Return the error and coverage of shrunken effects; NaN where theta is not identified."""
    off = _days(table, names.POSTMEAN, theta) - theta
    covered = np.abs(off) < 1.96 * _days(table, names.POSTSD, theta)
    found = {"rmse_mash": np.sqrt((off**2).mean()), "coverage_mash": covered.mean()}
    return found if identified else dict.fromkeys(found, float("nan"))


def oracle_calls(given: ContrastEstimates, theta: Array, design: Design, cfg: Config) -> dict[str, int]:
    """Return what the oracle calls at the same lfsr from the same estimates, by gene and day."""
    best = oracle(given.betahat, given.covariance, design.simulate, likelihood=given.likelihood)
    called = best.lfsr < cfg.discovery.mash_lfsr_thresh
    right = called & (best.sign == np.sign(theta))
    return {"oracle_called": int(called.sum()), "oracle_true": int(right.sum())}


def _days(table: pd.DataFrame, prefix: str, theta: Array) -> Array:
    return table[names.day_columns(prefix, theta.shape[1])].to_numpy(dtype=float)


def run(design: str, seed: int, settings: list[str], done: set[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """Draw one screen and return rows of results under all settings that are not done yet."""
    wanted = [name for name in settings if (design, seed, name) not in done]
    if not wanted:
        return []
    screen, theta = DESIGNS[design].draw(seed)
    rows: list[dict[str, Any]] = []
    for name in wanted:
        if name in SETTINGS:
            rows += ours(screen, theta, DESIGNS[design], name)
            continue
        begun = time.perf_counter()
        effect, p_value, called = BASELINES[name](screen)
        score = -np.log(np.maximum(p_value, 1e-300))
        figures = {"setting": name, "seconds": time.perf_counter() - begun}
        rows.append({**figures, **count_calls(theta, called, np.sign(effect), score)})
    return [{"design": design, "seed": seed, **row} for row in rows]


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a reader of names with commas between, which refuses others."""
    allowed = list(known)

    def read(word: str) -> list[str]:
        unknown = [name for name in word.split(",") if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(allowed)}")
        return word.split(",")

    return read


def main() -> None:
    """Run the designs asked for and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--designs", type=_names(DESIGNS), default=list(DESIGNS))
    parser.add_argument(
        "--settings", type=_names([*SETTINGS, *BASELINES]), default=[*USUAL, *BASELINES], help="baselines too"
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("recovery.csv"))
    asked = parser.parse_args()
    table = pd.read_csv(asked.out) if asked.out.is_file() else pd.DataFrame()
    done = set() if table.empty else set(zip(table["design"], table["seed"], table["setting"], strict=True))
    for seed in range(3 if asked.quick else asked.seeds):
        for design in QUICK if asked.quick else asked.designs:
            rows = run(design, seed, asked.settings, done)
            if not rows:
                continue
            table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
            with asked.out.open("w", newline="") as handle:
                table.to_csv(handle, index=False, quoting=csv.QUOTE_MINIMAL)
    print(pooled(table).reset_index().to_markdown(index=False, floatfmt=".3g"))
    plot(table, asked.out.with_suffix(".png"))


if __name__ == "__main__":
    main()

"""What became of known effects: power by size, false discoveries, the least size that is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fatebias import names
from fatebias.checks.base import FEWEST_NTC_TO_JUDGE, share_with_interval
from fatebias.config import DiscoveryConfig

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# Days on which a pseudo-gene has its effect.
NO_DAYS, ONE_DAY, ALL_DAYS = "none", "one", "all"
GOAL = 0.8
# Of one size and pattern: with fewer its power is little more than a guess.
FEWEST_GENES = 10


def gene_days(
    table: pd.DataFrame,
    effects: NDArray[np.float64],
    days: Sequence[str],
    day_labels: Sequence[str],
    discovery: DiscoveryConfig,
) -> pd.DataFrame:
    """Return a row for each pseudo-gene and day: the effect it got and what was found.

    `table` has the mash output of the pseudo-genes, in the order of `effects` (n, D) and `days` (n).
    """
    import pandas as pd

    from fatebias.discovery.engine import call_rule
    from fatebias.discovery.ranking import active

    n_days = len(day_labels)

    def of(prefix: str) -> NDArray[np.float64]:
        return table[names.day_columns(prefix, n_days)].to_numpy(dtype=float).ravel()

    effect, postmean = effects.ravel(), of(names.POSTMEAN)
    right = pd.array(np.sign(effect) == np.sign(postmean), dtype="boolean")
    right[effect == 0] = pd.NA
    return pd.DataFrame(
        {
            names.GENE: np.repeat(table[names.GENE].to_numpy(), n_days),
            names.DAY: np.tile(np.asarray(day_labels, dtype=object), len(table)),
            "days": np.repeat(np.asarray(days, dtype=object), n_days),
            "effect": effect,
            "betahat": of(names.BETAHAT),
            "se": of(names.SE),
            "postmean": postmean,
            "lfsr": of(names.LFSR),
            "called": active(table, call_rule(discovery)).ravel(),
            "right_sign": right,
        }
    )


def power_report(table: pd.DataFrame, sizes: list[float]) -> dict[str, Any]:
    """Return counts of calls of known effects from the rows of ``spike_in.csv``, plain content for run.json.

    ``by_size``: for each size, on one day or on all, genes ``n``, how many are called with the right sign
    on a day that has the effect, and their share. ``fdr``: gene-days called without an effect on that
    day, or with the wrong sign, among all called; its interval treats gene-days as independent.
    ``least_one``, ``least_all``: the size found 80 % of the time, see `least_size`. ``z_sd``: root mean
    square of (betahat - effect) / se.
    """
    called, effect = table["called"].to_numpy(dtype=bool), table["effect"].to_numpy(dtype=float)
    right = table["right_sign"].fillna(False).to_numpy(dtype=bool)
    on_null = called & (effect == 0)
    elsewhere = on_null & (table["days"] != NO_DAYS).to_numpy()
    wrong = called & (effect != 0) & ~right
    one = [names.ROUND, names.PART, names.GENE, "days"]
    genes = table.assign(found=called & right).groupby(one, sort=False)
    by_gene = genes.agg(size=("effect", lambda each: each.abs().max()), found=("found", "any")).reset_index()
    n_calls, n_false = int(called.sum()), int(on_null.sum() + wrong.sum())
    z = (table["betahat"].to_numpy(dtype=float) - effect) / table["se"].to_numpy(dtype=float)
    report: dict[str, Any] = {
        "pseudo_genes": len(by_gene),
        "spiked": int((by_gene["days"] != NO_DAYS).sum()),
        "calls": n_calls,
        "false_calls": n_false,
        "false_on_null_genes": int((on_null & ~elsewhere).sum()),
        "false_on_other_days": int(elsewhere.sum()),
        "wrong_sign": int(wrong.sum()),
        **share_with_interval("fdr", n_false, n_calls),
        "sizes": list(sizes),
        "patterns": 2 if table[names.DAY].nunique() > 1 else 1,
        "z_sd": float(np.sqrt((z**2).mean())),
        "by_size": [
            entry for days in (ONE_DAY, ALL_DAYS) for size in sizes if (entry := _power(by_gene, size, days))
        ],
    }
    for days in (ONE_DAY, ALL_DAYS):
        curve = [(each["size"], each["power"]) for each in report["by_size"] if each["days"] == days]
        report[f"least_{days}"], report[f"least_{days}_is"] = least_size(curve)
    return report


def least_size(curve: list[tuple[float, float]], goal: float = GOAL) -> tuple[float | None, str]:
    """Return the size from which on effects are found with power `goal`, and how it was found.

    `curve` has pairs of size and power by size. The size is interpolated in its logarithm between the
    last one that misses the goal and the next (``interpolated``); the least one where that reaches the
    goal already (``at most``); None where the greatest does not (``above all``) or nothing was spiked in
    (``unknown``).
    """
    if not curve:
        return None, "unknown"
    missed = [place for place, (_, power) in enumerate(curve) if power < goal]
    if not missed:
        return curve[0][0], "at most"
    if missed[-1] == len(curve) - 1:
        return None, "above all"
    (low, below), (high, above) = curve[missed[-1]], curve[missed[-1] + 1]
    return float(np.exp(np.interp(goal, [below, above], np.log([low, high])))), "interpolated"


def summary_line(report: dict[str, Any]) -> str:
    """Return the report in a few lines, for the terminal."""
    lines = [
        f"power check: {report['spiked']} of {report['pseudo_genes']} NTC pseudo-genes got effects of known "
        f"size; {_false_calls(report)}"
    ]
    for days, what in ((ONE_DAY, "on one day"), (ALL_DAYS, "on all days")):
        curve = [each for each in report["by_size"] if each["days"] == days]
        if curve:
            powers = ", ".join(f"{each['size']:g}: {each['called']} of {each['n']}" for each in curve)
            least = _least(report, days)
            lines.append(f"  effects {what}, called by size in logits: {powers}; {least}")
    if notes := limits(report):
        lines.append(f"  {'; '.join(notes)}")
    return "\n".join(lines)


def as_metrics(report: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a report by name, powers by size too."""
    plain = {name: float(value) for name, value in report.items() if isinstance(value, (int, float))}
    powers = {f"power_{each['days']}_{each['size']:g}": each["power"] for each in report["by_size"]}
    return plain | powers


def limits(report: dict[str, Any]) -> list[str]:
    """Return what the numbers cannot tell, and how to get better ones."""
    notes = []
    if report["ntc_guides"] < FEWEST_NTC_TO_JUDGE:
        notes.append(
            f"{report['ntc_guides']} NTC guides: rounds reuse the same few guides and cells, so neither the "
            "false-discovery rate nor how power varies between genes can be judged"
        )
    designs = len(report["sizes"]) * report["patterns"]
    if report["spiked"] < FEWEST_GENES * designs:
        rounds = math.ceil(FEWEST_GENES * designs * report["rounds"] / max(report["spiked"], 1))
        notes.append(f"calibration.spike_in={rounds} would give {FEWEST_GENES} pseudo-genes of each kind")
    return notes


def _power(by_gene: pd.DataFrame, size: float, days: str) -> dict[str, Any] | None:
    chosen = by_gene[(by_gene["days"] == days) & np.isclose(by_gene["size"], size)]
    if chosen.empty:
        return None
    n, called = len(chosen), int(chosen["found"].sum())
    return {"size": size, "days": days, "n": n, "called": called, **share_with_interval("power", called, n)}


def _false_calls(report: dict[str, Any]) -> str:
    if not report["calls"]:
        return "none of their gene-days is called"
    return (
        f"{report['false_calls']} of {report['calls']} called gene-days false "
        f"(95 % interval {report['fdr_low']:.1%} to {report['fdr_high']:.1%})"
    )


def _least(report: dict[str, Any], days: str) -> str:
    least, how = report[f"least_{days}"], report[f"least_{days}_is"]
    if least is None:
        return f"none {GOAL:.0%} of the time"
    return f"{GOAL:.0%} from {least:.2g} on" + ("" if how == "interpolated" else " or less")

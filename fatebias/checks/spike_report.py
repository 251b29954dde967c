"""What became of known effects: power by size, false discoveries, the least size that is found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fatebias import names

# Days on which a pseudo-gene has its effect.
NO_DAYS, ONE_DAY, ALL_DAYS = "none", "one", "all"
GOAL = 0.8
# Of one size and pattern: with fewer its power is little more than a guess.
FEWEST_GENES = 10
FEWEST_NTC_TO_JUDGE = 10


def report(table: pd.DataFrame, sizes: list[float]) -> dict[str, Any]:
    """Count calls of known effects.

    Parameters
    ----------
    table
        ``spike_in.csv``: a row for each round, part, pseudo-gene and day with ``days`` (none, one, all),
        ``effect``, ``betahat``, ``se``, ``called`` and ``right_sign``.
    sizes
        Sizes that were spiked in.

    Returns
    -------
    dict
        Plain content for run.json. ``by_size``: for each size, on one day or on all, genes ``n``, how many
        are called with the right sign on a day that has the effect, the share with its 95 % interval (Clopper
        and Pearson 1934). ``fdr``: gene-days called without an effect on that day, or with the wrong sign,
        among all called; its interval takes gene-days for independent. ``least_one``, ``least_all``: the
        size found 80 % of the time, see `least_size`. ``z_sd``: root mean square of (betahat - effect) / se.
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
    found: dict[str, Any] = {
        "pseudo_genes": len(by_gene),
        "spiked": int((by_gene["days"] != NO_DAYS).sum()),
        "calls": n_calls,
        "false_calls": n_false,
        "false_on_null_genes": int((on_null & ~elsewhere).sum()),
        "false_on_other_days": int(elsewhere.sum()),
        "wrong_sign": int(wrong.sum()),
        **_share("fdr", n_false, n_calls),
        "sizes": list(sizes),
        "patterns": 2 if table[names.DAY].nunique() > 1 else 1,
        "z_sd": float(np.sqrt((z**2).mean())),
        "by_size": [
            entry for days in (ONE_DAY, ALL_DAYS) for size in sizes if (entry := _power(by_gene, size, days))
        ],
    }
    for days in (ONE_DAY, ALL_DAYS):
        curve = [(each["size"], each["power"]) for each in found["by_size"] if each["days"] == days]
        found[f"least_{days}"], found[f"least_{days}_is"] = least_size(curve)
    return found


def least_size(curve: list[tuple[float, float]], goal: float = GOAL) -> tuple[float | None, str]:
    """Read off the size from which on effects are found as often as asked for.

    Parameters
    ----------
    curve
        Pairs of size and power by size.
    goal
        Power asked for.

    Returns
    -------
    size : float or None
        Interpolated in the logarithm of the size between the last size that misses the goal and the next.
    what : str
        ``interpolated``; ``at most``, where the least size reaches the goal already; ``above all`` (None),
        where the greatest does not; ``unknown`` (None) where nothing was spiked in.
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


def words(found: dict[str, Any]) -> str:
    """Say it in a few lines for the terminal."""
    lines = [
        f"spike-in: {found['spiked']} of {found['pseudo_genes']} NTC pseudo-genes got effects of known size; "
        + _words_on_calls(found)
    ]
    for days, what in ((ONE_DAY, "on one day"), (ALL_DAYS, "on all days")):
        curve = [each for each in found["by_size"] if each["days"] == days]
        if curve:
            powers = ", ".join(f"{each['size']:g}: {each['called']} of {each['n']}" for each in curve)
            least = _words_on_least(found, days)
            lines.append(f"  effects {what}, called by size in logits: {powers}; {least}")
    if notes := limits(found):
        lines.append(f"  {'; '.join(notes)}")
    return "\n".join(lines)


def figures(found: dict[str, Any]) -> dict[str, float]:
    """Give the numbers of a report by name, for MLflow."""
    plain = {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}
    powers = {f"power_{each['days']}_{each['size']:g}": each["power"] for each in found["by_size"]}
    return plain | powers


def limits(found: dict[str, Any]) -> list[str]:
    """Say what the figures cannot tell."""
    notes = []
    if found["ntc_guides"] < FEWEST_NTC_TO_JUDGE:
        notes.append(
            f"{found['ntc_guides']} NTC guides: rounds reuse the same few guides and cells, so neither the "
            "false-discovery rate nor how power varies between genes can be judged"
        )
    designs = len(found["sizes"]) * found["patterns"]
    if found["spiked"] < FEWEST_GENES * designs:
        rounds = math.ceil(FEWEST_GENES * designs * found["rounds"] / max(found["spiked"], 1))
        notes.append(f"calibration.spike_in={rounds} would give {FEWEST_GENES} pseudo-genes of each kind")
    return notes


def _power(by_gene: pd.DataFrame, size: float, days: str) -> dict[str, Any] | None:
    chosen = by_gene[(by_gene["days"] == days) & np.isclose(by_gene["size"], size)]
    if chosen.empty:
        return None
    n, called = len(chosen), int(chosen["found"].sum())
    return {"size": size, "days": days, "n": n, "called": called, **_share("power", called, n)}


def _share(name: str, count: int, n: int) -> dict[str, float | None]:
    if n == 0:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    interval = binomtest(count, n).proportion_ci(0.95)
    return {name: count / n, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def _words_on_calls(found: dict[str, Any]) -> str:
    if not found["calls"]:
        return "none of their gene-days is called"
    return (
        f"{found['false_calls']} of {found['calls']} called gene-days false "
        f"(95 % interval {found['fdr_low']:.1%} to {found['fdr_high']:.1%})"
    )


def _words_on_least(found: dict[str, Any], days: str) -> str:
    least, how = found[f"least_{days}"], found[f"least_{days}_is"]
    if least is None:
        return f"none {GOAL:.0%} of the time"
    return f"{GOAL:.0%} from {least:.2g} on" + ("" if how == "interpolated" else " or less")

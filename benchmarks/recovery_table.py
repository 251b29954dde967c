"""The rows of `benchmarks.recovery` pooled over seeds, as a table and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2

COLOURS = {
    "default": "#bbbbbb",
    "mean_field": "#ddaa33",
    "auto": "#66ccee",
    "calibrated": "#004488",
    "calibrated, gated": "#228833",
    "calibrated, bonferroni": "#ccbb44",
    "calibrated_before": "#88ccee",
    "guide_regression": "#ee6677",
    "rank_test": "#aa3377",
}
PANELS = {
    "coverage": ("coverage of 95 % intervals", (0.93, 0.97)),
    "false": ("false among called, gene-days", (0.0, 0.05)),
    "power": ("power, gene-days (| the oracle's)", None),
    "AUPRC": ("AUPRC, gene-days", None),
    "AUPRC genes": ("AUPRC, genes", None),
}


SUMMED = [
    "gene_days", "called", "true_calls", "genes", "called_genes", "true_genes", "expected_false",
    "oracle_called", "oracle_true",
]  # fmt: skip
AVERAGED = [
    "weight", "rmse_mash", "coverage", "coverage_active", "coverage_null", "coverage_mash", "auprc",
    "auprc_genes", "seconds",
]  # fmt: skip


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each design and setting, seeds pooled: sums of calls, means of the rest.

    ``promised`` is the number of false calls that the lfsr of the calls add up to, beside the 95 % interval
    of the true number (`count_interval`); ``oracle`` the power of the design's true prior on the same
    estimates.
    """
    table = table.assign(**{name: np.nan for name in {*SUMMED, *AVERAGED} - set(table.columns)})
    groups = table.groupby(["design", "setting"], sort=False)
    total = groups[SUMMED].sum(min_count=1)
    mean = groups[AVERAGED].mean()
    false = (table["called"] - table["true_calls"]).groupby([table["design"], table["setting"]], sort=False)

    def share(part: str, whole: str) -> pd.Series:
        return total[part] / total[whole].where(total[whole] > 0)

    return pd.DataFrame(
        {
            "seeds": groups.size(),
            "weight": mean["weight"],
            "coverage": mean["coverage"],
            "active": mean["coverage_active"],
            "null": mean["coverage_null"],
            "after mash": mean["coverage_mash"],
            "rmse": mean["rmse_mash"],
            "false/called": _ratio(total, "called", "true_calls"),
            "false, 95 %": false.apply(lambda counts: "{:.0f} to {:.0f}".format(*count_interval(counts))),
            "promised": total["expected_false"],
            "power": share("true_calls", "gene_days"),
            "oracle": share("oracle_true", "gene_days"),
            "oracle false": _ratio(total, "oracle_called", "oracle_true"),
            "false/called genes": _ratio(total, "called_genes", "true_genes"),
            "power genes": share("true_genes", "genes"),
            "AUPRC": mean["auprc"],
            "AUPRC genes": mean["auprc_genes"],
            "s": mean["seconds"],
        }
    )


def count_interval(counts: ArrayLike, sure: float = 0.95) -> tuple[float, float]:
    """Return the interval of the expected sum of counts, one count a screen.

    Garwood's interval of a Poisson count, widened where counts scatter more than Poisson from screen to
    screen: a gene that is called falsely is so on several days at once.
    """
    each = np.asarray(counts, dtype=float)
    total, n = each.sum(), len(each)
    excess = max(1.0, each.var(ddof=1) / each.mean()) if n > 1 and total > 0 else 1.0
    seen = total / excess
    low = chi2.ppf((1 - sure) / 2, 2 * seen) / 2 if seen > 0 else 0.0
    return float(excess * low), float(excess * chi2.ppf((1 + sure) / 2, 2 * seen + 2) / 2)


def _ratio(total: pd.DataFrame, called: str, right: str) -> list[str]:
    return [
        "" if np.isnan(c) else f"{c - r:.0f}/{c:.0f}"
        for c, r in zip(total[called], total[right], strict=True)
    ]


def plot(table: pd.DataFrame, final: Path) -> None:
    """Write a PNG of coverage, false calls, power and AUPRC from the rows of `benchmarks.recovery`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = pooled(table).reset_index()
    false = drawn["false/called"].str.split("/", expand=True).astype(float)
    drawn["false"] = false[0] / false[1].where(false[1] > 0)
    designs = list(dict.fromkeys(drawn["design"]))
    figure = Figure(figsize=(15, 1.8 + 0.36 * len(designs)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    settings = [name for name in COLOURS if name in set(drawn["setting"])]
    for axes, (column, (title, bound)) in zip(panels, PANELS.items(), strict=True):
        if bound is not None:
            axes.axvspan(*bound, color="#eeeeee", zorder=0)
        for offset, setting in zip(np.linspace(-0.3, 0.3, len(settings)), settings, strict=True):
            rows = drawn[drawn["setting"] == setting]
            place = [designs.index(design) + offset for design in rows["design"]]
            axes.plot(rows[column], place, "o", ms=5, color=COLOURS[setting], label=setting)
            if column == "power":
                axes.plot(rows["oracle"], place, "|", ms=9, color=COLOURS[setting])
        axes.set_title(title, fontsize=9)
        axes.grid(axis="y", color="#f3f3f3")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(designs)), designs)
    panels[0].set_ylim(len(designs) - 0.4, -0.6)
    handles, labels = panels[2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(settings), frameon=False)
    FigureCanvasAgg(figure).print_png(str(final))

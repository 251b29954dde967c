"""The rows of `benchmarks.recovery` pooled over seeds, as a table and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

COLOURS = {
    "default": "#bbbbbb",
    "mean_field": "#ddaa33",
    "auto": "#66ccee",
    "calibrated": "#004488",
    "calibrated, gated": "#228833",
    "calibrated, bonferroni": "#ccbb44",
    "calibrated_dead": "#000000",
    "guide_regression": "#ee6677",
    "rank_test": "#aa3377",
}
PANELS = {
    "coverage": ("coverage of 95 % intervals", (0.93, 0.97)),
    "false": ("false among called, gene-days", (0.0, 0.05)),
    "power": ("power, gene-days", None),
    "AUPRC": ("AUPRC, gene-days", None),
    "AUPRC genes": ("AUPRC, genes", None),
}


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each design and setting, seeds pooled: sums of calls, means of the rest."""
    groups = table.groupby(["design", "setting"], sort=False)
    total = groups[
        ["gene_days", "called", "true_calls", "genes", "called_genes", "true_genes", "expected_false"]
    ].sum()
    mean = groups[
        ["weight", "rmse_mash", "coverage", "coverage_mash", "auprc", "auprc_genes", "seconds"]
    ].mean()

    def share(part: str, whole: str) -> pd.Series:
        return total[part] / total[whole].where(total[whole] > 0)

    ours = mean["weight"].notna()
    return pd.DataFrame(
        {
            "seeds": groups.size(),
            "weight": mean["weight"],
            "coverage": mean["coverage"],
            "after mash": mean["coverage_mash"],
            "rmse": mean["rmse_mash"],
            "false/called": _ratio(total, "called", "true_calls"),
            "by lfsr": total["expected_false"].where(ours),
            "power": share("true_calls", "gene_days"),
            "false/called genes": _ratio(total, "called_genes", "true_genes"),
            "power genes": share("true_genes", "genes"),
            "AUPRC": mean["auprc"],
            "AUPRC genes": mean["auprc_genes"],
            "s": mean["seconds"],
        }
    )


def _ratio(total: pd.DataFrame, called: str, right: str) -> list[str]:
    return [f"{c - r:.0f}/{c:.0f}" for c, r in zip(total[called], total[right], strict=True)]


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
        axes.set_title(title, fontsize=9)
        axes.grid(axis="y", color="#f3f3f3")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(designs)), designs)
    panels[0].set_ylim(len(designs) - 0.4, -0.6)
    handles, labels = panels[2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(settings), frameon=False)
    FigureCanvasAgg(figure).print_png(str(final))

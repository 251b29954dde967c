"""Pictures of a run: the loss, and the top of the ranking. Drawn without pyplot, so no global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fatebias import names
from fatebias.discovery.ranking import CallRule, active
from fatebias.files.atomic import atomic_path

MOST_GENES = 25
LEAST_LFSR = 1e-10
SHOWN_LFSR = (0.5, 0.05, 1e-3, 1e-6)


def plot_loss(trace_csv: Path, final: Path) -> None:
    """Draw the loss by step, with its tail enlarged beside it.

    Parameters
    ----------
    trace_csv
        ``loss_trace.csv``.
    final
        Where the PNG shall stand.
    """
    trace = pd.read_csv(trace_csv)
    trace = trace[np.isfinite(trace["loss"])]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    whole, tail = figure.subplots(1, 2)
    whole.plot(trace["step"], trace["loss"], lw=0.8, color="#4477aa")
    whole.set(title="Loss", xlabel="step", ylabel="loss")
    last = trace.iloc[len(trace) // 2 :]
    window = max(1, len(last) // 20)
    tail.plot(last["step"], last["loss"], lw=0.5, color="#bbbbbb")
    tail.plot(last["step"], last["loss"].rolling(window, min_periods=1).mean(), lw=1.4, color="#4477aa")
    tail.set(title=f"Second half, and its mean over {window} steps", xlabel="step")
    for axes in (whole, tail):
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, final)


def plot_controls(z: NDArray[np.float64], final: Path) -> None:
    """Draw the z scores of NTC pseudo-genes against those of a standard normal.

    Parameters
    ----------
    z
        Scores, shape (n,).
    final
        Where the PNG shall stand.
    """
    from scipy.stats import beta, norm

    n = len(z)
    rank = np.arange(1, n + 1)
    expected = norm.ppf((rank - 0.5) / n)
    low, high = (norm.ppf(beta.ppf(at, rank, n - rank + 1)) for at in (0.025, 0.975))
    figure = Figure(figsize=(4.2, 4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(expected, low, high, color="#dddddd", lw=0, label="95 % if all is well")
    axes.plot(expected, expected, color="#888888", lw=0.8)
    axes.plot(expected, np.sort(z), ".", color="#4477aa", label="pseudo-gene and day")
    axes.set(title="NTC pseudo-genes", xlabel="z expected of no effect", ylabel="z found")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, final)


def plot_spike_in(by_size: Sequence[Mapping[str, Any]], final: Path) -> None:
    """Draw what share of known effects is called, by size, with 95 % intervals.

    Parameters
    ----------
    by_size
        Of `fatebias.checks.spike_report.report`.
    final
        Where the PNG shall stand.
    """
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0.8, color="#bbbbbb", lw=0.8, ls="--")
    for days, label, colour, shift in (
        ("one", "on one day", "#4477aa", 0.98),
        ("all", "on all days: called on any", "#cc6677", 1.02),
    ):
        curve = [each for each in by_size if each["days"] == days]
        if not curve:
            continue
        size, power, low, high = (
            np.array([each[key] for each in curve], dtype=float)
            for key in ("size", "power", "power_low", "power_high")
        )
        axes.errorbar(
            size * shift, power, [power - low, high - power], fmt="o-", ms=4, lw=1, color=colour, label=label
        )
    sizes = sorted({each["size"] for each in by_size})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set(
        title="Known effects in NTC pseudo-genes",
        xlabel="|effect|, logit",
        ylabel="share called, right sign",
        ylim=(-0.02, 1.02),
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)  # clear of the intervals
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, final)


def plot_hits(
    ranked: pd.DataFrame,
    day_labels: Sequence[str],
    rule: CallRule,
    contrast: str | None,
    reference: str | None,
    final: Path,
) -> None:
    """Draw the top of the ranking: genes by days, colour the effect, size the certainty.

    Parameters
    ----------
    ranked
        ``hits_ranked.csv``.
    day_labels
        The days' own labels, in order.
    rule
        What makes a call; rings mark called gene-days.
    contrast, reference
        The two fates that the logit is about, where known.
    final
        Where the PNG shall stand.
    """
    n_days = len(day_labels)
    top = ranked.head(MOST_GENES)
    lfsr = top[names.day_columns(names.LFSR, n_days)].to_numpy(dtype=float).ravel()
    effect = top[names.day_columns(names.POSTMEAN, n_days)].to_numpy(dtype=float).ravel()
    figure = Figure(figsize=(3.6 + 0.62 * n_days, 1.6 + 0.27 * len(top)), layout="constrained")
    axes = figure.subplots()
    day, row = (each.ravel() for each in np.meshgrid(np.arange(n_days), np.arange(len(top))))
    limit = float(np.abs(effect).max(initial=0)) or 1.0
    dots = axes.scatter(
        day,
        row,
        s=_size(lfsr),
        c=effect,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        edgecolors="#bbbbbb",
        linewidths=0.4,
        zorder=2,
    )
    called = active(top, rule).ravel()
    axes.scatter(
        day[called],
        row[called],
        s=_size(lfsr[called]),
        facecolors="none",
        edgecolors="black",
        linewidths=0.9,
        zorder=3,
    )
    hits = int(ranked[names.HIT_ANYDAY].sum())
    axes.set_title(
        f"{hits} of {len(ranked)} genes are hits ({rule.words(n_days)} on a day)", fontsize=10, loc="left"
    )
    axes.set_xticks(np.arange(n_days), [_plain(label) for label in day_labels])
    axes.set_yticks(np.arange(len(top)), [_plain(gene) for gene in top[names.GENE]], fontsize=8)
    axes.set(xlim=(-0.6, n_days - 0.4), ylim=(len(top) - 0.4, -0.6))
    axes.grid(color="#eeeeee", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    bar = figure.colorbar(
        dots, ax=axes, shrink=min(1.0, 8 / (len(top) + 1)), aspect=14, anchor=(0, 1), pad=0.03
    )
    bar.set_label(
        _plain(f"effect, logit {contrast} against {reference}") if contrast else "effect, logit", fontsize=8
    )
    bar.ax.tick_params(labelsize=8)
    figure.legend(
        handles=[
            axes.scatter([], [], s=float(_size(np.array(level))), color="#888888", label=f"{level:g}")
            for level in SHOWN_LFSR
        ],
        title="lfsr; ring: called",
        title_fontsize=8,
        fontsize=8,
        frameon=False,
        loc="outside lower left",
        ncols=len(SHOWN_LFSR),
        columnspacing=0.8,
        handletextpad=0.2,
    )
    _save(figure, final)


def _plain(label: object) -> str:
    """Keep matplotlib from reading dollar signs as mathematics."""
    return str(label).replace("$", r"\$")


def _size(lfsr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of a dot in square points."""
    return 8 + 20 * -np.log10(np.maximum(lfsr, LEAST_LFSR))


def _save(figure: Figure, final: Path) -> None:
    with atomic_path(final) as draft:
        FigureCanvasAgg(figure).print_png(str(draft), metadata={"Software": "fatebias"})

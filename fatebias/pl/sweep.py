"""Genes by settings: which hits hold whatever the settings, at one look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fatebias import names
from fatebias.files.atomic import atomic_path

FEWEST_GENES, MOST_GENES = 10, 40
LEAST_LFSR = 1e-10


def plot_sweep(stability: pd.DataFrame, ranked: Mapping[str, pd.DataFrame], final: Path) -> None:
    """Draw signed -log10 lfsr of the genes that are hits anywhere, under each setting; a dot marks a hit.

    Parameters
    ----------
    stability
        ``hit_stability.csv``, whose order is that of the rows.
    ranked
        Name of a setting to its ``hits_ranked.csv``; their order is that of the columns.
    final
        Where the PNG shall stand.
    """
    shown = min(MOST_GENES, max(FEWEST_GENES, int((stability["hit_share"] > 0).sum())))
    genes = list(stability["gene"].head(shown))
    signed = np.full((len(genes), len(ranked)), np.nan)
    hit = np.zeros(signed.shape, dtype=bool)
    for column, ranking in enumerate(ranked.values()):
        by_gene = ranking.set_index(names.GENE).reindex(genes)
        for row, (_, gene) in enumerate(by_gene.iterrows()):
            if pd.isna(gene[names.LFSR_MIN]):  # this run did not judge it
                continue
            effect = float(gene[f"{names.POSTMEAN}{int(gene[names.BEST_DAY])}"])
            lfsr = max(float(gene[names.LFSR_MIN]), LEAST_LFSR)
            signed[row, column] = np.sign(effect) * -np.log10(lfsr)
            hit[row, column] = bool(gene[names.HIT_ANYDAY])
    longest = max(map(len, ranked))
    figure = Figure(
        figsize=(3.0 + 0.34 * len(ranked), 0.8 + 0.22 * len(genes) + 0.065 * longest), layout="constrained"
    )
    axes = figure.subplots()
    limit = float(np.nanmax(np.abs(signed), initial=1.0))
    image = axes.imshow(signed, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    rows, columns = np.nonzero(hit)
    axes.scatter(columns, rows, s=9, color="black", linewidths=0)
    axes.set_yticks(range(len(genes)), genes, fontsize=7)
    axes.set_xticks(range(len(ranked)), list(ranked), rotation=90, fontsize=7)
    axes.set_title("Hits (dots) by setting", fontsize=9, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 8 / (len(genes) + 1)), anchor=(0, 1), pad=0.03)
    bar.set_label("sign of the effect × −log10 lfsr", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    with atomic_path(final) as draft:
        FigureCanvasAgg(figure).print_png(str(draft), metadata={"Software": "fatebias"})

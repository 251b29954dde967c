"""The runs of a sweep side by side: genes by settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

FEWEST_GENES, MOST_GENES = 10, 40
LEAST_LFSR = 1e-10  # colours of surer effects are no darker


def sweep(stability: pd.DataFrame, ranked: Mapping[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw how sure each gene's effect is under each setting of a sweep and return the Axes.

    Colour is -log10 of the gene's least lfsr with the sign of its effect on that day; a dot marks a hit.
    Drawn are the genes that are hits under any setting, at least 10 and at most 40.

    Parameters
    ----------
    stability
        ``hit_stability.csv``: ``gene`` and ``hit_share``, in the order of the rows to draw.
    ranked
        The name of each setting and its ``hits_ranked.csv``, in the order of the columns to draw.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Genes from top to bottom, settings from left to right; white where a run did not test the gene.

    Examples
    --------
    >>> import pandas as pd
    >>> from fatebias import pl
    >>> run = pd.DataFrame(
    ...     {
    ...         "gene": ["PAX6", "SOX2"],
    ...         "postmean_d0": [-1.0, 0.1],
    ...         "lfsr_min": [1e-6, 0.6],
    ...         "best_day": [0, 0],
    ...         "hit_anyday": [True, False],
    ...     }
    ... )
    >>> stability = pd.DataFrame({"gene": ["PAX6", "SOX2"], "hit_share": [1.0, 0.0]})
    >>> ax = pl.sweep(stability, {"seed=0": run, "seed=1": run})
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['seed=0', 'seed=1']
    """
    import numpy as np

    from fatebias.pl.save import new_axes

    shown = min(MOST_GENES, max(FEWEST_GENES, int((stability["hit_share"] > 0).sum())))
    genes = list(stability["gene"].head(shown))
    signed, hit = _certainty(genes, ranked)
    if ax is None:
        longest = max(map(len, ranked))
        ax = new_axes(3.0 + 0.34 * len(ranked), 0.8 + 0.22 * len(genes) + 0.065 * longest)
    limit = float(np.nanmax(np.abs(signed), initial=1.0))
    image = ax.imshow(signed, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    rows, columns = np.nonzero(hit)
    ax.scatter(
        columns, rows, s=12, color="black", edgecolors="white", linewidths=0.6
    )  # seen on dark cells, too
    ax.set_yticks(range(len(genes)), genes, fontsize=7)
    ax.set_xticks(range(len(ranked)), list(ranked), rotation=90, fontsize=7)
    ax.set_title("Hits (dots) by setting", fontsize=9, loc="left")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=min(1.0, 8 / (len(genes) + 1)), anchor=(0, 1), pad=0.03)
    bar.set_label("sign of the effect × −log10 lfsr", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    return ax


def _certainty(
    genes: list[str], ranked: Mapping[str, pd.DataFrame]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return signed -log10 lfsr and which are hits, both (genes, settings)."""
    import numpy as np
    import pandas as pd

    from fatebias import names

    signed = np.full((len(genes), len(ranked)), np.nan)
    hit = np.zeros(signed.shape, dtype=bool)
    for column, ranking in enumerate(ranked.values()):
        by_gene = ranking.set_index(names.GENE).reindex(genes)
        for row, (_, gene) in enumerate(by_gene.iterrows()):
            if pd.isna(gene[names.LFSR_MIN]):  # this run did not test it
                continue
            effect = float(gene[f"{names.POSTMEAN}{_best_day(gene)}"])
            lfsr = max(float(gene[names.LFSR_MIN]), LEAST_LFSR)
            signed[row, column] = np.sign(effect) * -np.log10(lfsr)
            hit[row, column] = bool(gene[names.HIT_ANYDAY])
    return signed, hit


def _best_day(gene: pd.Series) -> int:
    """Return the number of a gene's best day: as the table has it, or the day of the least lfsr."""
    from fatebias import names

    if not isinstance(gene[names.BEST_DAY], str):
        return int(gene[names.BEST_DAY])
    days = (str(column).removeprefix(names.LFSR) for column in gene.index)
    return min((int(day) for day in days if day.isdigit()), key=lambda day: float(gene[f"{names.LFSR}{day}"]))

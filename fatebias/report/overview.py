"""The pictures of all genes: heatmaps, volcanoes, evidence against cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fatebias.report.charts import effects
from fatebias.report.content import Chart, ContrastResults, Gene, Section
from fatebias.report.text import count, plain

MOST_ROWS = 60  # genes of the first heatmap; the others are in a second one
FULL_COLOUR = 0.95  # this share of the calls has a paler colour than the fullest


def overview(
    contrasts: Sequence[ContrastResults], genes: Mapping[str, Gene], day_labels: Sequence[str]
) -> Section:
    """Return the pictures of all genes."""
    volcanoes = [
        Chart(
            f"Effect and certainty by day, {contrast.title}",
            "Each dot is a gene. To the right: its knockdown pushes cells towards "
            f"{contrast.fate}; to the left: towards {contrast.against}. The higher, the surer of the "
            "direction. Coloured dots are called; all panels of all contrasts have the same scales. Click a "
            "dot for its card.",
            tuple(panels),
        )
        for contrast, panels in zip(contrasts, effects.volcano(contrasts, day_labels), strict=True)
    ]
    top, *rest = _heatmaps(contrasts, day_labels)
    charts = [top]
    if (drawn := effects.evidence(contrasts[0], genes)) is not None:
        charts.append(
            Chart(
                "Evidence against number of cells",
                "A gene without a call at the left may have too few cells to show an effect; at the right "
                "the screen had a fair chance. The card of each gene that is not called says how large an "
                "effect would have been called.",
                (drawn,),
            )
        )
    charts += [*rest, *volcanoes]
    return Section("genes", "All genes", "", tuple(charts))


def _heatmaps(contrasts: Sequence[ContrastResults], day_labels: Sequence[str]) -> list[Chart]:
    first = contrasts[0]
    hits = {gene for each in contrasts for gene in each.hit_names}
    shown = [gene for gene in first.genes if gene in hits][:MOST_ROWS]
    sizes = np.concatenate([np.abs(each.postmean).ravel() for each in contrasts])
    calls = np.concatenate([np.abs(each.postmean[each.called]) for each in contrasts])
    limit = float(np.quantile(calls, FULL_COLOUR)) if calls.size else float(sizes.max(initial=0))
    limit = limit or 1.0
    reading = (
        "Vermilion: towards the first fate; blue: away from it; full colour at "
        f"{plain(limit, 2)} logits and beyond. A dot marks a call."
    )
    found = []
    if shown:
        title = (
            "Hits by day" if len(shown) == len(hits) else f"The first {len(shown)} of {len(hits)} hits by day"
        )
        found.append(Chart(title, reading, (effects.heatmap(contrasts, day_labels, shown, limit),)))
    rest = [gene for gene in first.genes if gene not in set(shown)]
    if rest:
        hidden = len(hits) - len(shown)
        also = f"the other {count(hidden, 'hit')} and " if hidden else ""
        title = f"{also}{count(len(rest) - hidden, 'gene')} without a call, by day"
        title = title[:1].upper() + title[1:]
        drawn = effects.heatmap(contrasts, day_labels, rest, limit)
        found.append(Chart(title, reading, (drawn,), folded=True))
    return found

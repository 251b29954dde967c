"""The pictures of all genes: heatmaps, volcanoes, evidence against cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fatebias.pl._composition import Compositions, compositions
from fatebias.report.charts import composition, effects
from fatebias.report.content import Chart, ContrastResults, Gene, Section, Table
from fatebias.report.run_files import RunFiles
from fatebias.report.text import count, plain

MOST_ROWS = 60  # genes of the first heatmap; the others are in a second one
MOST_GUIDE_ROWS, FEWEST_ROWS = 40, 10  # genes whose guides are shown; with no hits the surest ones
TRIANGLE = 3  # fates that a triangle has room for
MEANS = (
    "As they are over the cells that carry a guide of the gene: other guides in these cells, days and "
    "replicates are not taken out, as they are from the effects. Genes with fewer than 10 cells are left out."
)
FULL_COLOUR = 0.95  # this share of the calls has a paler colour than the fullest


def overview(
    run: RunFiles,
    contrasts: Sequence[ContrastResults],
    genes: Mapping[str, Gene],
    day_labels: Sequence[str],
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
    heatmaps = _heatmaps(contrasts, day_labels)
    charts = [each for each in heatmaps if not each.folded]
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
    hits = list(dict.fromkeys(gene for each in contrasts for gene in each.hit_names))
    means = None if run.screen is None else compositions(run.screen)
    tables: tuple[Table, ...] = ()
    if means is not None and len(means.fates) == TRIANGLE:
        charts.append(_triangle(means, hits, contrasts[0]))
    elif means is not None:
        tables = (_mean_table(means, hits),)
    charts += _guides(contrasts[0], genes, day_labels)
    charts += [*(each for each in heatmaps if each.folded), *volcanoes]
    return Section("genes", "All genes", "", tuple(charts), tables)


def _triangle(means: Compositions, hits: Sequence[str], own: ContrastResults) -> Chart:
    cards = {gene: f"0-{g}" for g, gene in enumerate(own.genes)}
    return Chart(
        "Mean fate probabilities of each gene\N{RIGHT SINGLE QUOTATION MARK}s cells",
        f"{MEANS} A dot nearer to a corner: more of that fate. The cross is the mean of all cells; coloured "
        "dots are hits of any contrast; larger dots have more cells. The triangle is cut to where genes are: "
        "its edges give the percentage along each line.",
        (composition.triangle(means, hits, cards),),
    )


def _mean_table(means: Compositions, hits: Sequence[str]) -> Table:
    place = {gene: g for g, gene in enumerate(means.genes)}
    shown = [gene for gene in hits if gene in place][:MOST_ROWS]
    rows = [("all cells", "", *(f"{100 * share:.1f}" for share in means.everyone))]
    rows += [
        (gene, f"{means.cells[place[gene]]:,}", *(f"{100 * share:.1f}" for share in means.share[place[gene]]))
        for gene in shown
    ]
    title = "Mean fate probabilities of the hits\N{RIGHT SINGLE QUOTATION MARK} cells, percent"
    return Table(title, ("", "cells", *means.fates), tuple(rows), MEANS)


def _guides(own: ContrastResults, genes: Mapping[str, Gene], day_labels: Sequence[str]) -> list[Chart]:
    """Return the guides of the hits, or of the surest genes where there are none."""
    wanted = np.flatnonzero(own.hits) if own.hits.any() else np.arange(min(FEWEST_ROWS, len(own.genes)))
    shown = [int(g) for g in wanted if genes[own.genes[g]].guides][:MOST_GUIDE_ROWS]
    if not shown:
        return []
    reading = (
        "Beside each gene is its surest day. Bar: the 95 % interval of the gene on that day, before days "
        "share strength. Dots: each guide\u2019s own "
        "estimate; vermilion where it has the other direction, hollow where the guide probably does nothing. "
        "The model draws guides towards their gene: one that differs says more than many that agree."
    )
    return [
        Chart("Do the guides of a gene agree?", reading, (composition.guides(own, genes, shown, day_labels),))
    ]


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

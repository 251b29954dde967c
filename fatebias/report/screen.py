"""The section on the screen: what was read, and what was dropped and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fatebias.report.charts import checks
from fatebias.report.content import Chart, Section, Table
from fatebias.report.run_files import RunFiles
from fatebias.report.text import count, listed, plain


def screen(run: RunFiles) -> Section | None:
    """Return what was read and what was dropped; None where the run kept no summary."""
    if run.screen is None:
        return None
    found = run.screen
    held = checks.bars(
        found["guides_per_cell"]["cells_by_number"],
        title="Guides in a cell",
        x_label="guides in the cell",
        y_label="cells",
    )
    notes = [*_lost(found), *map(str, [*found["warnings"], *found["notes"]])]
    return Section(
        "screen",
        "The screen",
        f"Read from {found['source']}; guide map {found['guide_map']}.",
        (
            Chart("Guides a cell", "A cell with several guides counts for each of their genes.", (held,)),
            *_threshold(found.get("guide_counts")),
        ),
        (Table("What was read", ("", ""), tuple(_read(found))), _cells(found["cells_by_day_and_replicate"])),
        tuple(notes),
    )


def _threshold(counts: Mapping[str, Any] | None) -> Iterator[Chart]:
    """Yield the counts of the guide matrix with the threshold; none where it held calls."""
    if counts is None:
        return
    above = f"above {plain(counts['threshold'])}"
    yield Chart(
        "Guide counts and the threshold",
        f"Entries of the guide matrix by their count (UMIs). A guide is present {above}, "
        "right of the dashed line. Well chosen, the line lies in the valley between ambient molecules at "
        "the left and guides at the right (data.guide_threshold).",
        (checks.thresholds(counts),),
    )


def _read(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cells, guides, held = found["cells"], found["guides"], found["guides_per_cell"]
    shares = [f"{fate} {share:.1%}" for fate, share in found["fates"]["mean_probability"].items()]
    per_gene = sorted(entry["cells"] for entry in found["genes"]["guides_and_cells"].values())
    yield "Cells", f"{cells['kept']:,} of {cells['in_file']:,} in the file"
    yield "Fates", f"{', '.join(shares)} on average"
    yield (
        "Genes",
        f"{found['genes']['number']:,}; cells a gene {per_gene[0]:,} to {per_gene[-1]:,}, median "
        f"{plain(float(np.median(per_gene)))}",
    )
    yield (
        "Guides",
        f"{guides['targeting']:,} targeting, {guides['ntc']:,} NTC ({guides['ntc_share']:.1%} of "
        f"{guides['assignments']:,} assignments)",
    )
    yield "Guides a cell", f"mean {held['mean']:.2f}, most {held['most']}"


def _lost(found: Mapping[str, Any]) -> Iterator[str]:
    """Say what was left out."""
    for reason, number in found["cells"]["dropped"].items():
        yield f"{number:,} cells dropped: {reason}"
    guides = found["guides"]
    for noun, words, which in (
        ("guide", "of the map without a column", guides["without_column"]),
        ("guide", "of the matrix that the map lacks", guides["ignored_not_in_map"]),
        ("gene", "without cells", found["genes"]["without_cells"]),
    ):
        if which:
            yield f"{count(len(which), noun)} {words}: {listed([str(each) for each in which])}"


def _cells(by_rep: Mapping[str, Mapping[str, int]]) -> Table:
    reps = list(next(iter(by_rep.values())))
    rows = tuple((str(day), *(f"{row[rep]:,}" for rep in reps)) for day, row in by_rep.items())
    return Table("Cells by day and replicate", ("day", *map(str, reps)), rows)

"""Sections after the hits: all genes, calibration, convergence, the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fatebias import names
from fatebias.report.charts import checks, effects
from fatebias.report.content import Chart, ContrastResults, Gene, Section, Table
from fatebias.report.run_files import RunFiles
from fatebias.report.text import DASH, count, listed, plain

MOST_ROWS = 60  # genes of the first heatmap; all of them are in a second one
FULL_COLOUR = 0.95  # this share of effects has a paler colour than the fullest


def overview(
    contrasts: Sequence[ContrastResults], genes: Mapping[str, Gene], day_labels: Sequence[str]
) -> Section:
    """Return the pictures of all genes."""
    volcanoes = [
        Chart(
            f"Effect and certainty by day, {contrast.title}",
            "Each dot is a gene. To the right: its knockdown pushes cells towards "
            f"{contrast.fate}; to the left: towards {contrast.against}. The higher, the surer of the direction. "
            "Coloured dots are called; all panels of all contrasts have the same scales. Click a dot for its card.",
            tuple(panels),
        )
        for contrast, panels in zip(contrasts, effects.volcano(contrasts, day_labels), strict=True)
    ]
    charts = [*_heatmaps(contrasts, day_labels), *volcanoes]
    if (drawn := effects.evidence(contrasts[0], genes)) is not None:
        charts.append(
            Chart(
                "Evidence against number of cells",
                "A gene without a call at the left may have too few cells to show an effect; at the right the "
                "screen had a fair chance. The card of each gene that is not called says how large an effect "
                "would have been called.",
                (drawn,),
            )
        )
    return Section("genes", "All genes", "", tuple(charts))


def _heatmaps(contrasts: Sequence[ContrastResults], day_labels: Sequence[str]) -> list[Chart]:
    first = contrasts[0]
    hits = {each.genes[g] for each in contrasts for g in each.hits.nonzero()[0]}
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
        title = f"The other {count(len(rest), 'gene')} by day"
        found.append(Chart(title, reading, (effects.heatmap(contrasts, day_labels, rest, limit),)))
    return found


def calibration(run: RunFiles, n_days: int) -> Section | None:
    """Return what the checks say of the errors; None where nothing was checked."""
    charts, tables, notes = [], [], []
    if run.controls is not None and len(run.controls):
        z = np.column_stack(
            [
                run.controls[f"{names.BETAHAT}{d}"].to_numpy() / run.controls[f"{names.SE}{d}"].to_numpy()
                for d in range(n_days)
            ]
        )
        charts.append(
            Chart(
                "Negative controls",
                "Guides that target nothing (NTC), grouped into pseudo-genes: their z scores (estimate over "
                "standard error) should follow the line, within the grey band. Steeper than the line: errors "
                "are too small, calls may be false. Flatter: errors are too large, effects may be missed.",
                (checks.quantiles(z),),
            )
        )
    if run.calibration and any(each.get("weight") for each in run.calibration.get("estimates", {}).values()):
        charts.append(
            Chart(
                "How much a soft label counts",
                "The weight that the scatter of labels suggests, by each method with its interval where it has "
                "one, and by day. The dashed line is the weight that was used: left of the dots effects are "
                "missed, right of them calls may be false.",
                (checks.weights(run.calibration, run.fit.get("likelihood_weight")),),
            )
        )
    if by_size := (run.stage("spike_in").get("report") or {}).get("by_size"):
        charts.append(
            Chart(
                "Power",
                "Effects of known size were put into NTC pseudo-genes. Dots: the share that was called with the "
                "right sign, with 95 % intervals; the dashed line is 80 %.",
                tuple(checks.power(by_size)),
            )
        )
    if run.calibration and run.calibration.get("scatter"):
        tables.append(_scatter(run.calibration["scatter"]))
    for stage in ("controls", "spike_in", "heldout", "resample", "commitment"):
        notes += str(run.stage(stage).get("words", "")).splitlines()
    if not (charts or tables or notes):
        return None
    intro = "Whether standard errors and calls can be believed."
    return Section(
        "calibration", "Controls and calibration", intro, tuple(charts), tuple(tables), tuple(notes)
    )


def _scatter(scatter: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    fates = list(next(iter(scatter.values())))
    rows = tuple(
        (str(day), *(_interval(found[fate]) if fate in found else DASH for fate in fates))
        for day, found in scatter.items()
    )
    return Table(
        "Weight by day and fate",
        ("day", *map(str, fates)),
        rows,
        "The weight that the scatter of this fate's labels alone suggests, with its 99 % interval. Rows that "
        "differ much say that one weight for all days is wrong; the recommended settings weigh each day by itself.",
    )


def _interval(found: Mapping[str, float]) -> str:
    return f"{plain(found['weight'])} ({plain(found['low'])} to {plain(found['high'])})"


def convergence(run: RunFiles) -> Section | None:
    """Return what the fit says of itself; None where there is no fit."""
    if not run.fit:
        return None
    charts: tuple[Chart, ...] = ()
    if run.loss is not None and len(run.loss) > 1:
        panels = checks.loss(run.loss["step"].to_numpy(dtype=float), run.loss["loss"].to_numpy(dtype=float))
        reading = "A fit that has converged is level in the second half, up to the noise of single steps."
        charts = (Chart("Loss", reading, tuple(panels)),) if panels else ()
    diagnostics: dict[str, Any] = run.fit.get("diagnostics", {})
    rows = tuple(
        (name, plain(float(diagnostics[key])), reading)
        for key, name, reading in FIGURES
        if isinstance(diagnostics.get(key), (int, float)) and not isinstance(diagnostics.get(key), bool)
    )
    table = Table("Figures", ("figure", "value", "how to read it"), rows)
    warnings = [f"Not converged: {each}" for each in run.fit.get("warnings", [])]
    intro = "No diagnostic speaks against the fit." if not warnings else "Read this before the hits."
    return Section("convergence", "Convergence", intro, charts, (table,) if rows else (), tuple(warnings))


FIGURES = (
    (
        "loss_drift",
        "loss_drift",
        "nats by which the loss still fell in the last quarter of the steps; near 0",
    ),
    ("k_hat_max", "k-hat, highest", "above 0.7 a gene's posterior is not normal"),
    ("k_hat_above_0.7", "genes with k-hat above 0.7", "0, or look at those genes with care"),
    (
        "export_k_hat_max",
        "k-hat of exported effects, highest",
        "the same for the effects that mash was given",
    ),
    ("export_k_hat_above_0.7", "genes with exported k-hat above 0.7", "0, or look at those genes with care"),
    ("laplace_gradient_norm", "gradient at the mode", "near 0"),
    ("scale_points_used", "points for the scales", "below 4 the draws rest on too few"),
    ("r_hat_max", "R-hat, highest", "below 1.01 chains agree"),
    ("ess_min", "effective sample size, least", "in the hundreds or more"),
    ("nuts_divergences", "divergences", "0"),
)


def screen(run: RunFiles, day_labels: Sequence[str]) -> Section | None:
    """Return what was read and what was dropped; None where the run kept no summary."""
    if run.screen is None:
        return None
    found = run.screen
    cells, guides, fates = found["cells"], found["guides"], found["fates"]
    dropped = [f"{number:,} cells dropped: {reason}" for reason, number in cells["dropped"].items()]
    per_gene = sorted(entry["cells"] for entry in found["genes"]["guides_and_cells"].values())
    rows = [
        ("Cells", f"{cells['kept']:,} of {cells['in_file']:,} in the file"),
        ("Fates", ", ".join(f"{fate} {share:.1%}" for fate, share in fates["mean_probability"].items()) + " on average"),
        ("Genes", f"{found['genes']['number']:,}; cells a gene {per_gene[0]:,} to {per_gene[-1]:,}, median "
                  f"{plain(float(np.median(per_gene)))}"),
        ("Guides", f"{guides['targeting']:,} targeting, {guides['ntc']:,} NTC ({guides['ntc_share']:.1%} of "
                   f"{guides['assignments']:,} assignments)"),
        ("Guides a cell", f"mean {found['guides_per_cell']['mean']:.2f}, most {found['guides_per_cell']['most']}"),
    ]  # fmt: skip
    lost = [
        (f"{count(len(guides['without_column']), 'guide')} of the map without a column", guides["without_column"]),
        (f"{count(len(guides['ignored_not_in_map']), 'guide')} of the matrix not in the map",
         list(guides["ignored_not_in_map"])),
        (f"{count(len(found['genes']['without_cells']), 'gene')} without cells", found["genes"]["without_cells"]),
    ]  # fmt: skip
    dropped += [f"{words}: {listed([str(each) for each in which])}" for words, which in lost if which]
    by_rep = found["cells_by_day_and_replicate"]
    reps = list(next(iter(by_rep.values())))
    table = Table(
        "Cells by day and replicate",
        ("day", *map(str, reps)),
        tuple((str(day), *(f"{row[rep]:,}" for rep in reps)) for day, row in by_rep.items()),
    )
    held = checks.bars(
        found["guides_per_cell"]["cells_by_number"],
        title="Guides in a cell",
        x_label="guides in the cell",
        y_label="cells",
    )
    return Section(
        "screen",
        "The screen",
        f"Read from {found['source']}; guide map {found['guide_map']}.",
        (Chart("Guides a cell", "A cell with several guides counts for each of their genes.", (held,)),),
        (Table("What was read", ("", ""), tuple(rows)), table),
        tuple([*dropped, *map(str, [*found["warnings"], *found["notes"]])]),
    )

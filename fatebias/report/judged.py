"""The sections on calibration and convergence: whether errors, calls and the fit can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fatebias import names
from fatebias.report.charts import checks
from fatebias.report.content import Chart, Section, Table
from fatebias.report.resampled import apart_table, refit_table, shuffle_table
from fatebias.report.run_files import RunFiles
from fatebias.report.text import DASH, plain

SETTLED_NATS = 1.0  # as fatebias.inference.diagnostics has it, which needs torch

CHECKS = ("controls", "spike_in", "heldout", "commitment")  # whose closing lines are notes
FIGURES = (
    (
        "loss_drift",
        "loss drift",
        "nats by which the loss still fell in the last quarter of the steps; near 0",
    ),
    ("k_hat_max", "Pareto k-hat, highest", "above 0.7 a gene's posterior is not the normal one assumed"),
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


def calibration(run: RunFiles, n_days: int) -> Section | None:
    """Return what the checks say of the errors; None where nothing was checked."""
    charts = [chart for chart in (_controls(run, n_days), _weight(run), _power(run)) if chart is not None]
    resampled = run.stage("resample").get("report") or {}
    wanted = (_scatter(run), refit_table(resampled), apart_table(resampled), shuffle_table(run.shuffles))
    tables = tuple(table for table in wanted if table is not None)
    words = [str(run.stage(stage).get("words", "")).splitlines() for stage in CHECKS]
    notes = tuple(line.strip() for lines in words for line in lines)
    notes += tuple(f"{name}: {found['note']}" for name, found in resampled.items() if found.get("note"))
    if not (charts or tables or notes):
        return None
    intro = "Whether standard errors and calls can be believed."
    return Section("calibration", "Controls and calibration", intro, tuple(charts), tables, notes)


def _controls(run: RunFiles, n_days: int) -> Chart | None:
    if run.controls is None or not len(run.controls):
        return None
    betahat, se = (
        run.controls[names.day_columns(prefix, n_days)].to_numpy(dtype=float)
        for prefix in (names.BETAHAT, names.SE)
    )
    return Chart(
        "Negative controls",
        "Guides that target nothing (NTC), grouped into pseudo-genes: their z scores (estimate over standard "
        "error) should follow the line, within the grey band. Steeper than the line: errors are too small, "
        "calls may be false. Flatter: errors are too large, effects may be missed.",
        (checks.quantiles(np.asarray(betahat / se)),),
    )


def _weight(run: RunFiles) -> Chart | None:
    found = run.calibration
    if not found or not any(each.get("weight") for each in found.get("estimates", {}).values()):
        return None
    return Chart(
        "How much a soft label counts",
        "The weight that the scatter of labels suggests, by each method with its interval where it has one, "
        "and by day. The dashed line is the weight that was used: left of the dots effects are missed, right "
        "of them calls may be false.",
        (checks.weights(found, run.fit.get("likelihood_weight")),),
    )


def _power(run: RunFiles) -> Chart | None:
    by_size = (run.stage("spike_in").get("report") or {}).get("by_size")
    if not by_size:
        return None
    return Chart(
        "Power",
        "Effects of known size were put into NTC pseudo-genes. Dots: the share that was called with the "
        "right sign, with 95 % intervals; the dashed line is 80 %.",
        tuple(checks.power(by_size)),
    )


def _scatter(run: RunFiles) -> Table | None:
    scatter: Mapping[str, Mapping[str, Mapping[str, float]]] = (run.calibration or {}).get("scatter") or {}
    if not scatter:
        return None
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
        "differ much say that one weight for all days is wrong; likelihood_weight=auto weighs each day.",
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
        reading = "A fit that has converged is level in the second half, up to the noise of single steps. "
        reading += loss_verdict(run) or ""
        charts = (Chart("Loss", reading, tuple(panels)),) if panels else ()
    diagnostics: dict[str, Any] = run.fit.get("diagnostics", {})
    rows = tuple(
        (name, plain(float(diagnostics[key])), reading)
        for key, name, reading in FIGURES
        if isinstance(diagnostics.get(key), (int, float)) and not isinstance(diagnostics.get(key), bool)
    )
    table = Table("Diagnostics", ("diagnostic", "value", "how to read it"), rows)
    warnings = [f"Not converged: {each}" for each in run.fit.get("warnings", [])]
    notes = [str(each) for each in [*run.fit.get("notes", []), *run.discovery.get("notes", [])]]
    intro = "No diagnostic speaks against the fit." if not warnings else "Read this before the hits."
    tables = (table,) if rows else ()
    return Section("convergence", "The fit", intro, charts, tables, (*warnings, *notes))


def loss_verdict(run: RunFiles) -> str | None:
    """Return when the fit was judged, and why it counts as converged or not; None without a loss."""
    if run.loss is None or not len(run.loss):
        return None
    figures: dict[str, Any] = run.fit.get("diagnostics", {})
    most = run.fit.get("settings", {}).get("inference", {}).get("num_steps")
    early = "svi_steps" in figures and most is not None and figures["svi_steps"] < most
    told = [
        f"Judged after {len(run.loss):,} steps"
        + (f" of at most {most:,}: the loss was level" if early else "")
    ]
    if (drift := figures.get("loss_drift")) is not None:
        error = figures.get("loss_drift_error")
        spread = "" if error is None else f" \N{PLUS-MINUS SIGN} {plain(float(error), 2)}"
        told.append(
            f"in their last quarter the mean loss was {plain(abs(float(drift)), 2)}{spread} nats "
            f"{'below' if drift > 0 else 'above'} that of the quarter before (settled: less than "
            f"{SETTLED_NATS:g} below, or than three standard errors)"
        )
    if (gradient := figures.get("laplace_gradient_norm")) is not None:
        told.append(f"gradient at the mode {plain(float(gradient), 2)}")
    if (r_hat := figures.get("r_hat_max")) is not None:
        told.append(f"R-hat up to {float(r_hat):.3f}")
    if "warnings" in run.fit:
        told.append("not converged, see the notes" if run.fit["warnings"] else "converged")
    return "; ".join(told) + "."

"""What to do next, where something speaks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fatebias.report.command import changed, discover_again
from fatebias.report.content import Advice, ContrastResults, Gene
from fatebias.report.run_files import RunFiles
from fatebias.report.text import count, listed, plain
from fatebias.report.verdict import as_sentence, preset, weight_is_off

FEWEST_CELLS = 30  # of a gene on a day: with fewer little can be said
FEW_NTC = 8
MOST_CALLED = 0.05  # share of pseudo-genes without effect that calls at lfsr 0.05 may hold
CALIBRATED = "calibrated"
LENGTHS = ("max_rounds", "num_steps", "num_warmup", "num_samples")  # settings of how long a fit runs


def what_next(
    run: RunFiles,
    contrasts: Sequence[ContrastResults],
    genes: Mapping[str, Gene],
    day_labels: Sequence[str],
) -> tuple[Advice, ...]:
    """Return advice, the most important first."""
    return tuple(
        [
            *_not_converged(run),
            *_weight(run),
            *_controls(run),
            *_other_fates(run, contrasts),
            *_no_ntc(run),
            *_few_cells(genes, day_labels),
            *_one_replicate(run),
        ]
    )


def _not_converged(run: RunFiles) -> Iterator[Advice]:
    warnings = run.fit.get("warnings", [])
    if not warnings:
        return
    now = run.asked.get("inference", {})
    named = [key for key in LENGTHS if f"inference.{key}" in " ".join(warnings) and now.get(key)]
    more = [(f"inference.{key}", 2 * now[key]) for key in named]
    told = " ".join(map(as_sentence, warnings))
    yield Advice("The fit has not converged.", told, changed(run, *more, folder="longer") if more else "")


def _weight(run: RunFiles) -> Iterator[Advice]:
    off = weight_is_off(run)
    if off is None:
        return
    factor = plain(off if off > 1 else 1 / off, 2)
    what = (
        f"Soft labels count {factor} times too little here, judged by their scatter: effects are missed."
        if off > 1
        else f"Soft labels count {factor} times too much here, judged by their scatter: calls may be false."
    )
    if preset(run) == CALIBRATED:
        command = changed(run, ("likelihood_weight", "auto"), folder="auto")
    else:
        command = changed(run, ("experiment", CALIBRATED), folder=CALIBRATED)
    yield Advice(what, "Run it with the weight from the data:", command)


def _controls(run: RunFiles) -> Iterator[Advice]:
    """Repeat what the calibration check advises, but for the preset, which `_weight` advises already."""
    report = run.stage("controls").get("report") or {}
    low = max((report.get(f"{name}_low") or 0 for name in ("z_sd", "day_difference_sd")), default=0)
    called, n = report.get("called") or 0, report.get("pseudo_genes") or 0
    if low <= 1:
        if called > MOST_CALLED * n:
            yield Advice(
                f"{called} of {n} NTC pseudo-genes {'is' if called == 1 else 'are'} called without any "
                "effect: calls of genes may be false, too.",
                "Believe hits whose lfsr is far below those in controls.csv.",
            )
        return
    why = "Estimates of NTC pseudo-genes scatter more than their standard errors say: calls may be false."
    if report.get("weight_from_data"):
        command = changed(run, ("calibration.method", "controls"), folder="controls")
        yield Advice(why, "Take the weight of soft labels from the NTC guides:", command)
    elif weight_is_off(run) is None:
        command = changed(run, ("experiment", CALIBRATED), folder=CALIBRATED)
        yield Advice(why, "Run it with the recommended settings:", command)


def _other_fates(run: RunFiles, contrasts: Sequence[ContrastResults]) -> Iterator[Advice]:
    fates = [str(fate) for fate in run.fit.get("screen", {}).get("fates", [])]
    judged = {each.fate for each in contrasts if fates and each.against == fates[0]}
    missing = [fate for fate in fates[1:] if fate not in judged]
    if not missing or not run.paths.posterior.is_file():
        return
    further = [each.name for each in contrasts if not each.own]
    yield Advice(
        f"{listed(missing)} against {fates[0]} {'was' if len(missing) == 1 else 'were'} not judged: genes "
        "that act there alone are not in the table.",
        "Judge the same fit for that, too:",
        discover_again(run, ("discovery.contrasts", [*further, *missing])),
    )


def _no_ntc(run: RunFiles) -> Iterator[Advice]:
    if run.screen is None:
        return
    n = int(run.screen["guides"]["ntc"])
    if not n:
        yield Advice(
            "The screen has no NTC guides: effects are against the average gene at best, and no control "
            "shows how many calls are false.",
            "Mark non-targeting guides in the guide map (is_ntc), if there are any.",
        )
    elif n < FEW_NTC:
        yield Advice(
            f"The screen has {count(n, 'NTC guide')}: the negative controls tell little.",
            "Mark all non-targeting and safe-harbour guides in the guide map (is_ntc).",
        )


def _few_cells(genes: Mapping[str, Gene], day_labels: Sequence[str]) -> Iterator[Advice]:
    few = {
        label: [
            gene.name for gene in genes.values() if gene.cells_by_day and gene.cells_by_day[d] < FEWEST_CELLS
        ]
        for d, label in enumerate(day_labels)
    }
    words = [f"{count(len(found), 'gene')} on {label}" for label, found in few.items() if found]
    if words:
        yield Advice(
            f"Fewer than {FEWEST_CELLS} cells carry a guide of the gene: {listed(words)}.",
            "A gene that is not called there may well act: its card shows the least effect that would have "
            "been called.",
        )


def _one_replicate(run: RunFiles) -> Iterator[Advice]:
    if len(run.fit.get("screen", {}).get("rep_labels", ["", ""])) == 1:
        yield Advice(
            "There is one replicate: nothing shows whether another would give the same.",
            "Confirm hits in a second replicate before building on them.",
        )

"""The closing lines of a run: what was found, what speaks against it, what to do, where the files are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fatebias.config import AUTO
from fatebias.files.outputs import OUTPUTS
from fatebias.files.paths import RunPaths
from fatebias.names import short
from fatebias.pasted import started_by
from fatebias.report.advice import what_next
from fatebias.report.content import ContrastResults
from fatebias.report.genes import all_genes
from fatebias.report.results import all_contrasts, day_labels
from fatebias.report.run_files import RunFiles, read_run
from fatebias.report.text import count, expected
from fatebias.report.verdict import far, sentence

SHOWN_HITS = 20
NEAR = 0.5  # an lfsr below says something of a gene
SHOWN_MISSES = 3  # of a contrast without hits


def closing_lines(paths: RunPaths, record: Mapping[str, Any], run: RunFiles | None = None) -> str:
    """Return the hits of all fates, what speaks against the run, and the files that it wrote.

    `run` spares reading the tables again.
    """
    found = record["stages"].get("discover", {}).get("status") == "done" and paths.hits.is_file()
    lines = list(_found(run or read_run(paths.root))) if found else []
    fit = record["stages"].get("fit", {})
    lines += _columns(fit.get("screen", {}).get("day_labels", []))
    lines += [f"NOT CONVERGED: {each}" for each in fit.get("warnings", [])]
    lines += [f"warning: {each}" for each in fit.get("screen", {}).get("warnings", [])]
    lines += [f"note: {each}" for each in fit.get("notes", [])]
    lines += _calibration(record, advised=found)
    lines.append(f"results in {paths.root}")
    for output in OUTPUTS:
        if output.closing and (paths.root / output.file).is_file():
            lines.append(f"  {output.file:<28} {output.words}")
    if paths.figures.is_dir() and any(paths.figures.iterdir()):
        lines.append(f"  {'figures/':<28} pictures for a paper")
    further = record["stages"].get("discover", {}).get("report", {}).get("contrasts", {})
    for name, report in further.items():
        folder = paths.contrast(name).root.relative_to(paths.root)
        lines.append(f"  {f'{folder}/':<28} the same for {name}: {count(report['n_hits'], 'hit')}")
    if found and paths.report.is_file():
        lines.append(f"report: {paths.report}")
    elif found:
        lines.append(
            f"no {paths.report.name}: a warning above says why; to write it: {started_by()} report "
            + shlex.quote(str(paths.root))
        )
    return "\n".join(lines)


def _found(run: RunFiles) -> Iterator[str]:
    """Yield the verdict, the hits of each contrast, and what to do next."""
    contrasts, days = all_contrasts(run), day_labels(run)
    calls = sum(int(each.called.sum()) for each in contrasts)
    yield sentence(contrasts[0])
    for each in contrasts:
        yield ""
        yield from _hits(each, days)
    yield ""
    if calls:
        false = expected(sum(each.expected_false for each in contrasts))
        what = f"of {count(calls, 'call')} of a gene on a day"
        yield f"{what}, {false} are expected to be false (sum of their lfsr)"
    advice = what_next(run, contrasts, all_genes(run, contrasts), days)
    if not advice:
        return
    yield "what speaks for care, and what to do:"
    for todo in advice:
        yield f"- {todo.why} {todo.then}"
        if todo.command:
            yield f"    {todo.command}"
    yield ""


def _hits(contrast: ContrastResults, day_labels: Sequence[str]) -> Iterator[str]:
    """Yield a table of the hits of one contrast, or the surest genes where there are none.

    The effect is that of the surest day.
    """
    hits = int(contrast.hits.sum())
    near = int((contrast.lfsr.min(axis=1) < NEAR).sum())
    shown = range(min(hits, SHOWN_HITS) or min(near, SHOWN_MISSES))
    some = "" if hits else "; the surest:" if near else f"; every lfsr is {NEAR:g} or more"
    yield f"{contrast.title}: {count(hits, 'hit')} among {count(len(contrast.genes), 'gene')}{some}"
    if not shown:
        return
    genes = {g: short(contrast.genes[g]) for g in shown}
    gene, day, peak = (
        max(least, *map(len, words))
        for least, words in ((4, genes.values()), (3, day_labels), (4, (contrast.peak[g] for g in shown)))
    )
    over_time = len(day_labels) > 1  # with one day there is neither peak nor course
    heading = f"  {'gene':<{gene}}  {'day':>{day}}   effect      sd     lfsr"
    heading += f"  {'peak':>{peak}}" if over_time else ""
    yield f"{heading}  time course" if hits and over_time else heading
    for g in shown:
        d = contrast.best_day[g]
        figures = (
            f"{contrast.postmean[g, d]:>+8.3f} {contrast.postsd[g, d]:>7.3f} {contrast.lfsr[g, d]:>8.2g}"
        )
        course = contrast.time_course(g) if hits else ""
        when = f"  {contrast.peak[g] or '-':>{peak}}  {course}" if over_time else ""
        yield f"  {genes[g]:<{gene}}  {day_labels[d]:>{day}} {figures}{when}".rstrip()
    if hits > len(shown):
        yield f"  and {hits - len(shown):,} more"


def _columns(labels: Sequence[object]) -> list[str]:
    """Return which day each column of the tables is, where their numbers are not the days' labels."""
    numbers = [f"d{d}" for d in range(len(labels))]
    if numbers == [str(label) for label in labels]:
        return []
    days = [str(label) if str(label).lower().startswith("day") else f"day {label}" for label in labels]
    told = ", ".join(f"{number} is {day}" for number, day in zip(numbers, days, strict=True))
    return [f"in the columns of the tables {told} (days.csv)"]


def _calibration(record: Mapping[str, Any], *, advised: bool) -> list[str]:
    """Return the weight that was used and suggested, and one line for each check."""
    fit = record["stages"].get("fit", {})
    lines = []
    if "calibration" in fit:
        lines += _weight(fit, advised=advised)
    for stage in ("commitment", "spike_in", "controls", "heldout", "resample"):
        lines += record["stages"].get(stage, {}).get("words", "").splitlines()
    return lines


def _weight(fit: Mapping[str, Any], *, advised: bool) -> list[str]:
    """Return the weight that was used and, unless it is the data's or advised on, how to use that."""
    suggested = fit["calibration"]
    if fit.get("settings", {}).get("likelihood_weight") == AUTO:
        return [f"used {suggested.removeprefix('suggested ')}"]
    used = fit["likelihood_weight"]
    lines = [f"likelihood_weight {used:.3g} was used; {suggested}"]
    if far(used, fit["suggested_weight"]) and not advised:
        lines.append(
            "  to use what the data suggest, run the same command with likelihood_weight=auto, or with "
            "experiment=calibrated, whose calls hold best on simulated truth"
        )
    return lines

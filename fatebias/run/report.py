"""The closing lines of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fatebias import names
from fatebias.config import AUTO
from fatebias.files.outputs import OUTPUTS
from fatebias.files.paths import RunPaths
from fatebias.files.tables import read_table
from fatebias.report.verdict import far

SHOWN_GENES = 10


def closing_lines(paths: RunPaths, record: Mapping[str, Any]) -> str:
    """Return the top of the ranking, what speaks against the fit, and the files that the run wrote."""
    ranked = record["stages"].get("discover", {}).get("status") == "done" and paths.hits.is_file()
    lines = _ranking(paths, record) if ranked else []
    fit = record["stages"].get("fit", {})
    lines += _columns(fit.get("screen", {}).get("day_labels", []))
    lines += [f"NOT CONVERGED: {each}" for each in fit.get("warnings", [])]
    lines += [f"warning: {each}" for each in fit.get("screen", {}).get("warnings", [])]
    lines += [f"note: {each}" for each in fit.get("notes", [])]
    lines += _calibration(record)
    lines.append(f"results in {paths.root}")
    for output in OUTPUTS:
        if output.closing and (paths.root / output.file).is_file():
            lines.append(f"  {output.file:<28} {output.words}")
    further = record["stages"].get("discover", {}).get("report", {}).get("contrasts", {})
    for name, found in further.items():
        folder = paths.contrast(name).root.relative_to(paths.root)
        lines.append(f"  {f'{folder}/':<28} the same for {name}: {found['n_hits']} hits")
    return "\n".join(lines)


def _columns(labels: Sequence[object]) -> list[str]:
    """Return which day each column of the tables is, where their numbers are not the days' labels."""
    numbers = [f"d{d}" for d in range(len(labels))]
    if numbers == [str(label) for label in labels]:
        return []
    told = ", ".join(f"{number} is day {label}" for number, label in zip(numbers, labels, strict=True))
    return [f"in the columns of the tables {told} (days.csv)"]


def _calibration(record: Mapping[str, Any]) -> list[str]:
    """Return the weight that was used and suggested, and one line for each check."""
    fit = record["stages"].get("fit", {})
    lines = []
    if "calibration" in fit:
        lines += _weight(fit)
    for stage in ("commitment", "spike_in", "controls", "heldout", "resample"):
        lines += record["stages"].get(stage, {}).get("words", "").splitlines()
    return lines


def _weight(fit: Mapping[str, Any]) -> list[str]:
    """Return the weight that was used and, where it is not the data's, how to use that."""
    suggested = fit["calibration"]
    if fit.get("settings", {}).get("likelihood_weight") == AUTO:
        return [f"used {suggested.removeprefix('suggested ')}"]
    used = fit["likelihood_weight"]
    lines = [f"likelihood_weight {used:.3g} was used; {suggested}"]
    if far(used, fit["suggested_weight"]):
        lines.append(
            "  to use what the data suggest, run the same command with likelihood_weight=auto, or with "
            "experiment=calibrated, whose calls hold best on simulated truth"
        )
    return lines


def _ranking(paths: RunPaths, record: Mapping[str, Any]) -> list[str]:
    ranked = read_table(paths.hits)
    labels = [str(each) for each in record["stages"].get("fit", {}).get("screen", {}).get("day_labels", [])]
    hits = int(ranked[names.HIT_ANYDAY].sum())
    width = max(4, *(len(str(gene)) for gene in ranked[names.GENE].head(SHOWN_GENES)))
    lines = [
        f"{hits} of {len(ranked)} genes are hits (*); the top of the ranking:",
        f"  {'gene':<{width}}  best day   effect      sd      lfsr",
    ]
    for row in ranked.head(SHOWN_GENES).to_dict("records"):
        label = row[names.BEST_DAY]
        day = names.day_number(label, labels)
        effect, sd = (row.get(f"{part}{day}", float("nan")) for part in (names.POSTMEAN, names.POSTSD))
        mark = "*" if row[names.HIT_ANYDAY] else " "
        figures = f"{effect:>+8.3f} {sd:>7.3f} {row[names.LFSR_MIN]:>9.2g}"
        lines.append(f"{mark} {row[names.GENE]!s:<{width}}  {label:>8} {figures}")
    found = record["stages"]["discover"].get("report", {})
    if "expected_false" in found:
        lines.append(
            f"{found['n_calls']} calls of a gene on a day, of which by their lfsr "
            f"{found['expected_false']:.2g} are expected to be false"
        )
    return lines

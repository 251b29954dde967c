"""Effects by contrast, from the tables of the run, and the rule that made calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.contrasts import parse_contrast
from fatebias.errors import DataError, FatebiasError
from fatebias.files.paths import RunPaths
from fatebias.report.content import Array, ContrastResults
from fatebias.report.run_files import RunFiles

if TYPE_CHECKING:
    import pandas as pd

    from fatebias.discovery.ranking import CallRule


# Of two days with the same effect each is the larger one half of the time.
CLEAR_PEAK = 0.6


def day_labels(run: RunFiles) -> tuple[str, ...]:
    """Return one label a day; d0, d1, ... where the folder has no fit."""
    labels = run.fit.get("screen", {}).get("day_labels")
    n_days = int(run.discovery["n_days"])
    if labels and len(labels) == n_days:
        return tuple(str(label) for label in labels)
    return tuple(f"d{d}" for d in range(n_days))


def all_contrasts(run: RunFiles) -> list[ContrastResults]:
    """Return the screen's own contrast, then the further ones that were discovered."""
    screen = run.fit.get("screen", {})
    fates = [str(fate) for fate in screen.get("fates", [])]
    own = str(screen.get("contrast", "the contrast fate"))
    against = fates[0] if fates else "the reference fate"
    found = [_contrast(run, run.paths, own, own, against, own=True)]
    for name in run.discovery.get("contrasts", {}):
        try:
            named = parse_contrast(name, fates, against)
            fate, other = named.fate, named.against
        except FatebiasError:  # settings of another version: the name is all that is known
            fate, other = name, "?"
        found.append(_contrast(run, run.paths.contrast(name), name, fate, other, own=False))
    return found


def _contrast(
    run: RunFiles, paths: RunPaths, name: str, fate: str, against: str, *, own: bool
) -> ContrastResults:
    ranked, calls = run.ranking(paths.hits), run.ranking(paths.calls)
    for path, found in ((paths.hits, ranked), (paths.calls, calls)):
        if found is None:
            raise DataError(
                f"{path.name} is gone", where=path, fix="run the discovery again: stages=[discover]"
            )
    assert ranked is not None
    assert calls is not None
    n_days = int(run.discovery["n_days"])
    labels = day_labels(run)
    try:
        lfsr = by_day(ranked, names.LFSR, n_days)
        called = np.array([[label in days for label in labels] for days in _active(calls)])
        called = called.reshape(lfsr.shape)
        change = _change(run, fate, list(ranked[names.GENE]), n_days, own)
        return ContrastResults(
            name=name,
            fate=fate,
            against=against,
            own=own,
            genes=tuple(ranked[names.GENE]),
            betahat=by_day(ranked, names.BETAHAT, n_days),
            se=by_day(ranked, names.SE, n_days),
            postmean=by_day(ranked, names.POSTMEAN, n_days),
            postsd=by_day(ranked, names.POSTSD, n_days),
            lfsr=lfsr,
            called=called,
            best_day=np.array(
                [names.day_number(day, labels) for day in ranked[names.BEST_DAY]], dtype=np.int64
            ),
            peak=_peaks(calls) if n_days > 1 else ("",) * len(calls),  # one day is no finding
            p_any=calls[names.P_ANY].to_numpy(dtype=float),
            course=tuple(map(str, calls[names.COURSE])),
            p_course=calls[names.P_COURSE].to_numpy(dtype=float),
            flip_days=_texts(calls[names.FLIP_DAYS]),
            no_data=_texts(calls[names.NO_DATA]) if names.NO_DATA in calls else ("",) * len(calls),
            p_flip=calls[names.P_FLIP].to_numpy(dtype=float),
            mde=by_day(calls, names.MDE, n_days),
            mde_lasting=numbers(calls[names.MDE_LASTING]),
            change=None if change is None else change[0],
            change_se=None if change is None else change[1],
            expected_false=float(lfsr[called].sum()),
        )
    except KeyError as error:
        raise DataError(
            f"{paths.hits.name} or {paths.calls.name} lacks the column {error.args[0]}",
            where=paths.root,
            fix="run the discovery again: stages=[discover] resume=false",
        ) from error


def discovery_settings(run: RunFiles) -> DiscoveryConfig:
    """Return the settings of the discovery; those that another version had besides are left out."""
    settings: dict[str, Any] = run.config.get("discovery", {})
    known = {field.name for field in fields(DiscoveryConfig)}
    return DiscoveryConfig(**{name: value for name, value in settings.items() if name in known})


def call_rule_of(run: RunFiles) -> CallRule:
    """Return what made a call in the run."""
    from fatebias.discovery.engine import call_rule

    return call_rule(discovery_settings(run))


def _peaks(calls: pd.DataFrame) -> tuple[str, ...]:
    """Return the label of each gene's peak; a flat effect has one by chance alone, which is none."""
    clear = calls[names.P_PEAK].to_numpy(dtype=float) > CLEAR_PEAK
    return tuple(str(day) if shown else "" for day, shown in zip(calls[names.PEAK_DAY], clear, strict=True))


def _active(calls: pd.DataFrame) -> Iterator[set[str]]:
    """Yield the days on which each gene is called, by the run's own rule."""
    for days in calls[names.ACTIVE_DAYS]:
        yield set(str(days).split(";"))


def _texts(column: pd.Series) -> tuple[str, ...]:
    return tuple("" if each != each else str(each) for each in column)


def by_day(table: pd.DataFrame, prefix: str, n_days: int) -> Array:
    """Return the columns of one quantity over days, (rows, D)."""
    return np.column_stack([numbers(table[column]) for column in names.day_columns(prefix, n_days)])


def numbers(column: pd.Series) -> Array:
    """Return numbers; a column without any is read as text and has none."""
    if column.dtype == object:
        return np.full(len(column), np.nan)
    return column.to_numpy(dtype=float)


def _change(run: RunFiles, fate: str, genes: list[str], n_days: int, own: bool) -> tuple[Array, Array] | None:
    """Return the change of a fate's probability and its error, (L, D), in the order of `genes`."""
    if run.marginal is None:
        return None
    fate = "" if own else f"{fate}_"
    value, error = f"{names.AME}{fate}d", f"{names.AME_SE}{fate}d"
    if f"{value}0" not in run.marginal:
        return None
    ordered = run.marginal.set_index(names.GENE).reindex(genes)
    return by_day(ordered, value, n_days), by_day(ordered, error, n_days)

"""Effects of genes and guides, from the tables of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.contrasts import parse_contrast
from fatebias.errors import DataError, FatebiasError
from fatebias.files.paths import RunPaths
from fatebias.report.content import Array, ContrastResults, Gene, Guide, Replicate
from fatebias.report.run_files import RunFiles, table

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
    ranked, calls = table(paths.hits), table(paths.calls)
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
        lfsr = _by_day(ranked, names.LFSR, n_days)
        called = np.array([[label in days for label in labels] for days in _active(calls)])
        called = called.reshape(lfsr.shape)
        change = _change(run, fate, list(ranked[names.GENE]), n_days, own)
        return ContrastResults(
            name=name,
            fate=fate,
            against=against,
            own=own,
            genes=tuple(ranked[names.GENE]),
            betahat=_by_day(ranked, names.BETAHAT, n_days),
            se=_by_day(ranked, names.SE, n_days),
            postmean=_by_day(ranked, names.POSTMEAN, n_days),
            postsd=_by_day(ranked, names.POSTSD, n_days),
            lfsr=lfsr,
            called=called,
            best_day=np.array(
                [names.day_number(day, labels) for day in ranked[names.BEST_DAY]], dtype=np.int64
            ),
            peak=_peaks(calls),
            p_any=calls[names.P_ANY].to_numpy(dtype=float),
            course=tuple(map(str, calls[names.COURSE])),
            p_course=calls[names.P_COURSE].to_numpy(dtype=float),
            flip_days=_texts(calls[names.FLIP_DAYS]),
            no_data=_texts(calls[names.NO_DATA]) if names.NO_DATA in calls else ("",) * len(calls),
            p_flip=calls[names.P_FLIP].to_numpy(dtype=float),
            mde=_by_day(calls, names.MDE, n_days),
            mde_lasting=_numbers(calls[names.MDE_LASTING]),
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


def _by_day(table: pd.DataFrame, prefix: str, n_days: int) -> Array:
    return np.column_stack([_numbers(table[column]) for column in names.day_columns(prefix, n_days)])


def _numbers(column: pd.Series) -> Array:
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
    return _by_day(ordered, value, n_days), _by_day(ordered, error, n_days)


def all_genes(run: RunFiles, contrasts: list[ContrastResults]) -> dict[str, Gene]:
    """Return what is known of each gene, in the order of the first contrast."""
    n_days = int(run.discovery["n_days"])
    counted: dict[str, Any] = {}
    if run.screen is not None:
        counted = run.screen["genes"]["guides_and_cells"]
    guides: dict[str, list[Guide]] = {}
    for gene, guide in _guides(run, n_days):
        guides.setdefault(gene, []).append(guide)
    fates = _fates(run, contrasts[0].fate, n_days)
    k_hat = _k_hat(run)
    replicates = _replicates(run, n_days)
    found = {}
    for name in contrasts[0].genes:
        entry = counted.get(name, {})
        found[name] = Gene(
            name=name,
            cells=entry.get("cells"),
            cells_by_day=tuple(entry.get("cells_by_day", ())),
            guides=tuple(guides.get(name, ())),
            fates={fate: tuple(values[name]) for fate, values in fates.items() if name in values},
            k_hat=k_hat.get(name),
            replicates=replicates.get(name, ()),
            mean=_means(run, entry),
        )
    return found


def _guides(run: RunFiles, n_days: int) -> Iterator[tuple[str, Guide]]:
    """Yield each guide with its gene."""
    if run.guides is None:
        return
    betahat, se = (_by_day(run.guides, prefix, n_days) for prefix in (names.BETAHAT, names.SE))
    inactive = _numbers(run.guides[names.P_INACTIVE]) if names.P_INACTIVE in run.guides else None
    for row, (guide, gene, cells) in enumerate(
        zip(run.guides[names.GUIDE], run.guides[names.GENE], run.guides[names.CELLS], strict=True)
    ):
        share = None if inactive is None or np.isnan(inactive[row]) else float(inactive[row])
        yield gene, Guide(guide, int(cells), tuple(betahat[row]), tuple(se[row]), share)


def _replicates(run: RunFiles, n_days: int) -> dict[str, tuple[Replicate, ...]]:
    """Return what each replicate alone says of each gene."""
    if run.replicates is None or not len(run.replicates):
        return {}
    betahat, se, cells = (
        _by_day(run.replicates, prefix, n_days) for prefix in (names.BETAHAT, names.SE, names.CELLS_BY_DAY)
    )
    found: dict[str, list[Replicate]] = {}
    for row, (gene, name) in enumerate(
        zip(run.replicates[names.GENE], run.replicates[names.REPLICATE], strict=True)
    ):
        one = Replicate(str(name), int(cells[row].sum()), tuple(betahat[row]), tuple(se[row]))
        found.setdefault(gene, []).append(one)
    return {gene: tuple(each) for gene, each in found.items()}


def _means(run: RunFiles, entry: dict[str, Any]) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return mean fate probabilities by day with and without a guide of the gene."""
    of_gene = entry.get("mean_probability")
    everyone = (run.screen or {}).get("fates", {}).get("mean_probability_by_day")
    if not of_gene or not everyone or run.screen is None:
        return {}
    total = np.array([sum(row.values()) for row in run.screen["cells_by_day_and_replicate"].values()])
    held = np.array(entry["cells_by_day"], dtype=float)
    found = {}
    for fate, values in of_gene.items():
        own = np.array(values, dtype=float)  # NaN on a day without cells
        rest = total * np.array(everyone[fate], dtype=float) - np.where(held > 0, held * own, 0.0)
        found[fate] = (tuple(own), tuple(rest / np.maximum(total - held, 1)))
    return found


def _fates(run: RunFiles, own: str, n_days: int) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return, by fate and gene, the change of the fate's probability on each day."""
    if run.marginal is None:
        return {}
    found = {}
    for fate in run.fit.get("screen", {}).get("fates", []):
        prefix = f"{names.AME}d" if fate == own else f"{names.AME}{fate}_d"
        if f"{prefix}0" in run.marginal:
            values = _by_day(run.marginal, prefix, n_days)
            found[fate] = dict(zip(run.marginal[names.GENE], values, strict=True))
    return found


def _k_hat(run: RunFiles) -> dict[str, float]:
    """Return each gene's k-hat, the larger of the fit's and the exported fit's."""
    diagnostics = run.fit.get("diagnostics", {})
    genes = [] if run.marginal is None else list(run.marginal[names.GENE])
    lists = [diagnostics.get(name) for name in ("k_hat", "export_k_hat")]
    found: dict[str, float] = {}
    for values in lists:
        if isinstance(values, list) and len(values) == len(genes):
            for gene, value in zip(genes, values, strict=True):
                if value is not None:
                    found[gene] = max(float(value), found.get(gene, -np.inf))
    return found

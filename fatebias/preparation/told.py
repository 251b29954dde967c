"""What was prepared, in lines for the terminal, ending in the commands to paste next."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.config import CHECK
from fatebias.data.reading.ambient import AmbientCounts
from fatebias.data.reading.summary import render_summary
from fatebias.data.screen import Screen
from fatebias.errors import ConfigError, few, some
from fatebias.pasted import command
from fatebias.preparation.files import Places
from fatebias.preparation.kinds import CONTROLS, NON_TARGETING, POSITIVE, UNCLEAR
from fatebias.preparation.library import Library

LABEL = 14  # width of the first column, as in the summary of a screen


def what_was_done(
    screen: Screen,
    library: Library,
    ambient: AmbientCounts | None,
    threshold: float | None,
    positive: Collection[str],
    places: Places,
    more: Mapping[str, Any],
) -> str:
    """Return the summary of the screen, controls, threshold and positive controls, and what to do next."""
    rows = [
        ("library", f"{library.source}: {len(library.kind_of):,} guides"),
        *(("controls", line) for line in _controls(screen, library)),
        ("threshold", _threshold(ambient, threshold, places)),
        *(("positive", line) for line in _positive(screen, library, positive)),
        ("written", f"{places.screen}, {places.guide_map}, {places.picture}"),
    ]
    lines, before = [render_summary(screen.summary)], ""
    for label, text in rows:
        lines.append(f"{'' if label == before else label:<{LABEL}}{text}")
        before = label
    return "\n".join([*lines, *_next(screen, places, more)])


def _controls(screen: Screen, library: Library) -> Iterator[str]:
    ntc, used = library.guide_map.ntc, set(screen.ntc_guide_names)
    alone = int(_only_controls(screen).sum())
    kinds = {
        kind: [guide for guide in library.guides_of(kind) if guide in ntc] for kind in (*CONTROLS, UNCLEAR)
    }
    others = ntc - {guide for guides in kinds.values() for guide in guides}
    told = [f"{len(guides)} {kind}" for kind, guides in kinds.items() if guides]
    told += [f"{len(others)} by the name of their gene"] if others else []
    yield (
        f"{' and '.join(told) or 'none'} in the library, {len(used)} of them seen in cells; "
        f"{alone:,} cells hold these alone"
    )
    if not library.guides_of(NON_TARGETING):
        yield "no guide is named non-targeting, NTC or the like"
    for kind in CONTROLS:
        free = [guide for guide in library.guides_of(kind) if guide not in ntc]
        if free:
            both = ",".join(CONTROLS)
            yield (
                f"{len(free)} {kind} guides count as a gene called {kind}; --controls {both} takes both as "
                "controls"
            )
    unclear = sorted(
        {library.guide_map.gene_of[guide] for guide in library.guides_of(UNCLEAR) if guide not in ntc}
    )
    if unclear:
        yield (
            f"named like controls and taken as genes: {some(unclear)}; if they are controls: "
            f"--controls {NON_TARGETING},{UNCLEAR}"
        )


def _threshold(ambient: AmbientCounts | None, threshold: float | None, places: Places) -> str:
    if ambient is not None:
        return (
            f"raw counts, {ambient.single:.1%} of them 1: a guide is present above {ambient.threshold} UMIs, "
            f"where a mixture of ambient counts and guides parts: {ambient.held_above:.2f} guides a cell "
            f"in place of {ambient.held:.2f}; look at {places.picture}"
        )
    if threshold is not None:
        return f"a guide is present above {threshold:g}, as asked"
    return "none: the guides are called"


def _positive(screen: Screen, library: Library, asked: Collection[str]) -> Iterator[str]:
    known = {library.guide_map.gene_of[guide] for guide in library.guides_of(POSITIVE)}
    absent = [gene for gene in asked if gene not in screen.gene_names]
    if absent:
        raise ConfigError(
            f"--positive names genes that no cell's guide targets: {some(absent)}",
            where=library.source,
            allowed=few(screen.gene_names, 20),
            fix=f"--positive {shlex.quote(screen.gene_names[0])}",
        )
    genes = sorted({*asked, *(known & set(screen.gene_names))})
    if not genes:
        yield "none named; --positive GENE,GENE counts the cells of genes that are known to act"
        return
    contrast = screen.p[:, screen.fates.index(screen.contrast)]
    only = _only_controls(screen)
    for gene in genes:
        held = _holds(screen, gene)
        against = f", {contrast[only].mean():.3f} in cells with controls alone" if only.any() else ""
        mean = f"{contrast[held].mean():.3f}"
        yield f"{gene}: {held.sum():,} cells, mean {screen.contrast} {mean} in them{against}"


def _only_controls(screen: Screen) -> NDArray[np.bool_]:
    return np.asarray((screen.ntc_slots > 0).any(axis=1) & (screen.guide_ids == 0).all(axis=1))


def _holds(screen: Screen, gene: str) -> NDArray[np.bool_]:
    number = screen.gene_names.index(gene) + 1
    return np.asarray((screen.gene_of_guide[screen.guide_ids] == number).any(axis=1))


def _next(screen: Screen, places: Places, more: Mapping[str, Any]) -> list[str]:
    files = [("data", "anndata"), ("data.adata_path", str(places.screen))]
    files += [
        ("data.guide_map_csv", str(places.guide_map)),
        *((f"data.{key}", value) for key, value in more.items()),
    ]
    return [
        "next, read and judge it in a second or two:",
        f"  {command(*files, ('stages', [CHECK]))}",
        "then fit it, with the settings that we recommend:",
        f"  {command(('experiment', 'calibrated'), *files, ('out_dir', str(places.folder / 'results')))}",
    ]

"""Rows of the table of hits, with what speaks for care."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fatebias.names import LONGEST, short
from fatebias.report.advice import FEWEST_CELLS
from fatebias.report.content import ContrastResults, Estimate, Gene, Row
from fatebias.report.text import chance, plain

K_HAT_LIMIT = 0.7  # above it a posterior is not normal
LIKELY = 0.5
ABOUT = 20  # letters of a contrast in a row
SURE_INTERVAL = 1.96


def rows(
    contrasts: Sequence[ContrastResults], genes: Mapping[str, Gene], day_labels: Sequence[str]
) -> tuple[Row, ...]:
    """Return one row for each gene and contrast, contrast by contrast, the surest gene first."""
    return tuple(
        _row(contrast, place, g, genes[name], day_labels, _about(contrast, contrasts[0].against))
        for place, contrast in enumerate(contrasts)
        for g, name in enumerate(contrast.genes)
        if name in genes
    )


def _about(contrast: ContrastResults, reference: str) -> str:
    """Return a contrast as short as a row has room for; nearly all are against the reference."""
    if len(contrast.title) <= ABOUT:
        return contrast.title
    return short(contrast.fate, ABOUT) if contrast.against == reference else contrast.short_title(LONGEST + 4)


def _row(
    contrast: ContrastResults, place: int, g: int, gene: Gene, day_labels: Sequence[str], about: str
) -> Row:
    best = int(contrast.best_day[g])
    effect = float(contrast.postmean[g, best])
    change = None if contrast.change is None else 100 * float(contrast.change[g, best])
    return Row(
        gene=gene.name,
        at=f"{place}-{g}",
        contrast=contrast.title,
        about=about,
        hit=bool(contrast.hits[g]),
        effect=effect,
        sd=float(contrast.postsd[g, best]),
        day=day_labels[best],
        peak=contrast.peak[g],
        change=change if change is not None and np.isfinite(change) else None,
        up=tuple(bool(value > 0) for value in contrast.postmean[g]),
        lfsr=tuple(map(float, contrast.lfsr[g])),
        called=tuple(map(bool, contrast.called[g])),
        course=contrast.time_course(g) if contrast.hits[g] else "",
        p_course=float(contrast.p_course[g]),
        cells=gene.cells,
        guides=len(gene.guides) or None,
        agree=_agreeing(contrast, gene, effect, best),
        flags=tuple(_flags(contrast, g, gene, best, day_labels)),
    )


def _agreeing(contrast: ContrastResults, gene: Gene, effect: float, day: int) -> int | None:
    """Count the guides whose estimate has the sign of the gene's effect; None without such estimates."""
    found = [guide.of(contrast) for guide in gene.guides]
    known = [each for each in found if each is not None]
    return sum(bool(each.betahat[day] * effect > 0) for each in known) if known else None


def _surely_against(found: Estimate | None, effect: float, day: int) -> bool:
    """Return whether an estimate's interval is on the other side of zero than the gene's effect."""
    if found is None:
        return False
    value, error = found.betahat[day], found.se[day]
    return bool(value * effect < 0 and abs(value) > SURE_INTERVAL * error)


def _flags(
    contrast: ContrastResults, g: int, gene: Gene, best: int, day_labels: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield a word and its meaning for whatever a reader should look at before believing the row."""
    if contrast.flip_days[g]:
        yield (
            "flips",
            (
                f"the direction changes between days: {contrast.flip_days[g].replace(';', ', ')} "
                f"(probability {chance(contrast.p_flip[g])})"
            ),
        )
    effect = contrast.postmean[g, best]
    against = [guide.name for guide in gene.guides if _surely_against(guide.of(contrast), effect, best)]
    if against:
        yield "guides disagree", f"surely the other way: {', '.join(against)}"
    if contrast.no_data[g]:
        yield "no data", f"no cells on {contrast.no_data[g].replace(';', ', ')}: not called there"
    if len(gene.guides) == 1:
        yield "one guide", "a single guide: an off-target effect cannot be told apart"
    inactive = sum(guide.p_inactive is not None and guide.p_inactive > LIKELY for guide in gene.guides)
    if inactive:
        yield "inactive guides", f"{inactive} of {len(gene.guides)} guides probably do nothing"
    if gene.cells_by_day and min(gene.cells_by_day) < FEWEST_CELLS:
        yield "few cells", f"{min(gene.cells_by_day)} cells on one day"
    if gene.k_hat is not None and gene.k_hat > K_HAT_LIMIT:
        yield "not normal", f"the posterior is skewed (k-hat {plain(gene.k_hat, 2)}): errors are rough"

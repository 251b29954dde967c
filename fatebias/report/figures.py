"""The figures of a run for a paper, from its files: ``figures/`` in as many formats as are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fatebias import names, pl
from fatebias.files.paths import safe_name
from fatebias.names import short
from fatebias.pl._composition import compositions
from fatebias.pl._loss import loss_figure
from fatebias.pl.save import FORMATS, literal, new_figure, save_figure, two_fates
from fatebias.report.content import Array, ContrastResults
from fatebias.report.judged import loss_verdict
from fatebias.report.results import all_contrasts, call_rule_of, day_labels
from fatebias.report.run_files import RunFiles
from fatebias.report.text import plain
from fatebias.report.verdict import preset

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARDS = 6  # genes with a figure of their own
MOST_ROWS, FEWEST_ROWS = 40, 10  # of the heatmap and of the picture of guides
FULL_COLOUR = 0.95  # this share of a heatmap's effects has a paler colour than the fullest
KINDS = (
    "hits", "volcano", "heatmap", "guides", "gene", "composition", "controls", "weight", "spike_in", "loss",
)  # fmt: skip


def write_figures(run: RunFiles, formats: Sequence[str]) -> list[Path]:
    """Write the figures that the run's files allow, and return their paths.

    Those of an earlier run go first; other files in the folder stay, all of them where no format is asked
    for. A figure is drawn once for all formats.
    """
    if not formats:
        return []
    folder = run.paths.figures
    ours = re.compile(rf"({'|'.join(KINDS)})(_.*)?\.({'|'.join(FORMATS)})")
    for path in folder.glob("*"):
        if ours.fullmatch(path.name):
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, draw in _figures(run):
        figure = draw()
        for each in formats:
            save_figure(figure, folder / f"{name}.{each}")
            written.append(folder / f"{name}.{each}")
    return written


@dataclass(frozen=True, eq=False)
class _Drawn:
    """One contrast as the pictures take it: a ranking with its labels."""

    results: ContrastResults
    ranked: pd.DataFrame
    day_labels: tuple[str, ...]
    rule: Any

    @property
    def labels(self) -> dict[str, Any]:
        """What pictures of a ranking are told besides."""
        contrast = (self.results.fate, self.results.against)
        return {"day_labels": self.day_labels, "contrast": contrast, "rule": self.rule}

    def effects(self, genes: Sequence[str]) -> Array:
        """Return the effects of some genes after days share strength, (genes, D)."""
        place = {gene: g for g, gene in enumerate(self.results.genes)}
        return self.results.postmean[[place[gene] for gene in genes]]


def _figures(run: RunFiles) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield the name of each figure and what draws it."""
    days, rule = day_labels(run), call_rule_of(run)
    drawn = []
    for each in all_contrasts(run):
        ranked = run.ranking((run.paths if each.own else run.paths.contrast(each.name)).hits)
        assert ranked is not None  # all_contrasts has read it
        drawn.append(_Drawn(each, ranked, days, rule))
    for one in drawn:
        name = safe_name(one.results.name)
        yield f"hits_{name}", partial(_hits, run, one)
        yield f"volcano_{name}", partial(_volcano, run, one)
    yield "heatmap", partial(_heatmap, run, drawn)
    if run.guides is not None:
        yield "guides", partial(_guides, run, drawn[0])
    for rank, gene in enumerate(_surest(drawn)[:CARDS], start=1):
        yield f"gene_{rank:02d}_{safe_name(gene)}", partial(_gene, run, drawn, gene)
    if run.screen is not None and compositions(run.screen) is not None:
        yield "composition", partial(_composition, run, drawn)
    if run.controls is not None and len(run.controls):
        yield "controls", partial(_controls, run, len(days))
    if run.calibration and any(each.get("weight") for each in run.calibration.get("estimates", {}).values()):
        yield "weight", partial(_weight, run)
    if by_size := (run.stage("spike_in").get("report") or {}).get("by_size"):
        yield "spike_in", lambda: _titled(run, _figure(pl.spike_in(by_size)))
    if run.loss is not None and len(run.loss) > 1:
        yield "loss", partial(_loss, run)


def settings_line(run: RunFiles) -> str:
    """Return preset and weight of soft labels, for the titles of figures."""
    named, weight = preset(run), run.fit.get("likelihood_weight")
    parts = [f"experiment={named}"] if named else ["default settings"]
    return ", ".join(parts + ([f"likelihood_weight {plain(float(weight))}"] if weight is not None else []))


def _titled(run: RunFiles, figure: Figure, *first: str) -> Figure:
    """Put what the figure is about, the preset and the weight above it."""
    words = literal(", ".join([*first, settings_line(run)]))
    figure.suptitle(words, fontsize=8, x=0.01, ha="left", wrap=True)
    return figure


def _figure(ax: Axes) -> Figure:
    """Return the figure that holds the Axes."""
    from matplotlib.figure import Figure

    assert isinstance(ax.figure, Figure)
    return ax.figure


def _hits(run: RunFiles, one: _Drawn) -> Figure:
    return _figure(pl.hits(one.ranked, settings=settings_line(run), **one.labels))


def _volcano(run: RunFiles, one: _Drawn) -> Figure:
    """Draw a panel a day, all on the same scales."""
    figure = new_figure(1 + 2.7 * len(one.day_labels), 3.9)
    panels = np.atleast_1d(figure.subplots(1, len(one.day_labels), sharex=True, sharey=True))
    least = float(one.results.lfsr.min(initial=1.0))
    widest = 1.15 * float(np.abs(one.results.postmean).max(initial=0.1))
    for d, ax in enumerate(panels):
        pl.volcano(one.ranked, day=d, ax=ax, least=least, **one.labels)
        ax.set_xlim(-widest, widest)
        ax.set_xlabel("")
        if d:
            ax.set_ylabel("")
    words = literal(f"effect, logit {one.results.title}")
    figure.supxlabel(words, fontsize=9, wrap=True)
    return _titled(run, figure, one.results.title)


def _heatmap(run: RunFiles, drawn: Sequence[_Drawn]) -> Figure:
    """Draw a panel a contrast with the same genes and colours: the hits of any, the surest first."""
    genes = _surest(drawn)[:MOST_ROWS] or list(drawn[0].results.genes[:FEWEST_ROWS])
    sizes = np.concatenate([np.abs(one.effects(genes)).ravel() for one in drawn])
    limit = float(np.quantile(sizes, FULL_COLOUR))
    width = sum(max(0.45 * len(one.day_labels) + 0.4, _room(one, 9)) for one in drawn)
    figure = new_figure(2.4 + width, 1.4 + 0.2 * len(genes))
    panels = np.atleast_1d(figure.subplots(1, len(drawn)))
    for k, (ax, one) in enumerate(zip(panels, drawn, strict=True)):
        last = k + 1 == len(drawn)
        pl.heatmap(one.ranked, ax=ax, genes=genes, limit=limit, bar=last, **one.labels)
        ax.set_title(two_fates(one.results.fate, one.results.against), fontsize=9, loc="left")
        if k:
            ax.set_yticklabels([])
    figure.axes[-1].set_ylabel("effect, logit of\nthe panel's contrast", fontsize=8)
    return _titled(run, figure, f"dot: {drawn[0].rule.summary_line(len(drawn[0].day_labels))}")


def _room(one: _Drawn, font_size: float) -> float:
    """Return how wide a panel must be for its title, in inches."""
    longest = max(two_fates(one.results.fate, one.results.against).split("\n"), key=len)
    return len(longest) * 0.6 * font_size / 72  # a letter is not wider, on average


def _guides(run: RunFiles, own: _Drawn) -> Figure:
    assert run.guides is not None
    ax = pl.guides(own.ranked, run.guides, top=MOST_ROWS, **own.labels)
    return _titled(run, _figure(ax), own.results.title)


def _gene(run: RunFiles, drawn: Sequence[_Drawn], gene: str) -> Figure:
    """Draw a gene's effects, a panel a contrast on the same scale, with guides and replicates where known."""
    panel = max(1.5 + 0.75 * len(drawn[0].day_labels), 0.4 + max(_room(one, 10) for one in drawn))
    figure = new_figure(0.6 + panel * len(drawn), 3.8)
    panels = np.atleast_1d(figure.subplots(1, len(drawn), sharey=True))
    for ax, one in zip(panels, drawn, strict=True):
        guides = _of(one.results, run.guides, run.guides_other_fates, drawn[0].results.against)
        replicates = _of(one.results, run.replicates, run.replicates_other_fates, drawn[0].results.against)
        pl.gene(one.ranked, gene, ax=ax, guides=guides, replicates=replicates, **one.labels)
        ax.get_legend().remove()
        ax.set_title(two_fates(one.results.fate, one.results.against), fontsize=10, loc="left")
        ax.set_ylabel("effect, logit" if one is drawn[0] else "")
    marks, words = panels[0].get_legend_handles_labels()
    figure.legend(marks, words, loc="outside lower left", ncols=len(marks), frameon=False, fontsize=7)
    return _titled(run, figure, short(gene))


def _of(
    contrast: ContrastResults, own: pd.DataFrame | None, others: pd.DataFrame | None, reference: str
) -> pd.DataFrame | None:
    """Return the rows of guides or replicates for a contrast; None where the run has none."""
    if contrast.own:
        return own
    if others is None or contrast.against != reference:
        return None
    found = others[others[names.FATE].astype(str) == contrast.fate]
    return found if len(found) else None


def _composition(run: RunFiles, drawn: Sequence[_Drawn]) -> Figure:
    """Colour the hits of any contrast."""
    assert run.screen is not None
    hits = _surest(drawn)
    return _titled(run, _figure(pl.composition(run.screen, hits)))


def _controls(run: RunFiles, n_days: int) -> Figure:
    assert run.controls is not None
    betahat, se = (
        run.controls[names.day_columns(prefix, n_days)].to_numpy(dtype=float)
        for prefix in (names.BETAHAT, names.SE)
    )
    return _titled(run, _figure(pl.controls(betahat / se)))


def _weight(run: RunFiles) -> Figure:
    assert run.calibration is not None
    return _titled(run, _figure(pl.weight(run.calibration, run.fit.get("likelihood_weight"))))


def _loss(run: RunFiles) -> Figure:
    assert run.loss is not None
    return _titled(run, loss_figure(run.loss, loss_verdict(run)))


def _surest(drawn: Sequence[_Drawn]) -> list[str]:
    """Return the hits of any contrast, by the least lfsr of any of their calls."""
    least: dict[str, float] = {}
    for one in drawn:
        found = one.results
        for gene, rates, called in zip(found.genes, found.lfsr, found.called, strict=True):
            if called.any():
                least[gene] = min(least.get(gene, 1.0), float(rates[called].min()))
    return sorted(least, key=lambda gene: least[gene])

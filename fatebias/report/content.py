"""What the page says, as plain content: the template formats, it computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fatebias import names

if TYPE_CHECKING:
    from markupsafe import Markup

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ContrastResults:
    """One contrast, genes in the order of their rank. L genes, D days; effects in logits."""

    name: str  # as in discovery.contrasts; of the screen's own contrast its fate
    fate: str
    against: str
    own: bool  # the screen's own contrast: guides and errors in probability are of this one
    genes: tuple[str, ...]  # (L,)
    betahat: Array  # (L, D) before days share strength
    se: Array  # (L, D)
    postmean: Array  # (L, D) after
    postsd: Array  # (L, D)
    lfsr: Array  # (L, D)
    called: NDArray[np.bool_]  # (L, D)
    best_day: NDArray[np.int64]  # (L,) the surest day
    peak: tuple[str, ...]  # (L,) label of the day that clearly has the largest effect; empty where none has
    p_any: Array  # (L,) probability of an effect on any day
    course: tuple[str, ...]  # (L,)
    p_course: Array  # (L,)
    flip_days: tuple[str, ...]  # (L,) pairs of labels, such as d0-d4;d2-d4
    no_data: tuple[str, ...]  # (L,) labels of days without cells of the gene
    p_flip: Array  # (L,)
    mde: Array  # (L, D) least effect on that day alone that would have been called; NaN for hits
    mde_lasting: Array  # (L,)
    change: Array | None  # (L, D) change of the probability of `fate`; None where the fit kept none
    change_se: Array | None  # (L, D)
    expected_false: float  # sum of the lfsr over calls

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Which genes are called on a day, (L,)."""
        return np.asarray(self.called.any(axis=1))

    @property
    def hit_names(self) -> list[str]:
        """The hits, the surest first."""
        return [gene for gene, hit in zip(self.genes, self.hits, strict=True) if hit]

    @property
    def title(self) -> str:
        """Such as ``MES against EC``."""
        return f"{self.fate} against {self.against}"

    def short_title(self, most: int) -> str:
        """Return the title in at most `most` letters."""
        return names.versus(self.fate, self.against, most)

    def time_course(self, g: int) -> str:
        """Return a hit's time course; unclear where none has a probability of one half.

        Empty on a screen of one day: there is nothing to last, and gene_calls.csv calls every effect
        persistent.
        """
        if self.lfsr.shape[1] == 1:
            return ""
        return self.course[g] if self.p_course[g] >= 0.5 else "unclear"


@dataclass(frozen=True)
class Estimate:
    """An estimate on each day, in logits; NaN where there are hardly any cells."""

    betahat: tuple[float, ...]  # (D,)
    se: tuple[float, ...]  # (D,)


@dataclass(frozen=True)
class Part:
    """What one guide or one replicate says of its gene, by fate and against which."""

    name: str
    cells: int
    estimates: Mapping[tuple[str, str], Estimate]

    def of(self, contrast: ContrastResults) -> Estimate | None:
        """Return its estimate of a contrast; None where the run has none."""
        return self.estimates.get((contrast.fate, contrast.against))


@dataclass(frozen=True)
class Guide(Part):
    """A CRISPR guide's own estimates, its deviation from the gene included."""

    p_inactive: float | None = None  # probability that it does nothing, where the model allows that


@dataclass(frozen=True)
class Replicate(Part):
    """What one replicate alone says of a gene's effects, all else held where the fit has it."""


@dataclass(frozen=True)
class Gene:
    """What is known of a gene whatever the contrast."""

    name: str
    cells: int | None  # that carry a guide of it
    cells_by_day: tuple[int, ...]  # (D,), empty where the run did not note them
    guides: tuple[Guide, ...]
    fates: dict[str, tuple[float, ...]]  # change of each fate's probability, (D,)
    k_hat: float | None  # above 0.7 its posterior is not normal
    replicates: tuple[Replicate, ...] = ()
    # Mean probability of each fate by day, of cells with a guide of the gene and of those without, (D,)
    mean: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fact:
    """One line of the verdict: what, how much, and how to read it."""

    label: str
    value: str
    words: str = ""
    bad: bool = False  # speaks against the run


@dataclass(frozen=True)
class Advice:
    """Something to do: why, and the command where one does it."""

    why: str
    then: str
    command: str = ""


@dataclass(frozen=True)
class Row:
    """A gene under a contrast in the table of hits."""

    gene: str
    at: str  # its card: index of the contrast and of the gene within it
    contrast: str
    about: str  # the contrast as the row shows it: its fate alone where names are long
    hit: bool
    effect: float  # logits, on the surest day
    sd: float
    day: str  # the surest day
    peak: str  # the day that clearly has the largest effect, empty where none has
    change: float | None  # percentage points, on the surest day
    up: tuple[bool, ...]  # (D,) towards the contrast's fate
    lfsr: tuple[float, ...]  # (D,)
    called: tuple[bool, ...]  # (D,)
    course: str  # empty for a gene that is no hit and on a screen of one day
    p_course: float
    cells: int | None
    guides: int | None
    agree: int | None  # guides whose estimate has the gene's sign on that day
    flags: tuple[tuple[str, str], ...]  # a word and what it means


@dataclass(frozen=True)
class Chart:
    """A picture, how to read it, and what it shows for those who do not see it."""

    title: str
    reading: str
    panels: tuple[Markup, ...]
    folded: bool = False  # shown when asked for


@dataclass(frozen=True)
class Table:
    """A plain table; the first column names its rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    reading: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page with charts, tables and notes."""

    anchor: str
    title: str
    intro: str
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Methods:
    """The paragraph for a paper."""

    paragraph: str
    references: tuple[str, ...]
    to_add: str  # what the author has to say besides


@dataclass(frozen=True)
class Page:
    """Everything on the page."""

    title: str
    verdict: str
    calls: Table  # genes called by contrast and day
    facts: tuple[Fact, ...]
    advice: tuple[Advice, ...]
    day_labels: tuple[str, ...]
    contrasts: tuple[str, ...]  # titles
    rule: str
    rows: tuple[Row, ...]
    overview: Section
    sections: tuple[Section, ...]
    methods: Methods
    versions: Table
    command: str
    cards: str  # JSON that is safe within a script element

"""What the page of a sweep says, as plain content."""

from __future__ import annotations

from dataclasses import dataclass

from fatebias.report.content import Chart, Fact, Section, Table


@dataclass(frozen=True)
class Cell:
    """A gene under one setting."""

    lfsr: float  # the least over days
    up: bool  # direction of that effect
    hit: bool
    both: bool  # sure of both directions, on different days


@dataclass(frozen=True)
class GeneRow:
    """A gene under all settings."""

    gene: str
    hits: int  # settings under which it is a hit
    judged: int  # settings that tested it
    agreement: float  # share of the more frequent direction
    lowest: float  # effect on the surest day, logits
    highest: float
    cells: tuple[Cell | None, ...]  # one a setting; None where it was not tested


@dataclass(frozen=True)
class SweepPage:
    """Everything on the page."""

    title: str
    verdict: str
    facts: tuple[Fact, ...]
    settings: Table
    labels: tuple[str, ...]  # of the settings that are done, such as "#3 priors=weak"
    fates: tuple[str, str]
    picture: Chart | None
    rows: tuple[GeneRow, ...]
    sections: tuple[Section, ...]
    command: str

"""The runs of a sweep as its page and its tables read them: settings, figures and ranking of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fatebias import names
from fatebias.files.paths import RunPaths
from fatebias.files.tables import read_table
from fatebias.sweep.snapshot import Sweep
from fatebias.sweep.status import DONE, MemberStatus, read_record

if TYPE_CHECKING:
    import pandas as pd

PRIORS, DEFAULT = "priors", "default"


@dataclass(frozen=True, eq=False)
class Setting:
    """One run of a sweep."""

    status: MemberStatus
    label: str  # its number and what sets it apart, such as "#3 priors=weak"
    words: Mapping[str, str]  # what was typed of it, key to value
    choices: Mapping[str, str]  # config group to option
    figures: Mapping[str, float | bool | None]  # metrics.json
    fates: tuple[str, str]  # of the contrast: towards, and away
    day_labels: tuple[str, ...]  # empty where the run has not noted them
    ranking: pd.DataFrame | None  # hits_ranked.csv, best days as numbers; None without

    @property
    def number(self) -> int:
        """Its number in the sweep."""
        return self.status.member.number

    @property
    def hits(self) -> int | None:
        """How many genes are hits; None without a ranking."""
        return None if self.ranking is None else int(self.ranking[names.HIT_ANYDAY].astype(bool).sum())

    @property
    def priors(self) -> str:
        """The option of the group priors."""
        return self.words.get(PRIORS) or self.choices.get(PRIORS, DEFAULT)

    @property
    def weight(self) -> float | None:
        """The likelihood weight that was used."""
        found = self.figures.get("weight_used")
        return None if found is None else float(found)

    def beside(self, *keys: str) -> tuple[tuple[str, str], ...]:
        """Return what was typed, without some keys: runs with the same differ in these alone."""
        return tuple(sorted((key, value) for key, value in self.words.items() if key not in keys))


def settings_of(sweep: Sweep, found: Sequence[MemberStatus]) -> list[Setting]:
    """Return every run of a sweep."""
    return [_setting(sweep, each) for each in found]


def _setting(sweep: Sweep, status: MemberStatus) -> Setting:
    record = read_record(status.member.folder)
    screen = record.get("stages", {}).get("fit", {}).get("screen", {})
    labels = tuple(str(label) for label in record.get("day_labels") or ())
    words = (word.lstrip("+").partition("=") for word in status.member.settings)
    return Setting(
        status=status,
        label=sweep.label(status.member.number),
        words={key: value for key, _, value in words},
        choices=record.get("tracking", {}).get("choices", {}),
        figures=_figures(status),
        fates=(
            str(screen.get("contrast", "the contrast fate")),
            str((screen.get("fates") or ["the reference fate"])[0]),
        ),
        day_labels=labels,
        ranking=_ranking(status, labels),
    )


def _figures(status: MemberStatus) -> dict[str, Any]:
    path = RunPaths(status.member.folder).metrics
    if status.state != DONE or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _ranking(status: MemberStatus, labels: Sequence[str]) -> pd.DataFrame | None:
    hits = RunPaths(status.member.folder).hits
    if status.state != DONE or not hits.is_file():
        return None
    table = read_table(hits)
    days = [names.day_number(day, labels) for day in table[names.BEST_DAY]]
    return table.assign(**{names.BEST_DAY: days})

"""What a day label says: its number, its unit, and the text around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

HOURS, MINUTES, WEEKS, MONTHS, YEARS = 1 / 24, 1 / 1440, 7.0, 30.4375, 365.25  # in days
# Words that are a unit before or after the number. "m" may be a minute or a month: it is none.
WORDS = {
    **dict.fromkeys(("min", "mins", "minute", "minutes"), MINUTES),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), HOURS),
    **dict.fromkeys(("d", "day", "days"), 1.0),
    **dict.fromkeys(("wk", "wks", "week", "weeks"), WEEKS),
    **dict.fromkeys(("mo", "mos", "mon", "month", "months"), MONTHS),
    **dict.fromkeys(("yr", "yrs", "year", "years"), YEARS),
}
# Letters that are a unit after the number alone: in front of it they are names (H9 is a cell line).
LETTERS = {"h": HOURS, "w": WEEKS, "y": YEARS}
SINCE = re.compile(r"([hdwy])(p[a-z]{1,2})")  # 24hpf, 3dpi: hours or days after some event
NUMBER = re.compile(r"\d+(?:\.\d+)?")
PLAIN = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
BETWEEN = " _.-"  # signs that may separate a word from the number


@dataclass(frozen=True)
class DayLabel:
    """A label with one number."""

    number: float
    unit: float | None  # in days; None where no word beside the number is a unit
    around: str  # the text around number and unit, without case, spaces and hyphens
    hyphen: bool = False  # there is a minus between a letter and the number: a sign or a hyphen

    @property
    def is_bare_zero(self) -> bool:
        """Whether it is zero in any unit."""
        return self.number == 0 and self.unit is None and not self.around


def numbers_in(label: str) -> int:
    """Count the numbers in a label."""
    return 1 if PLAIN.fullmatch(label.strip()) else len(NUMBER.findall(label))


def read_label(label: str) -> DayLabel:
    """Take apart a label that holds one number."""
    plain = label.strip().replace("\N{MINUS SIGN}", "-").casefold()
    if PLAIN.fullmatch(plain):
        return DayLabel(float(plain), None, "")
    found = NUMBER.search(plain)
    assert found is not None
    before, number, after = plain[: found.start()], float(found[0]), plain[found.end() :]
    hyphen = False
    if before.endswith(("-", "+")):
        before, sign = before[:-1], before[-1]
        hyphen = sign == "-" and before[-1:].isalpha()
        if sign == "-" and not hyphen:
            number = -number
    unit, before, after = _take_unit(before, after)
    around = re.sub(r"[\s_.-]+", " ", f"{before}#{after}").replace(" #", "#").replace("# ", "#").strip()
    return DayLabel(number, unit, around.strip("#"), hyphen)


def _take_unit(before: str, after: str) -> tuple[float | None, str, str]:
    """Return the unit in days, and the text around the number without it."""
    word = re.match(rf"[{BETWEEN}]*([a-z]+)", after)
    if word and (since := SINCE.fullmatch(word[1])):
        return {**WORDS, **LETTERS}[since[1]], before, f"{since[2]} {after[word.end() :]}"
    if word and word[1] in {**WORDS, **LETTERS}:
        return {**WORDS, **LETTERS}[word[1]], before, after[word.end() :]
    word = re.search(rf"(?<![a-z])([a-z]+)[{BETWEEN}]*$", before)
    if word and word[1] in WORDS:
        return WORDS[word[1]], before[: word.start()], after
    return None, before, after


def days_of(labels: Sequence[DayLabel]) -> tuple[list[float], str | None]:
    """Return the time of each label, in days where units are known, and why it is not sure (None: it is).

    A minus after a letter is a sign where a zero without one makes a line of days (d-1, d0, d2), and a hyphen
    where every label has it (Day-1, Day-2).
    """
    doubt = None
    signs = [label.hyphen for label in labels]
    negative = any(signs) and not all(signs)
    if negative and not any(label.number == 0 for label in labels if not label.hyphen):
        doubt = "the minus may be a sign or a hyphen"
    counted = [label for label in labels if not label.is_bare_zero]
    if len({label.around for label in counted}) > 1:
        doubt = "the text around their numbers differs"
    elif len({label.unit is None for label in counted if label.number}) > 1:
        doubt = "some have a unit and others none"
    times = [
        (-label.number if negative and label.hyphen else label.number)
        * (1.0 if label.unit is None else label.unit)
        for label in labels
    ]
    return times, doubt

"""Numbers as a reader wants them."""

from __future__ import annotations

import math

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, such as +1.14; a dash where there is none."""
    if not math.isfinite(value):
        return DASH
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def plain(value: float | None, digits: int = 3) -> str:
    """Return a number to that many digits that count, without exponents where they can be avoided."""
    if value is None or not math.isfinite(value):
        return DASH
    if value and not 1e-4 <= abs(value) < 1e6:
        return _exponent(value)
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"
    return text.replace("-", MINUS)


def lfsr(value: float) -> str:
    """Return a local false sign rate: decimals where they are read at a glance, else an exponent."""
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "< 1e" + MINUS + "300"
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}" if value >= 0.00095 else _exponent(value)


def chance(value: float) -> str:
    """Return a probability to two decimals, never rounded to 0 or 1."""
    return "< 0.01" if value < 0.005 else "> 0.99" if value > 0.995 else f"{value:.2f}"


def expected(value: float) -> str:
    """Return an expected number of false calls."""
    return "fewer than 0.01" if value < 0.01 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun, such as ``1 gene`` and ``1,200 genes``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(items: list[str], most: int = 6) -> str:
    """Return the first items and how many more there are."""
    shown = items[:most]
    if len(items) > most:
        return ", ".join(shown) + f" and {len(items) - most:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _exponent(value: float) -> str:
    digits, _, power = f"{value:.0e}".partition("e")
    return (f"{digits}e{int(power)}").replace("-", MINUS)

"""What settings may be: the checks that several groups share."""

from __future__ import annotations

import difflib
import math

from fatebias.errors import ConfigError


def refuse(key: str, found: object, allowed: object, fix: str | None = None) -> ConfigError:
    """Return the error for a value that cannot be used."""
    return ConfigError(
        f"{key} has a value that cannot be used", where=key, found=found, allowed=allowed, fix=fix
    )


def one_of(key: str, found: str, choices: tuple[str, ...], *, in_list: bool = False) -> None:
    """Refuse a value, or one of a list, that is none of the choices."""
    if found not in choices:
        near = difflib.get_close_matches(found, choices, n=1)
        meant = f"'{key}=[{near[0]}]'" if near and in_list else f"{key}={near[0]}" if near else ""
        raise refuse(key, found, choices, f"did you mean {meant}?" if near else None)


def positive(key: str, found: float | None, *, zero: bool = False) -> None:
    """Refuse a number that is not finite and above zero, or zero where that is allowed; None is no number."""
    if found is None:
        return
    if not math.isfinite(found) or found < 0 or (found == 0 and not zero):
        raise refuse(key, found, "a finite number, zero or more" if zero else "a finite number above zero")


def share(key: str, found: float | None) -> None:
    """Refuse a number that is not between 0 and 1; None is no number."""
    if found is not None and not 0 < found < 1:
        raise refuse(key, found, "a number between 0 and 1, both excluded")

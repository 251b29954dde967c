"""The errors a user can meet, and the one shape their messages have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

# Hydra takes other words than these for numbers, truth values, null, or several things.
PLAIN_WORD = re.compile(r"(?!(?:null|true|false|nan|inf)$)[a-z_][\w./-]*", re.IGNORECASE | re.ASCII)


class FatebiasError(Exception):
    """Base of every error that fatebias raises on purpose: what, where, found, allowed, and what to do."""

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        allowed: object = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(explain(what, where=where, found=found, allowed=allowed, fix=fix))
        self.what, self.where, self.found, self.allowed, self.fix = what, where, found, allowed, fix


class ConfigError(FatebiasError):
    """A setting is misspelt, out of range or at odds with another."""


class DataError(FatebiasError):
    """The AnnData file or the guide map does not hold what the model needs."""


class FitError(FatebiasError):
    """Inference could not give a posterior worth using."""


class DiscoveryError(FatebiasError):
    """Discovery could not read its input, run its engine or trust its output."""


class OutputError(FatebiasError):
    """A result cannot be written."""


class SweepError(FatebiasError):
    """Some runs of a sweep failed; the others are done."""


def explain(
    what: str,
    *,
    where: object = None,
    found: object = None,
    allowed: object = None,
    fix: str | None = None,
) -> str:
    """Return an error's message: `what` without its full stop, then one line for each part given."""
    lines = [what]
    for label, part in (("where", where), ("found", found), ("allowed", allowed), ("fix", fix)):
        if part is not None:
            lines.append(f"  {label}: {_listed(part)}")
    return "\n".join(lines)


def some(items: Iterable[object], most: int = 10) -> str:
    """Return the first `most` items as text and the number of further ones: ``'a', 'b' and 3 more``."""
    listed = list(items)
    shown = ", ".join(repr(item) for item in listed[:most])
    return shown if len(listed) <= most else f"{shown} and {len(listed) - most} more"


def setting(key: str, value: object) -> str:
    """Return ``KEY=VALUE`` as it can be pasted into a shell: quoted for Hydra, then for the shell.

    Examples
    --------
    >>> setting("data.Kmax", 30)
    'data.Kmax=30'
    >>> print(setting("data.day_order", ["d0", "day 2"]))
    'data.day_order=[d0,"day 2"]'
    """
    return shlex.quote(f"{key}={_for_hydra(value)}")


def _for_hydra(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_for_hydra, value))}]"
    if isinstance(value, Mapping):
        # Hydra takes no quotation marks around a key, but a backslash in front of its own signs.
        keys = {re.sub(r"([\\()\[\]{}:=,\s])", r"\\\1", str(key)): item for key, item in value.items()}
        return "{" + ",".join(f"{key}:{_for_hydra(item)}" for key, item in keys.items()) + "}"
    written = str(value)
    if not isinstance(value, str) or PLAIN_WORD.fullmatch(written):
        return written
    # A backslash counts only in front of a quotation mark or of ${, and there each must be doubled.
    escaped = re.sub(r'(\\*)("|\$\{)', r"\1\1\\\2", written)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def _listed(part: object) -> str:
    if isinstance(part, (list, tuple, set, frozenset)):
        return ", ".join(str(item) for item in part) if part else "none"
    return str(part)

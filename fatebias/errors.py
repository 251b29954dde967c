"""The errors a user can meet, and the one shape their messages have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
    return _with_rest(map(repr, listed[:most]), len(listed) - most)


def few(texts: Sequence[str], most: int = 10) -> str:
    """Return the first `most` texts as they are and the number of further ones: ``a, b and 3 more``."""
    return _with_rest(texts[:most], len(texts) - most)


def _with_rest(shown: Iterable[str], further: int) -> str:
    return ", ".join(shown) + (f" and {further} more" if further > 0 else "")


def _listed(part: object) -> str:
    if isinstance(part, (list, tuple, set, frozenset)):
        return ", ".join(str(item) for item in part) if part else "none"
    return str(part)

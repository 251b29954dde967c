"""Settings and commands as a user can paste them into a shell: quoted for Hydra, then for the shell."""

from __future__ import annotations

import difflib
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# What Hydra reads as text without quotes (its grammar's ID and a few signs; a path), and nothing else.
PLAIN = re.compile(r"/?[A-Za-z_][A-Za-z0-9_./-]*")
# Words that Hydra would read as no text, and names that it reads as functions or interpolations.
OTHER_KINDS = {"null", "true", "false", "yes", "no", "on", "off", "inf", "nan"}


def setting(key: str, value: object) -> str:
    """Return ``key=value`` for a command line.

    >>> print(setting("data.day_order", ["day 0", "d,1"]))
    'data.day_order=["day 0","d,1"]'
    >>> print(setting("data.Kmax", 40))
    data.Kmax=40
    """
    return shlex.quote(f"{key}={_for_hydra(value)}")


def choice(key: str, names: Sequence[object], meant: str = "") -> str:
    """Return the setting with the name that is nearest to the one meant, and say that there are others.

    >>> print(choice("data.day_key", ["batch", "Day"], "day"))
    data.day_key=Day (or another of these)
    """
    texts = [str(name) for name in names]

    def likeness(name: str) -> tuple[bool, float]:
        plain = name.casefold()
        return meant.casefold() in plain, difflib.SequenceMatcher(None, meant.casefold(), plain).ratio()

    chosen = max(texts, key=likeness, default="NAME") if meant else next(iter(texts), "NAME")
    return setting(key, chosen) + (" (or another of these)" if len(texts) > 1 else "")


def command(*settings: tuple[str, object], program: str | None = None) -> str:
    """Return a whole command line of this program with some settings.

    >>> print(command(("data", "anndata"), ("seed", 1), program="fatebias"))
    fatebias data=anndata seed=1
    """
    return " ".join([program or started_by(), *(setting(*each) for each in settings)])


def started_by() -> str:
    """Return what starts this program where the user is: the script, the installed command or the module."""
    name = Path(sys.argv[0]).name
    if name == "run.py":
        return "python run.py"
    return "fatebias" if name == "fatebias" or shutil.which("fatebias") else "python -m fatebias.app"


def meant(value: str) -> str:
    """Return the text that a value means which was typed for Hydra, with its quotes or without.

    >>> print(meant('"a (1)"'))
    a (1)
    """
    quote = value[:1]
    if quote not in ("'", '"') or len(value) < 2 or value[-1] != quote:
        return value

    def without_escape(found: re.Match[str]) -> str:
        return "\\" * (len(found[1]) // 2) + found[2]

    return re.sub(rf"(\\+)({quote}|$)", without_escape, value[1:-1])


def quoted(word: str) -> str:
    """Return ``key=value`` that Hydra cannot read with quotes around its text, or around each of a list.

    >>> print(quoted("data.fates=[Early EC/1,MES (late),NEU+]"))
    'data.fates=["Early EC/1","MES (late)","NEU+"]'
    >>> print(quoted("data.ref_fate=MES (late)"))
    'data.ref_fate="MES (late)"'
    """
    key, _, value = word.partition("=")
    value = value.strip()
    if value[:1] != "[" or value[-1:] != "]":
        return setting(key, meant(value))
    # Commas within a pair of quotes belong to a name; a quotation mark without its pair is a sign as others.
    names = re.findall(r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^,]+?)\s*(?:,|$)""", value[1:-1])
    return setting(key, [meant(name) for name in names])


def _for_hydra(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(str(k))}:{_for_hydra(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(_for_hydra, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else str(value)


def _key(name: str) -> str:
    """Return a key of a mapping: Hydra takes no quotes there, but a backslash before its own signs."""
    return re.sub(r"([\\()\[\]{}:=,\s])", r"\\\1", name)


def _text(value: str) -> str:
    if PLAIN.fullmatch(value) and value.lower() not in OTHER_KINDS:
        return value
    # Within quotes Hydra takes backslashes as they are, but for those before the closing quote, and OmegaConf
    # still reads ${...} as an interpolation.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    escaped = re.sub(r"(\\*)\$\{", r"\1\1\\${", escaped)
    return f'"{escaped}"'

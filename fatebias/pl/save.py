"""New Axes and files of pictures without pyplot, whose figures are global and stay in memory."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias import names
from fatebias.files.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
PRINT_DPI = 300
PNG_LEVEL = 3  # of zlib: half the time of its default, a quarter more bytes
LINE = 34  # letters that an axis or a narrow panel has room for
# Fonts with letters that matplotlib's own lacks, one or two of each system.
FALLBACK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei",
    "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "Unifont",
)  # fmt: skip
# Text stays text that a journal's editor can change; the same figure gives the same bytes.
STYLE: Any = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "fatebias"}
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "fatebias"},
    "pdf": {"Creator": "fatebias", "CreationDate": None},
    "svg": {"Creator": "fatebias", "Date": None},
}


def new_axes(width: float, height: float) -> Axes:
    """Return the Axes of a new figure, whose size is in inches."""
    return new_figure(width, height).subplots()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_png(drawn: Axes | Figure, final: Path) -> None:
    """Write a figure, or the figure of some Axes, as PNG for the screen: whole or not at all."""
    _save(drawn, final, dpi=None)


def save_figure(drawn: Axes | Figure, final: Path) -> None:
    """Write a figure for print, in the format of the file's ending (`FORMATS`): whole or not at all."""
    _save(drawn, final, dpi=PRINT_DPI)


def _save(drawn: Axes | Figure, final: Path, dpi: float | None) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    assert isinstance(figure, Figure)  # part of a figure cannot be saved
    kind = final.suffix.removeprefix(".")
    _with_fonts(figure)
    with atomic_path(final) as draft, rc_context(STYLE), _quiet():
        more: dict[str, Any] = {"pil_kwargs": {"compress_level": PNG_LEVEL}} if kind == "png" else {}
        figure.savefig(draft, format=kind, dpi=dpi or "figure", metadata=METADATA[kind], **more)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep fontTools' steps and letters that no font has off the screen and out of the log of a run."""
    log = logging.getLogger("fontTools")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield
    finally:
        log.setLevel(level)


def _with_fonts(figure: Figure) -> None:
    """Let texts with letters that their font lacks take them from another that is installed."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        families = [family for family in text.get_fontfamily() if family not in FALLBACK_FONTS]
        if any(ord(letter) not in _letters(tuple(families)) for letter in text.get_text().replace("\n", "")):
            text.set_fontfamily([*families, *_installed()])


@functools.cache
def _letters(families: tuple[str, ...]) -> frozenset[int]:
    """Return the code points that a font has."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family=list(families)))).get_charmap())


@functools.cache
def _installed() -> tuple[str, ...]:
    """Return the fallback fonts that this computer has."""
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return tuple(name for name in FALLBACK_FONTS if name in there)


def without_frame(ax: Axes) -> None:
    """Hide the upper and the right spine."""
    ax.spines[["top", "right"]].set_visible(False)


def literal(label: object) -> str:
    """Return a label that matplotlib does not read as mathematics."""
    return str(label).replace("$", r"\$")


def named(name: object, most: int = names.LONGEST) -> str:
    """Return the name of a gene, fate or day as a picture shows it: not too long, no mathematics."""
    return literal(names.short(name, most))


def two_fates(fate: str, against: str) -> str:
    """Return ``FATE against FATE`` for a narrow place: on two lines where one is too long."""
    whole = f"{fate} against {against}"
    return literal(whole) if len(whole) <= LINE else f"{named(fate)}\nagainst {named(against)}"

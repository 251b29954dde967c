"""New Axes and files of pictures without pyplot, whose figures are global and stay in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.files.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
PRINT_DPI = 300
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
    with atomic_path(final) as draft, rc_context(STYLE):
        figure.savefig(draft, format=kind, dpi=dpi or "figure", metadata=METADATA[kind])


def without_frame(ax: Axes) -> None:
    """Hide the upper and the right spine."""
    ax.spines[["top", "right"]].set_visible(False)


def literal(label: object) -> str:
    """Return a label that matplotlib does not read as mathematics."""
    return str(label).replace("$", r"\$")

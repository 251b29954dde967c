"""New Axes and PNG files without pyplot, whose figures are global and stay in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fatebias.files.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_axes(width: float, height: float) -> Axes:
    """Return the Axes of a new figure, whose size is in inches."""
    return new_figure(width, height).subplots()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_png(drawn: Axes | Figure, final: Path) -> None:
    """Write a figure, or the figure of some Axes, as PNG: whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    assert isinstance(figure, Figure)  # part of a figure cannot be saved
    with atomic_path(final) as draft:
        FigureCanvasAgg(figure).print_png(str(draft), metadata={"Software": "fatebias"})


def without_frame(ax: Axes) -> None:
    """Hide the upper and the right spine."""
    ax.spines[["top", "right"]].set_visible(False)


def literal(label: object) -> str:
    """Return a label that matplotlib does not read as mathematics."""
    return str(label).replace("$", r"\$")

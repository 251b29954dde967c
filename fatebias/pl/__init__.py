"""Pictures of results. Each function takes arrays or tables, draws on the Axes given and returns them.

Without ``ax`` a function draws on a figure of its own that pyplot does not know: pass
``ax=plt.subplots()[1]`` where a notebook or ``plt.show()`` is to show it, or save it with
``ax.figure.savefig("hits.png")``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fatebias.pl._composition import composition
    from fatebias.pl._controls import controls
    from fatebias.pl._gene import gene
    from fatebias.pl._guides import guides
    from fatebias.pl._heatmap import heatmap
    from fatebias.pl._hits import hits
    from fatebias.pl._loss import loss
    from fatebias.pl._spike_in import spike_in
    from fatebias.pl._sweep import sweep
    from fatebias.pl._volcano import volcano
    from fatebias.pl._weight import weight

__all__ = [
    "composition", "controls", "gene", "guides", "heatmap", "hits", "loss", "spike_in", "sweep", "volcano",
    "weight",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Modules have an underscore: importing one named "hits" would put the module in the function's place.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._{name}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""fatebias: which perturbed genes push cells towards one fate rather than another, and on which day.

>>> import fatebias as fb
>>> screen = fb.read_screen("screen.h5ad", guides="guides.csv")  # doctest: +SKIP
>>> fit = fb.fit(screen, preset="calibrated")  # doctest: +SKIP
>>> hits = fb.discover(fit)  # doctest: +SKIP
>>> fb.pl.hits(hits)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fatebias import mash, pl
    from fatebias.api import FitResult, Hits, demo_files, discover, fit, load, read_screen, to_anndata
    from fatebias.preparation.prepare import prepare
    from fatebias.report.page import write_report

__all__ = [
    "FitResult",
    "Hits",
    "demo_files",
    "discover",
    "fit",
    "load",
    "mash",
    "pl",
    "prepare",
    "read_screen",
    "to_anndata",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: the command line must not wait for pandas or torch."""
    if name in ("mash", "pl"):
        return import_module(f"fatebias.{name}")
    if name == "prepare":
        return import_module("fatebias.preparation.prepare").prepare
    if name == "write_report":
        return import_module("fatebias.report.page").write_report
    if name in __all__:
        return getattr(import_module("fatebias.api"), name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("fatebias")
        except PackageNotFoundError:  # a source tree that was never installed
            return "0+unknown"
    raise AttributeError(f"module 'fatebias' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""What `import fatebias` offers: read a screen, fit it, call hits; the command line calls the same."""

from __future__ import annotations

from fatebias.api.fitting import fit
from fatebias.api.hits import Hits, discover, to_anndata
from fatebias.api.results import FitResult, load
from fatebias.api.screens import demo_files, read_screen

__all__ = ["FitResult", "Hits", "demo_files", "discover", "fit", "load", "read_screen", "to_anndata"]

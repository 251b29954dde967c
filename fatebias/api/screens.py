"""Screens from Python: from files, or from objects in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.api.settings import make_config
from fatebias.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from fatebias.config import DataConfig
    from fatebias.data.screen import Screen


def read_screen(
    source: str | Path | AnnData, guides: str | Path | pd.DataFrame | None = None, **settings: Any
) -> Screen:
    """Return the screen in an AnnData or MuData, a file or an object, checked and ready to fit.

    Only ``obs``, ``obsm`` and names in ``uns`` are read, never the expression matrix; an object in memory is
    left as it is. Columns of fates are found by name: those of a DataFrame, of a CellRank ``Lineage`` in
    memory, or of ``fate_columns``.

    Parameters
    ----------
    source
        ``.h5ad`` or ``.h5mu`` file, ``.zarr`` folder, or an AnnData or MuData in memory, with N cells.
    guides
        Guide map, text table or DataFrame, with the columns ``guide_name``, ``gene_name``, ``is_ntc``. None
        where the screen says itself what its guides target: a modality of guides, CELLxGENE's ``uns``.
    **settings
        The settings of ``conf/data/anndata.yaml`` by name: ``fates=["EC", "MES", "NEU"]``, ``ref_fate="EC"``,
        ``contrast_fate="MES"``, ``day_key="day"``, ``guide_threshold=4``, ...

    Returns
    -------
    Screen
        Kept cells with fate probabilities (N, F), guides, day and replicate; ``screen.summary`` names what
        was read and dropped, and why.

    Raises
    ------
    DataError
        When the data do not hold what the model needs: what, where, found, and the setting that solves it.
    ConfigError
        For a setting that does not exist or a value that cannot be used.

    Examples
    --------
    >>> import fatebias as fb
    >>> adata, guides = fb.demo_files()
    >>> fb.read_screen(adata, guides=guides).N
    8000
    """
    from fatebias.data.load import read_screen as read

    return read(source, guides, screen_settings(source, guides, settings))


def screen_settings(
    source: str | Path | AnnData, guides: str | Path | pd.DataFrame | None, settings: dict[str, Any]
) -> DataConfig:
    """Return checked settings of ``data`` for a screen whose files are given apart."""
    for name in ("source", "adata_path", "guide_map_csv"):
        if name in settings:
            raise ConfigError(
                f"{name} is not a setting of read_screen",
                where=name,
                fix="give the file or object first, the guide map as guides=",
            )
    paths = {}
    if isinstance(source, (str, Path)):
        paths["adata_path"] = str(source)
    if isinstance(guides, (str, Path)):
        paths["guide_map_csv"] = str(guides)
    in_files = "adata_path" in paths and (guides is None or "guide_map_csv" in paths)
    kind = "anndata" if in_files else "memory"  # what config.yaml of a saved fit names as the source
    return make_config(data={"source": kind, **paths, **settings}).data


def demo_files() -> tuple[Path, Path]:
    """Return the AnnData file and the guide map of the bundled screen: 8,000 cells, 60 genes, 4 days.

    Examples
    --------
    >>> import fatebias as fb
    >>> [path.name for path in fb.demo_files()]
    ['screen.h5ad', 'guides.csv']
    """
    from fatebias.data.load import DEMO_DIR, GUIDES_CSV, SCREEN_H5AD

    return DEMO_DIR / SCREEN_H5AD, DEMO_DIR / GUIDES_CSV

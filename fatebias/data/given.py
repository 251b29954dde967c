"""The files that settings name: found, or refused before a run or a sweep begins."""

from __future__ import annotations

from pathlib import Path

from fatebias.config import DataConfig


def check_files(data: DataConfig) -> None:
    """Refuse a screen or guide map that is not there, and a screen that needs a guide map and has none.

    Only names within the screen's file are read, and those only where no guide map is given.

    Raises DataError.
    """
    if data.source != "anndata":
        return
    from fatebias.data.reading.guide_map import check_there as check_map
    from fatebias.data.reading.open_file import check_there

    path = Path(data.adata_path or "")
    check_there(path)
    if data.guide_map_csv is not None:
        check_map(Path(data.guide_map_csv))
        return
    from fatebias.data.reading.anndata_file import open_store
    from fatebias.data.reading.guide_source import read_map
    from fatebias.data.reading.modalities import choose_parts

    with open_store(path) as opened:
        read_map(choose_parts(opened, data), None, data)

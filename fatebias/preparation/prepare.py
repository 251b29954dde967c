"""One call from what people have to the two files of a screen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.preparation.kinds import NON_TARGETING

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from fatebias.data.screen import Screen


@dataclass(frozen=True)
class Prepared:
    """A screen that is written and was read back."""

    screen: Path  # .h5ad
    guide_map: Path  # CSV
    picture: Path  # PNG: counts and the threshold, guides a cell
    read: Screen
    told: str  # what was done, and the commands to paste next

    def __str__(self) -> str:
        """Return what was done."""
        return self.told


def prepare(
    source: str | Path | AnnData,
    library: str | Path | pd.DataFrame | None = None,
    *,
    out: str | Path = "prepared",
    guides: str | Path | None = None,
    controls: Sequence[str] = (NON_TARGETING,),
    positive: Collection[str] = (),
    overwrite: bool = False,
    **settings: Any,
) -> Prepared:
    """Write the screen and the guide map that ``data=anndata`` reads as they are, and say what was done.

    Parameters
    ----------
    source
        ``.h5ad``, ``.h5mu``, ``.zarr`` or an AnnData or MuData in memory, with N cells: CellRank's fates in
        ``obsm["lineages_fwd"]`` (a Lineage in memory keeps the names of its columns), day and replicate in
        obs.
    library
        Table of guides and their genes: a guide map, Cell Ranger's feature reference, IGVF's guide metadata
        and the like. None where the screen says itself what its guides target.
    out
        Folder for ``screen.h5ad``, ``guides.csv`` and ``guides.png``.
    guides
        Where the guides are: a key of obsm, a modality, an obs column with calls as ``A|B``, or a file such
        as Cell Ranger's ``protospacer_calls_per_cell.csv``. None looks for them.
    controls
        What counts as a control: ``non-targeting``, ``safe-targeting``, genes of the library.
    positive
        Genes known to act, whose cells are counted.
    overwrite
        Replace files of an earlier call; an input is never overwritten.
    **settings
        Settings of ``conf/data/anndata.yaml`` by name, such as ``fates``, ``ref_fate``, ``contrast_fate``,
        ``day_key``, ``rep_key``, ``guide_threshold``.

    Returns
    -------
    Prepared
        The paths, the screen as it is read, and what was done: ``print(prepared)``.

    Raises
    ------
    DataError
        Where the input does not hold what the model needs.
    ConfigError
        For a setting that does not exist or a value that cannot be used.
    OutputError
        Where a file is there already or cannot be written.

    Examples
    --------
    >>> import fatebias as fb
    >>> prepared = fb.prepare(adata, "library.csv", guides="feature_call")  # doctest: +SKIP
    >>> print(prepared)  # doctest: +SKIP
    """
    from fatebias.api.screens import screen_settings
    from fatebias.data.reading.build import build_screen
    from fatebias.data.reading.fates import with_noted_fates
    from fatebias.data.reading.reader import read_raw
    from fatebias.pl._guide_counts import guides_figure
    from fatebias.preparation.files import Places, settings_of_run, write_files
    from fatebias.preparation.library import library_of_map, read_library
    from fatebias.preparation.source import look_inside, with_threshold
    from fatebias.preparation.told import what_was_done

    where = Path(source) if isinstance(source, str) else source
    table = Path(library) if isinstance(library, str) else library
    places = Places(Path(out))
    data = screen_settings(where, None, dict(settings))
    inside = look_inside(where, None if guides is None else str(guides), data, with_map=table is None)
    inputs = [each for each in (where, table, Path(inside.data.guide_calls or "")) if isinstance(each, Path)]
    places.check([path for path in inputs if path != Path()], overwrite)
    if table is None:
        assert inside.guide_map is not None  # the reader refuses a screen without
        found = library_of_map(inside.guide_map, controls, data.two_targets)
    else:
        found = read_library(table, inside.names, controls, data.two_targets)
    raw = read_raw(where, found.guide_map, inside.data)
    data, ambient = with_threshold(raw, with_noted_fates(raw, inside.data))
    screen = build_screen(raw, data)
    threshold = None if data.guide_threshold is None else float(data.guide_threshold)
    more = settings_of_run(data)
    told = what_was_done(screen, found, ambient, threshold, positive, places, more)
    counts = raw.guides.data[raw.guides.data > 0]
    picture = guides_figure(counts, screen.n_guides, threshold)
    write_files(places, where, raw, screen, found, picture, data)
    return Prepared(places.screen, places.guide_map, places.picture, screen, told)

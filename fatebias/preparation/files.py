"""The files of a prepared screen: written beside their names, read back, and only then given them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import DataConfig
from fatebias.data.load import GUIDES_CSV, SCREEN_H5AD, read_screen
from fatebias.data.reading.anndata_file import open_store
from fatebias.data.reading.elements import as_series
from fatebias.data.reading.guide_columns import column_names, split_columns
from fatebias.data.reading.guide_entries import present_entries
from fatebias.data.reading.guide_source import GUIDE_NAMES
from fatebias.data.reading.labels import text
from fatebias.data.reading.modalities import choose_parts
from fatebias.data.reading.raw import RawScreen
from fatebias.data.reading.reader import NOTED, NOTED_CONTRAST, NOTED_FATES
from fatebias.data.screen import Screen
from fatebias.data.writing import texts, write_anndata, write_csv
from fatebias.errors import DataError, OutputError, some
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import gone_on_failure, prepare_out_dir
from fatebias.preparation.library import Library

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_PNG = "guides.png"
OUT = "--out "
ELSEWHERE = f"free some room, or write to another folder: {OUT}FOLDER"
# Settings that a file cannot carry: a run of it needs them again where they are not the defaults.
OF_THE_RUN = (
    "covariates", "cell_weights", "weights", "cluster_key", "commitment_key", "meant_labels", "Kmax",
    "min_cells",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the files go."""

    folder: Path

    @property
    def screen(self) -> Path:
        """The screen."""
        return self.folder / SCREEN_H5AD

    @property
    def guide_map(self) -> Path:
        """The guide map."""
        return self.folder / GUIDES_CSV

    @property
    def picture(self) -> Path:
        """The picture of the guides."""
        return self.folder / PICTURE_PNG

    @property
    def all(self) -> tuple[Path, ...]:
        """All three."""
        return self.screen, self.guide_map, self.picture

    def check(self, inputs: Iterable[Path], overwrite: bool) -> None:
        """Refuse to write over an input, ever, and over other files unless that is asked for."""
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(
                f"{OUT.strip()} names a file",
                where=self.folder,
                allowed="a folder, which is made where it is not there",
                fix=f"write to a folder: {OUT}FOLDER",
            )
        for final in self.all:
            for path in inputs:
                if path.exists() and final.exists() and path.samefile(final):
                    raise OutputError(
                        "a file that is read would be overwritten",
                        where=final,
                        fix="write to another folder: --out FOLDER",
                    )
            if final.exists() and not overwrite:
                raise OutputError(
                    "there is such a file already",
                    where=final,
                    fix="--overwrite replaces it, --out FOLDER writes elsewhere",
                )


def settings_of_run(data: DataConfig) -> dict[str, Any]:
    """Return the settings that a run of the prepared screen needs, too."""
    plain = DataConfig()
    differ = {key: getattr(data, key) for key in OF_THE_RUN if getattr(data, key) != getattr(plain, key)}
    return differ | ({"two_targets": "both"} if data.two_targets == "both" else {})


def write_files(
    places: Places,
    source: Path | AnnData,
    raw: RawScreen,
    screen: Screen,
    library: Library,
    picture: Figure | Axes,
    data: DataConfig,
) -> None:
    """Write screen, guide map and picture; none is there under its name unless the screen is read back."""
    from fatebias.pl.save import save_png

    parts = _parts(source, raw, screen, library, data)
    with gone_on_failure(places.folder, places.all):
        prepare_out_dir(places.folder, OUT)
        with (
            atomic_path(places.picture, ELSEWHERE) as drawn,
            atomic_path(places.guide_map, ELSEWHERE) as guide_map,
            atomic_path(places.screen, ELSEWHERE) as written,
        ):
            save_png(picture, drawn)
            write_csv(
                guide_map, (names.MAP_GUIDE, names.MAP_GENE, names.MAP_NTC, "kind"), _rows_of_map(library)
            )
            write_anndata(written, parts)
            plain = DataConfig(
                source="anndata",
                adata_path=str(written),
                guide_map_csv=str(guide_map),
                **settings_of_run(data),
            )
            _check_same(screen, read_screen(written, guide_map, plain))


def _parts(
    source: Path | AnnData, raw: RawScreen, screen: Screen, library: Library, data: DataConfig
) -> dict[str, Any]:
    """Return the kept cells as the default settings read them."""
    import pandas as pd

    plain = DataConfig()
    rows = _rows_of(screen, raw)
    cells = pd.Index(texts(screen.cells), dtype=object)
    guides = column_names(raw)
    present, _, _ = present_entries(raw, data)
    present, guides, _ = split_columns(present, guides, library.guide_map.gene_of)
    known = [
        place
        for place, guide in enumerate(guides)
        if guide in library.guide_map.gene_of and guide not in library.guide_map.left_out
    ]
    obs = _obs(source, raw, rows, data).set_axis(cells)
    obs[plain.day_key] = _categorical(screen.day, screen.day_labels, ordered=True)
    obs[plain.rep_key] = _categorical(screen.rep, screen.rep_labels, ordered=False)
    return {
        "obs": obs,
        "obsm": {
            plain.fate_prob_key: pd.DataFrame(screen.p, index=cells, columns=texts(screen.fates)),
            plain.guide_key: present[rows][:, known].astype(np.int8),
        },
        "uns": {
            GUIDE_NAMES: texts(guides[place] for place in known),
            NOTED: {NOTED_FATES: texts(screen.fates), NOTED_CONTRAST: screen.contrast},
        },
        "obsp": {} if raw.graph is None else {plain.connectivities_key: raw.graph[rows][:, rows]},
    }


def _rows_of(screen: Screen, raw: RawScreen) -> NDArray[np.intp]:
    """Return the rows of the kept cells."""
    row_of = {str(cell): row for row, cell in enumerate(raw.cells)}
    if len(row_of) < raw.cells.size:
        raise DataError(
            "cells share a name",
            where=raw.source,
            found=f"{raw.cells.size - len(row_of):,} names that others have, too",
            allowed="each name once in obs_names",
            fix="adata.obs_names_make_unique(), then write it again; where samples were joined, put the "
            "sample into the names before, so that guide calls still match",
        )
    return np.array([row_of[str(cell)] for cell in screen.cells], dtype=np.intp)


def _obs(source: Path | AnnData, raw: RawScreen, rows: NDArray[np.intp], data: DataConfig) -> pd.DataFrame:
    """Return the columns of obs that any anndata reads: numbers, text and categories."""
    import pandas as pd

    with open_store(source) as opened:
        store = choose_parts(opened, data).store
        columns = {key: as_series(store.value("obs", key)) for key in store.keys("obs")}
    columns |= {name: column for name, _, column in raw.covariates}
    kept: dict[str, Any] = {}
    for name, column in columns.items():
        column = column.iloc[rows]
        kept[name] = column.to_numpy() if _is_plain(column) else _as_categorical(column)
    return pd.DataFrame(kept)


def _is_plain(column: pd.Series[Any]) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"


def _as_categorical(column: pd.Series[Any]) -> Any:
    import pandas as pd

    codes, values = pd.factorize(column, use_na_sentinel=True)
    ordered = getattr(column, "cat", None)
    if ordered is not None:
        codes, values, is_ordered = ordered.codes.to_numpy(), ordered.categories, bool(ordered.ordered)
    else:
        is_ordered = False
    labels, merged = np.unique(texts(map(text, values)), return_inverse=True)
    if len(labels) == len(values):
        return pd.Categorical.from_codes(codes, pd.Index(texts(map(text, values)), dtype=object), is_ordered)
    codes = np.where(codes < 0, -1, merged[codes] if len(merged) else -1)
    return pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object))


def _categorical(codes: NDArray[np.integer], labels: tuple[str, ...], ordered: bool) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(codes, pd.Index(texts(labels), dtype=object), ordered)


def _rows_of_map(library: Library) -> Iterable[tuple[object, ...]]:
    found = library.guide_map
    for guide, gene in found.gene_of.items():
        if guide not in found.left_out:
            for each in (gene, *found.further_genes.get(guide, ())):
                yield guide, each, int(guide in found.ntc), library.kind_of[guide]


def _check_same(screen: Screen, again: Screen) -> None:
    """Compare what was read with what a run will read."""
    differ = [
        name
        for name in ("guide_ids", "mask", "ntc_slots", "day", "rep", "gene_of_guide", "cluster", "n_guides")
        if not np.array_equal(getattr(screen, name), getattr(again, name))
    ]
    differ += [
        name for name in ("p", "weight") if not np.allclose(getattr(screen, name), getattr(again, name))
    ]
    for name in (
        "fates",
        "contrast",
        "guide_names",
        "gene_names",
        "ntc_guide_names",
        "day_labels",
        "rep_labels",
    ):
        differ += [name] if getattr(screen, name) != getattr(again, name) else []
    if differ:
        raise DataError(
            "the screen that was written is read otherwise than the one that was given; nothing was kept",
            found=f"other {some(differ)}",
            fix="give the settings to the run instead: data.adata_path=INPUT data.guide_map_csv=guides.csv",
        )

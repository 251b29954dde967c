"""Where the guides of a screen are, from one word; and the threshold above which raw counts are guides."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fatebias.config import DataConfig
from fatebias.data.reading.ambient import AmbientCounts, ambient_counts
from fatebias.data.reading.anndata_file import open_store
from fatebias.data.reading.guide_columns import SURE
from fatebias.data.reading.guide_map import GuideMap
from fatebias.data.reading.guide_source import AS_TEXT, OBSM, read_guides, read_map, source_of_guides
from fatebias.data.reading.guides_inside import PERTURBATIONS
from fatebias.data.reading.modalities import choose_parts
from fatebias.data.reading.raw import RawScreen
from fatebias.data.reading.reader import check_key
from fatebias.data.reading.stores import Modalities, Store
from fatebias.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

FEATURE_CALL = "feature_call"  # what Cell Ranger calls the guides of a cell


@dataclass(frozen=True)
class Inside:
    """What a screen says of its guides before any library is read."""

    data: DataConfig  # with the place of the guides
    names: frozenset[str]  # of the guides
    guide_map: GuideMap | None  # what the screen says itself; None where it does not, or was not asked


def look_inside(source: Path | AnnData, guides: str | None, data: DataConfig, with_map: bool) -> Inside:
    """Find the guides: an obsm key, a modality, an obs column or a file, or where the reader looks itself."""
    with open_store(source) as opened:
        _check_fates(opened, data)
        if guides is not None:
            data = _named(opened, guides, data)
        parts = choose_parts(opened, data)
        kind = source_of_guides(parts, data)
        if kind == OBSM and data.guide_key not in parts.store.keys("obsm") and guides is None:
            if FEATURE_CALL in parts.store.keys("obs"):
                data, kind = dataclasses.replace(data, guide_calls=FEATURE_CALL), AS_TEXT
            else:
                raise _no_guides(parts.store.source, parts.store.keys("obsm"), parts.store.keys("obs"))
        if with_map and parts.guides is None and PERTURBATIONS not in parts.store.keys("uns"):
            raise DataError(
                "the screen does not say what its guides target",
                where=parts.store.source,
                found=f"neither a modality of guides nor uns[{PERTURBATIONS!r}]",
                allowed="a table with a column of guides and one of genes",
                fix="--library TABLE.csv",
            )
        found = read_map(parts, None, data) if with_map else None
        empty = GuideMap("", dict(found.gene_of) if found else {}, frozenset())
        columns = read_guides(parts, kind, parts.store.names(), empty, data).columns
    names = {part for column in columns for part in (str(column), *SURE.split(str(column)))}
    return Inside(data, frozenset(names), found)


def _check_fates(opened: Store | Modalities, data: DataConfig) -> None:
    """Refuse a screen without fates before anything is asked of its guides; of a MuData the reader does."""
    if not isinstance(opened, Modalities):
        check_key(opened, "obsm", data.fate_prob_key, "fate_prob_key", data)


def _named(opened: Store | Modalities, guides: str, data: DataConfig) -> DataConfig:
    """Return the settings that read the guides from where one word says."""
    if isinstance(opened, Modalities):
        if guides in opened.parts:
            return dataclasses.replace(data, guide_modality=guides)
        stores: list[Store] = [opened.whole, *opened.parts.values()]
    else:
        stores = [opened]
    if any(guides in store.keys("obsm") for store in stores):
        return dataclasses.replace(data, guide_key=guides)
    if Path(guides).is_file() or any(guides in store.keys("obs") for store in stores):
        return dataclasses.replace(data, guide_calls=guides)
    obsm = sorted({key for store in stores for key in store.keys("obsm")})
    obs = sorted({key for store in stores for key in store.keys("obs")})
    raise _no_guides(stores[0].source, obsm, obs, guides)


def _no_guides(source: str, obsm: list[str], obs: list[str], asked: str | None = None) -> DataError:
    return DataError(
        "the guides are not found" if asked is None else f"--guides {asked} names no guides",
        where=source,
        found=f"obsm has {', '.join(obsm) or 'nothing'}; obs has {', '.join(obs) or 'nothing'}",
        allowed="a key of obsm, a modality, an obs column with calls as A|B, or a file such as Cell Ranger's "
        "protospacer_calls_per_cell.csv",
        fix="--guides KEY, or --guides protospacer_calls_per_cell.csv",
    )


def with_threshold(raw: RawScreen, data: DataConfig) -> tuple[DataConfig, AmbientCounts | None]:
    """Return the settings with a threshold where the guides are raw counts and none is given, and why."""
    if raw.guides_called or data.guide_threshold is not None:
        return data, None
    found = ambient_counts(raw.guides)
    if found is None or found.threshold is None:
        return data, None
    return dataclasses.replace(data, guide_threshold=float(found.threshold)), found

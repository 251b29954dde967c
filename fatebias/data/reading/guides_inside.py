"""Guides and what they target, where the screen itself says it: IGVF's layout, CELLxGENE's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.data.reading.elements import as_series, sparse_matrix
from fatebias.data.reading.guide_map import TRUTH, Entry, GuideMap, as_field, map_of_entries
from fatebias.data.reading.guide_matrix import GuideMatrix
from fatebias.data.reading.modalities import ASSIGNED
from fatebias.data.reading.stores import Store
from fatebias.data.reading.table_file import TableRows
from fatebias.errors import DataError, some
from fatebias.pasted import setting

CALLS, PERTURBATIONS = "genetic_perturbation_id", "genetic_perturbations"  # CELLxGENE, in obs and in uns
FEATURES = (
    "intended_features",
    "derived_features",
)  # of a guide of CELLxGENE: identifier to symbol
TARGETS = ("intended_target_name", "gene_name", "target_gene", "target_gene_name", "target")
NON_TARGETING, SAFE = "non-targeting", "safe-targeting"  # of IGVF's column "type"


def modality_matrix(guides: Store, cells: NDArray[Any]) -> GuideMatrix:
    """Read the guides of `cells` (N,) from a modality whose features they are."""
    assigned = ASSIGNED in guides.keys("layers")
    where = f"{guides.source}: layers[{ASSIGNED!r}]" if assigned else f"{guides.source}: X"
    matrix = sparse_matrix(guides.raw_element(ASSIGNED, "layers" if assigned else "X"), where)
    row_of = {str(cell): row for row, cell in enumerate(guides.names())}
    rows = np.array([row_of.get(str(cell), -1) for cell in cells], dtype=np.intp)
    lacking = int((rows < 0).sum())
    if lacking == rows.size:
        raise DataError(
            "no cell of the fates is in the modality with the guides",
            where=guides.source,
            found=f"cells {some(cells[:3].tolist())}; there {some(list(row_of)[:3])}",
            allowed="the same names of cells (obs_names) in both",
            fix="name the cells alike in both modalities",
        )
    held = matrix[np.maximum(rows, 0)]
    held.data[np.repeat(rows < 0, np.diff(held.indptr))] = 0
    note = f"{lacking:,} cells are not in {guides.source}: they hold no guide"
    columns = tuple(guides.names("var").tolist())
    from_var = f"{guides.source}: var"
    return GuideMatrix(held, where, columns, from_var, assigned, (note,) if lacking else ())


def map_of_var(guides: Store, two_targets: str) -> GuideMap:
    """Return the guide map that a modality's var holds: what each guide targets, and whether it does."""
    columns = guides.keys("var")
    target = next((name for name in TARGETS if name in columns), None)
    flag = next((name for name in ("targeting", "is_ntc", "type") if name in columns), None)
    where = f"{guides.source}: var"
    if target is None or flag is None:
        raise DataError(
            "the guides' targets are unknown",
            where=where,
            found=f"columns {', '.join(columns) or 'none'}",
            allowed=f"a column {TARGETS[0]} and one of targeting, is_ntc, type; or a guide map",
            fix=_way_out(),
        )
    names = [as_field(name) for name in guides.names("var")]
    genes, flags = _fields(guides, target), _fields(guides, flag)
    kinds = [kind.strip().casefold() for kind in _fields(guides, "type")] if "type" in columns else []
    kinds = kinds or [""] * len(names)
    if flag == "type":
        flags = [str(kind == NON_TARGETING) for kind in kinds]
    elif flag == "targeting":
        flags = [_opposite(value, kind) for value, kind in zip(flags, kinds, strict=True)]
    table: list[Entry] = list(zip(range(len(names)), names, genes, flags, strict=True))
    found = map_of_entries(table, TableRows(where, [target, flag], "rows", []), two_targets)
    safe = sum(kind == SAFE and name not in found.ntc for name, kind in zip(names, kinds, strict=True))
    if not safe:
        return found
    told = f"{safe} safe-targeting guides have effects as genes do; is_ntc 1 in a guide map: as controls"
    return GuideMap(**{**vars(found), "warnings": (*found.warnings, told)})


def _fields(guides: Store, key: str) -> list[str]:
    return [as_field(value) for value in as_series(guides.value("var", key))]


def _opposite(targeting: str, kind: str) -> str:
    """Return whether a guide is a control for whether it targets, as text; what is neither stays as it is."""
    known = TRUTH.get(targeting.strip().lower())
    return targeting if known is None else str(not known or kind == NON_TARGETING)


def map_of_perturbations(store: Store, two_targets: str) -> GuideMap:
    """Return the guide map in CELLxGENE's uns: each guide's role and features."""
    where = f"{store.source}: uns[{PERTURBATIONS!r}]"
    table: list[Entry] = []
    unknown = []
    for number, (guide, entry) in enumerate(dict(store.value("uns", PERTURBATIONS)).items()):
        control = as_field(entry.get("role")) == "control"
        features = next((dict(entry[key]) for key in FEATURES if isinstance(entry.get(key), dict)), {})
        genes = [as_field(symbol) or identifier for identifier, symbol in features.items()]
        if not genes and not control:
            unknown.append(guide)
        table += [(number, guide, gene, str(control)) for gene in (genes[:1] or [""] if control else genes)]
    if unknown:
        raise DataError(
            f"{len(unknown)} targeting guides have no features: which gene each targets is unknown",
            where=where,
            found=some(unknown),
            allowed=f"{' or '.join(FEATURES)} for every guide whose role is targeting, or a guide map",
            fix=_way_out(),
        )
    return map_of_entries(table, TableRows(where, ["guide", "features", "role"], "entries", []), two_targets)


def _way_out() -> str:
    return f"{setting('data.guide_map_csv', 'guides.csv')} with the columns guide_name, gene_name, is_ntc"


def no_guide_map(store: Store) -> DataError:
    """Return the error for a screen that does not say what its guides target."""
    return DataError(
        "data=anndata needs data.guide_map_csv",
        where="data.guide_map_csv",
        found=f"nothing, and {store.source} has neither a modality of guides nor uns[{PERTURBATIONS!r}]",
        fix=_way_out(),
    )

"""MuData: the modality with the fates, and the one whose features are the guides."""

from __future__ import annotations

from dataclasses import dataclass

from fatebias.config import DataConfig
from fatebias.data.reading.stores import JoinedStore, Modalities, Store
from fatebias.errors import DataError
from fatebias.pasted import choice, setting

ASSIGNED = "guide_assignment"  # the layer of called guides in IGVF's layout
TARGET_COLUMNS = ("intended_target_name", "targeting")
# What modalities of guides are called: IGVF, muon's reading of Cell Ranger, Seurat.
CALLED = ("guide", "guides", "grna", "grnas", "sgrna", "sgrnas", "gdo", "crispr", "crispr guide capture")


@dataclass(frozen=True)
class ChosenParts:
    """Where fates, days and replicates are, and where the guides are."""

    store: Store
    guides: Store | None = None  # the modality whose features are the guides, None where obsm or obs has them


def choose_parts(opened: Store | Modalities, data: DataConfig) -> ChosenParts:
    """Return the parts of an AnnData, or of a MuData by the configured modalities, else by what they hold."""
    if not isinstance(opened, Modalities):
        for name in ("modality", "guide_modality"):
            if getattr(data, name) is not None:
                raise DataError(
                    f"data.{name} asks for a modality, and there are none",
                    where=opened.source,
                    found="an AnnData",
                    allowed="a MuData (.h5mu)",
                    fix=setting(f"data.{name}", None),
                )
        return ChosenParts(opened)
    main = _modality_of_fates(opened, data)
    store = (
        opened.whole if main is None else JoinedStore(opened.parts[main], opened.whole, list(opened.parts))
    )
    if data.guide_modality is None and (data.guide_calls is not None or data.guide_key in store.keys("obsm")):
        return ChosenParts(store)
    return ChosenParts(store, opened.parts[_modality_of_guides(opened, main, data)])


def _modality_of_fates(opened: Modalities, data: DataConfig) -> str | None:
    """Return the name of the modality with the fates; None where the MuData itself has them."""
    if data.modality is not None:
        return _named("modality", data.modality, opened)
    holding = [name for name, part in opened.parts.items() if data.fate_prob_key in part.keys("obsm")]
    if len(holding) == 1:
        return holding[0]
    if not holding and data.fate_prob_key in opened.whole.keys("obsm"):
        return None
    keys = {name: ", ".join(part.keys("obsm")) or "none" for name, part in opened.parts.items()}
    if holding:
        raise DataError(
            f"several modalities have obsm[{data.fate_prob_key!r}]",
            where=opened.source,
            found=holding,
            allowed="one modality with the fates",
            fix=choice("data.modality", holding),
        )
    raise DataError(
        f"no modality has obsm[{data.fate_prob_key!r}]",
        where=opened.source,
        found="; ".join(f"{name} has {held}" for name, held in keys.items()),
        fix=choice(
            "data.fate_prob_key",
            [key for part in opened.parts.values() for key in part.keys("obsm")],
            data.fate_prob_key,
        ),
    )


def _modality_of_guides(opened: Modalities, main: str | None, data: DataConfig) -> str:
    if data.guide_modality is not None:
        return _named("guide_modality", data.guide_modality, opened)
    others = {name: part for name, part in opened.parts.items() if name != main}
    for found in (
        [name for name, part in others.items() if ASSIGNED in part.keys("layers")],
        [name for name, part in others.items() if any(key in part.keys("var") for key in TARGET_COLUMNS)],
        [name for name in others if name.casefold() in CALLED],
    ):
        if len(found) == 1:
            return found[0]
    raise DataError(
        "the modality with the guides is unknown",
        where=opened.source,
        found=f"modalities {', '.join(opened.parts)}; no obsm[{data.guide_key!r}] beside the fates",
        allowed=f"one modality with a layer {ASSIGNED!r}, with {' or '.join(TARGET_COLUMNS)} in var, "
        f"or called {', '.join(CALLED[:3])}",
        fix=choice("data.guide_modality", list(others)),
    )


def _named(key: str, name: str, opened: Modalities) -> str:
    if name not in opened.parts:
        raise DataError(
            f"data.{key} names no modality of the MuData",
            where=opened.source,
            found=name,
            allowed=list(opened.parts),
            fix=choice(f"data.{key}", list(opened.parts), name),
        )
    return name

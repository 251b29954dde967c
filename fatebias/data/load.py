"""The one way to a screen: bundled, simulated, a user's file or objects in memory, all by the same reader."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fatebias import __version__
from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.reading.build import build_screen
from fatebias.data.reading.fates import with_noted_fates
from fatebias.data.reading.reader import read_raw
from fatebias.data.screen import Screen

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

DEMO_DIR = Path(__file__).parent / "demo"
SCREEN_H5AD = "screen.h5ad"
GUIDES_CSV = "guides.csv"
TRUTH_CSV = "truth.csv"


@dataclass(frozen=True)
class SourceFiles:
    """The files that a screen is read from."""

    adata: Path  # .h5ad file or .zarr folder
    guide_map: Path | None  # None where the screen says itself what its guides target
    truth: Path | None = None  # known effects of a bundled or simulated screen


def read_screen(
    source: str | Path | AnnData, guides: str | Path | pd.DataFrame | None, data: DataConfig
) -> Screen:
    """Read a screen from a path or object, its guide map from a text table, a DataFrame or the screen itself.

    Files and objects are read alike. Fate columns take their names from ``data.fate_columns``, a DataFrame,
    ``Lineage.names`` (in memory), ``uns[f'{fate_prob_key}_names']`` or the categories of
    ``obs['term_states_fwd']``, the first that is there; guide columns from a DataFrame,
    ``uns[f'{guide_key}_names']`` or ``uns['guide_names']``. A screen that `fatebias prepare` wrote says its
    fates itself, where `data` has the default ones. X is never read, and an object in memory stays as it is:
    the screen has arrays of its own.
    """
    where = Path(source) if isinstance(source, str) else source
    guide_map = Path(guides) if isinstance(guides, str) else guides
    raw = read_raw(where, guide_map, data)
    return build_screen(raw, with_noted_fates(raw, data))


def load_screen(data: DataConfig, priors: PriorsConfig, out_dir: Path) -> Screen:
    """Read the configured screen; a simulated one is first drawn with `priors` and written to `out_dir`."""
    files = source_files(data, priors, out_dir)
    return read_screen(files.adata, files.guide_map, data)


# The screen read last and what it was read from.
_LAST: dict[str, Screen] = {}


def load_once(data: DataConfig, priors: PriorsConfig, out_dir: Path) -> Screen:
    """Return `load_screen`, or what it returned last in this process while settings and files are the same.

    So the runs of a sweep read their screen once and build its design once, which is kept with the screen.
    """
    files = source_files(data, priors, out_dir)
    key = _key(data, files)
    if key is None or key not in _LAST:
        _LAST.clear()
        screen = read_screen(files.adata, files.guide_map, data)
        if key is None:
            return screen
        _LAST[key] = screen
    return _LAST[key]


def _key(data: DataConfig, files: SourceFiles) -> str | None:
    """Return what tells settings and files of screens apart; None for a folder, which may change within."""
    named = [files.adata, files.guide_map, Path(data.guide_calls) if data.guide_calls else None]
    there = [path for path in named if path is not None and path.exists()]
    if not all(path.is_file() for path in there):
        return None
    seen = [(str(path), path.stat().st_mtime_ns, path.stat().st_size, path.stat().st_ino) for path in there]
    return json.dumps([asdict(data), seen])


def source_files(data: DataConfig, priors: PriorsConfig, out_dir: Path) -> SourceFiles:
    """Return the files of the configured screen, of ``source: anndata`` whether or not they exist.

    A simulated screen is written to `out_dir`, unless one from the same settings is already there.
    """
    if data.source == "anndata":
        return SourceFiles(
            Path(data.adata_path or ""), Path(data.guide_map_csv) if data.guide_map_csv else None
        )
    folder = DEMO_DIR if data.source == "demo" else out_dir
    files = SourceFiles(folder / SCREEN_H5AD, folder / GUIDES_CSV, folder / TRUTH_CSV)
    if data.source == "simulated":
        _write_simulated(files, data, priors)
    return files


def _write_simulated(files: SourceFiles, data: DataConfig, priors: PriorsConfig) -> None:
    from fatebias.data.simulation.files import read_made_from, write_guide_map, write_h5ad, write_truth
    from fatebias.data.simulation.simulate import simulate_raw

    settings = asdict(data.simulate)
    if data.simulate.design == "prior":
        settings["priors"] = asdict(priors)
    for key in ("fates", "ref_fate", "contrast_fate"):
        settings[key] = getattr(data, key)
    for key in ("fate_prob_key", "guide_key", "covar_key", "rep_key", "day_key"):
        settings[key] = getattr(data, key)
    made_from = json.dumps({"fatebias": __version__, **settings}, sort_keys=True)
    others = [path for path in (files.guide_map, files.truth) if path is not None]
    if read_made_from(files.adata) == made_from and all(path.is_file() for path in others):
        return
    raw, truth = simulate_raw(data.simulate, data, priors)
    assert files.guide_map is not None
    write_guide_map(files.guide_map, raw.guide_map)
    write_truth(files.guide_map.with_name(TRUTH_CSV), truth)
    write_h5ad(files.adata, raw, truth, data, made_from)  # last: its presence says that the others are there

"""The one way to a screen: bundled, simulated or a user's file, all through the same reader."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fatebias import __version__
from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.reading.build import build_screen
from fatebias.data.reading.reader import read_file
from fatebias.data.screen import Screen

DEMO_DIR = Path(__file__).parent / "demo"
SCREEN_H5AD = "screen.h5ad"
GUIDES_CSV = "guides.csv"
TRUTH_CSV = "truth.csv"


@dataclass(frozen=True)
class SourceFiles:
    """The files that a screen is read from.

    Parameters
    ----------
    adata
        .h5ad file or .zarr folder.
    guide_map
        CSV of the guide map.
    truth
        CSV of the known effects of a bundled or simulated screen.
    """

    adata: Path
    guide_map: Path
    truth: Path | None = None


def load_screen(data: DataConfig, priors: PriorsConfig, out_dir: Path) -> Screen:
    """Read the configured screen.

    Parameters
    ----------
    data
        Where it is and how to read it.
    priors
        Scales for a simulated screen of ``design: prior``.
    out_dir
        Where a simulated screen is written.

    Returns
    -------
    Screen
        With its summary.

    Raises
    ------
    DataError
        When the files do not hold what the model needs.
    """
    files = source_files(data, priors, out_dir)
    return build_screen(read_file(files.adata, files.guide_map, data), data)


def source_files(data: DataConfig, priors: PriorsConfig, out_dir: Path) -> SourceFiles:
    """Name the files that `load_screen` reads; those of a simulated screen are written first.

    Parameters
    ----------
    data
        Where the screen is.
    priors
        Scales for ``design: prior``.
    out_dir
        Where a simulated screen is written; one that stands there from the same settings is kept.

    Returns
    -------
    SourceFiles
        For ``source: anndata`` they are as configured, present or not.
    """
    if data.source == "anndata":
        return SourceFiles(Path(data.adata_path or ""), Path(data.guide_map_csv or ""))
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
    write_guide_map(files.guide_map, raw.guide_map)
    write_truth(files.guide_map.with_name(TRUTH_CSV), truth)
    write_h5ad(files.adata, raw, truth, data, made_from)  # last: it says that the others are there

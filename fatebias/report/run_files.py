"""The files of a finished run, read once; what a run did not write is None."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias import names
from fatebias.errors import DataError
from fatebias.files.paths import RunPaths
from fatebias.files.record import altered, sound
from fatebias.files.tables import read_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class RunFiles:
    """What the report is made of."""

    paths: RunPaths
    record: dict[str, Any]  # run.json
    config: dict[str, Any]  # config.yaml
    screen: dict[str, Any] | None  # screen_summary.json
    calibration: dict[str, Any] | None  # calibration.json
    guides: pd.DataFrame | None  # guide_summary.csv, guides that cells hold
    marginal: pd.DataFrame | None  # marginal_effects.csv
    replicates: pd.DataFrame | None  # replicate_effects.csv
    guides_other_fates: pd.DataFrame | None  # guides_other_fates.csv, the same
    replicates_other_fates: pd.DataFrame | None  # replicates_other_fates.csv
    controls: pd.DataFrame | None  # controls.csv
    loss: pd.DataFrame | None  # loss_trace.csv
    shuffles: pd.DataFrame | None = None  # permutation_fdr.csv
    rankings: dict[Path, pd.DataFrame | None] = field(
        default_factory=dict
    )  # of contrasts, as they are asked for

    def ranking(self, path: Path) -> pd.DataFrame | None:
        """Return a table of a contrast, read when it is first asked for; None where it is absent."""
        if path not in self.rankings:
            self.rankings[path] = table(path)
        return self.rankings[path]

    def stage(self, name: str) -> dict[str, Any]:
        """Return run.json's entry of a stage that is done, else empty."""
        entry: dict[str, Any] = self.record["stages"].get(name, {})
        return entry if entry.get("status") == "done" else {}

    @property
    def fit(self) -> dict[str, Any]:
        """The entry of the fit."""
        return self.stage("fit")

    @property
    def discovery(self) -> dict[str, Any]:
        """What discovery reported."""
        report: dict[str, Any] = self.stage("discover").get("report", {})
        return report

    @property
    def asked(self) -> dict[str, Any]:
        """The settings of the fit; those of config.yaml where there was none."""
        settings: dict[str, Any] = self.fit.get("settings", self.config)
        return settings


def read_run(folder: Path) -> RunFiles:
    """Read a run's folder.

    Raises DataError where it holds no finished discovery, or a file of it cannot be read.
    """
    import yaml

    paths = RunPaths(folder)
    record = sound(_json(paths.record))
    stages = record["stages"]
    if stages.get("discover", {}).get("status") != "done":
        raise DataError(
            "there is no finished discovery to report",
            where=folder,
            found="run.json without one" if paths.record.is_file() else "no run.json",
            fix="give the out_dir of a run that has found its hits",
        )
    try:
        text = paths.config.read_text(encoding="utf-8") if paths.config.is_file() else ""
        config = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unreadable(paths.config, error) from error
    return RunFiles(
        paths=paths,
        record=record,
        config=config if isinstance(config, dict) else {},
        screen=_json(paths.screen_summary),
        calibration=_json(paths.calibration),
        guides=_with_cells(table(paths.guide_summary)),
        marginal=table(paths.marginal_effects),
        replicates=table(paths.replicate_effects),
        guides_other_fates=_with_cells(table(paths.guides_other_fates)),
        replicates_other_fates=table(paths.replicates_other_fates),
        controls=table(paths.controls) if "controls" in stages else None,
        loss=table(paths.loss),
        shuffles=table(paths.permutation),
    )


def check_whole(run: RunFiles) -> None:
    """Refuse a folder in which a file is not the one that a finished stage wrote."""
    for stage in run.record["stages"].values():
        for name in altered(run.paths.root, stage) if stage.get("status") == "done" else ():
            raise DataError(
                f"{name} is not what the run wrote",
                where=run.paths.root / name,
                found="other content: cut off, or changed since",
                fix="put the file back, or type the run's command again: it does that stage anew",
            )


def _with_cells(guides: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the guides that a cell holds: the estimate of any other is its gene's, and agrees with it."""
    return guides if guides is None or names.CELLS not in guides else guides[guides[names.CELLS] > 0]


def table(path: Path) -> pd.DataFrame | None:
    """Read a CSV of the run; None where it is absent."""
    if not path.is_file():
        return None
    try:
        return read_table(path)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise _unreadable(path, error) from error


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return content if isinstance(content, dict) else None


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path.name} cannot be read",
        where=path,
        found=str(error).partition("\n")[0],
        fix="run again: finished stages whose files are whole are kept",
    )

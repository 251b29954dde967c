"""One run in this process: from a composed config, or from the folder that holds it, to the pipeline."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias import compose
from fatebias.config import FIT
from fatebias.data.given import check_files
from fatebias.errors import FatebiasError, OutputError
from fatebias.sweep.snapshot import Sweep, load_config, read_sweep
from fatebias.tracking.describe import InSweep

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from fatebias.config import Config, DataConfig

log = logging.getLogger(__name__)

HYDRA_VERSION = "1.3"  # version_base of run.py
# Settings of data by which the guide map is found.
DECIDE_THE_MAP = (
    "source", "adata_path", "guide_map_csv", "modality", "guide_modality", "guide_calls", "guide_key",
    "fate_prob_key", "two_targets",
)  # fmt: skip


def run_task(cfg: DictConfig) -> None:
    """Run the pipeline on a composed config, inside one of Hydra's jobs."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from fatebias.run import pipeline

    hydra = HydraConfig.get()
    config = compose.to_config(cfg)
    started_in = Path(hydra.runtime.cwd)
    config.out_dir = str(_absolute(hydra.runtime.output_dir, started_in))
    find_files(config.data, started_in)
    sweep = _sweep(Path(hydra.sweep.dir)) if hydra.mode == RunMode.MULTIRUN else None
    own = [each for each in sweep.members if each.folder == Path(config.out_dir)] if sweep else []
    pipeline.run(
        config,
        overrides=list(hydra.overrides.task),
        choices=_choices(hydra.runtime.choices),
        sweep=InSweep(sweep.id, sweep.differing(own[0].number) if own else ()) if sweep else None,
    )


def find_files(data: DataConfig, folder: Path) -> None:
    """Make the paths of a screen's files absolute, as seen from a folder."""
    for name in ("adata_path", "guide_map_csv"):
        if (path := getattr(data, name)) is not None:
            setattr(data, name, str(_absolute(path, folder)))
    if data.guide_calls is not None and _absolute(data.guide_calls, folder).is_file():  # else an obs column
        data.guide_calls = str(_absolute(data.guide_calls, folder))


def refusal(config: DictConfig) -> FatebiasError | None:
    """Return why a composed config, Hydra's part included, cannot be run; None when it can."""
    try:
        _checked(config)
    except FatebiasError as error:
        return error
    return None


def _checked(config: DictConfig) -> Config:
    from hydra.core.hydra_config import HydraConfig

    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        return compose.to_config(config)
    finally:
        HydraConfig.instance().cfg = before


def check_files_once(configs: Iterable[DictConfig], folder: Path) -> None:
    """Refuse files of a sweep that are not there, as seen from a folder: each file once, not once a run."""
    seen = set()
    for config in configs:
        checked = _checked(config)
        named = tuple(getattr(checked.data, key) for key in DECIDE_THE_MAP)
        if FIT in checked.stages and named not in seen:
            seen.add(named)
            find_files(checked.data, folder)
            check_files(checked.data)


def run_member(folder: Path) -> BaseException | None:
    """Run the folder of a sweep's run, with its log and settings, and return what it raised, if anything."""
    from hydra import version
    from hydra._internal.callbacks import Callbacks
    from hydra.core.utils import JobRuntime, JobStatus, run_job, setup_globals
    from hydra.types import HydraContext
    from omegaconf import read_write

    version.setbase(HYDRA_VERSION)
    setup_globals()
    compose.register()
    try:
        config = load_config(folder)
    except FatebiasError as error:
        return error
    with read_write(config):
        config.hydra.output_subdir = None  # Hydra would write the same files again, and not atomically
    JobRuntime.instance().set("name", config.hydra.job.name)
    sweep = _sweep(Path(config.hydra.sweep.dir))
    before = sys.argv
    if sweep is not None:  # run.json and MLflow tell the command that was typed, not Slurm's or a retry's
        sys.argv = list(sweep.submissions[0]["command"])
    try:
        result = run_job(
            task_function=_logged,
            config=config,
            job_dir_key="hydra.runtime.output_dir",
            job_subdir_key=None,
            hydra_context=HydraContext(config_loader=None, callbacks=Callbacks(config)),  # type: ignore[arg-type]
        )
    finally:
        sys.argv = before
    # Not the property without the underscore: it raises for a failed job.
    value: Any = result._return_value
    return value if result.status == JobStatus.FAILED else None


def first_line(error: BaseException) -> str:
    """Return an error in one line."""
    return (str(error) or type(error).__name__).partition("\n")[0]


def _logged(cfg: DictConfig) -> None:
    try:
        run_task(cfg)
    except Exception as error:
        log.error("%s", error, exc_info=not isinstance(error, FatebiasError))
        raise


def _sweep(folder: Path) -> Sweep | None:
    try:
        return read_sweep(folder)
    except OutputError:  # another launcher than ours keeps no record
        return None


def _absolute(path: str, folder: Path) -> Path:
    return Path(os.path.abspath(folder / Path(path).expanduser()))


def _choices(choices: Any) -> dict[str, str]:
    own = (group for group in choices if not re.match(r"hydra/|local@", group))
    return {group: choices[group] for group in own if choices[group] is not None}

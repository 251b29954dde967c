"""From the command line to the pipeline and back: what Hydra needs to know, and how a failure is shown."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.app.overrides import check_words, composition_message
from fatebias.compose import CONF, group_options, register, to_config
from fatebias.config import Config
from fatebias.errors import FatebiasError, OutputError, explain

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

TRACEBACK = "HYDRA_FULL_ERROR"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run(cfg: DictConfig) -> None:
    """Run the pipeline on a composed config, as Hydra's task.

    A failure is logged, to run.log too. In a sweep it then goes up, so that the launcher can name it beside
    the others; a single run exits with code 1.

    Parameters
    ----------
    cfg
        The composed config without Hydra's own part.

    Raises
    ------
    SystemExit
        When a single run failed.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    try:
        config = to_config(cfg)
        started_in = Path(hydra.runtime.cwd)
        config.out_dir = str(_absolute(hydra.runtime.output_dir, started_in))
        for name in ("adata_path", "guide_map_csv"):
            if (path := getattr(config.data, name)) is not None:
                setattr(config.data, name, str(_absolute(path, started_in)))
        sweep_id = _sweep_id(Path(hydra.sweep.dir)) if hydra.mode == RunMode.MULTIRUN else None
        _run_pipeline(config, list(hydra.overrides.task), _choices(hydra.runtime.choices), sweep_id)
    except Exception as error:
        log.error("%s", error, exc_info=not isinstance(error, FatebiasError))
        if hydra.mode == RunMode.MULTIRUN:
            raise
        raise SystemExit(1) from error


def _run_pipeline(
    config: Config, overrides: list[str], choices: dict[str, str], sweep_id: str | None
) -> None:
    from fatebias.run import pipeline

    pipeline.run(config, overrides=overrides, choices=choices, sweep_id=sweep_id)


def _sweep_id(folder: Path) -> str | None:
    from fatebias.sweep.record import read_sweep

    try:
        return read_sweep(folder).id
    except OutputError:  # another launcher than ours keeps no record
        return None


def _absolute(path: str, folder: Path) -> Path:
    return Path(os.path.abspath(folder / Path(path).expanduser()))


def _choices(choices: Any) -> dict[str, str]:
    own = (group for group in choices if not re.match(r"hydra/|local@", group))
    return {group: choices[group] for group in own if choices[group] is not None}


def below_error() -> Callable[[logging.LogRecord], bool]:
    """Make the filter that keeps errors off stdout (conf/hydra/job_logging); they go to stderr.

    Returns
    -------
    callable
        Tells whether a record is less than an error.
    """
    return lambda record: record.levelno < logging.ERROR


def _message(error: Exception, groups: dict[str, dict[str, str]]) -> str | None:
    if isinstance(error, FatebiasError):
        return str(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:  # Hydra's own files
        return explain(
            "a file could not be written",
            where=error.filename,
            found=error.strerror,
            fix="free some room or give another out_dir, then run the same command again",
        )
    return composition_message(error, groups)


def launch(task: Callable[[], None]) -> None:
    """Check the words typed, let Hydra run the task, and show any refusal as one message without a traceback.

    ``HYDRA_FULL_ERROR=1`` in the environment shows tracebacks, as in any Hydra application.

    Parameters
    ----------
    task
        The function that ``@hydra.main`` made.

    Raises
    ------
    SystemExit
        With the message, when something is refused or fails.
    """
    from hydra._internal.utils import get_args_parser

    arguments = get_args_parser().parse_args()
    folders = [CONF, *([Path(arguments.config_dir)] if arguments.config_dir else [])]
    groups = group_options(folders)
    traceback_wanted = os.environ.get(TRACEBACK) == "1"
    os.environ[TRACEBACK] = "1"  # Hydra then raises what it would print, and this function decides
    try:
        register()
        if not arguments.shell_completion:  # whose words are no settings
            check_words(arguments.overrides, groups)
        task()
    except SystemExit as stop:
        if traceback_wanted and stop.__cause__ is not None:
            raise stop.__cause__ from None
        raise
    except KeyboardInterrupt:
        print("interrupted; finished stages are kept", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        message = _message(error, groups)
        if traceback_wanted or message is None:
            raise
        raise SystemExit(message) from None

"""From the command line to the pipeline and back: what Hydra needs to know, and how a failure is shown."""

from __future__ import annotations

import copy
import errno
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias import config as schema
from fatebias.config import Config
from fatebias.errors import ConfigError, FatebiasError, OutputError, explain
from fatebias.overrides import check_words, composition_message

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

CONF = Path(__file__).resolve().parents[1] / "conf"
TRACEBACK = "HYDRA_FULL_ERROR"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
SHOWN_FIRST = ("data", "priors", "model", "inference", "discovery", "tracking", "launcher", "experiment")


def register() -> None:
    """Tell Hydra the schema and the resolvers that conf/ uses."""
    from omegaconf import OmegaConf

    schema.register()
    OmegaConf.register_new_resolver("fatebias.folder", _folder, replace=True)
    OmegaConf.register_new_resolver("fatebias.options", _options_text, replace=True)


def _folder(wanted: str | None, otherwise: str) -> str:
    return otherwise if wanted in (None, "", "null", "None") else os.path.expanduser(str(wanted))


def group_options(folders: list[Path]) -> dict[str, dict[str, str]]:
    """Read which groups there are, which options each has, and what each option's first comment says.

    Parameters
    ----------
    folders
        Config folders: conf/ and what ``--config-dir`` names.

    Returns
    -------
    dict
        Group to option to comment.
    """
    found: dict[str, dict[str, str]] = {name: {} for name in SHOWN_FIRST}
    for path in sorted(path for folder in folders for path in folder.glob("*/*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        comments = (line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line)
        found.setdefault(path.parent.name, {})[path.stem] = next(comments, "")
    return found


def _options_text() -> str:
    from hydra.core.hydra_config import HydraConfig

    runtime = HydraConfig.get().runtime
    folders = [Path(source.path) for source in runtime.config_sources if source.schema == "file"]
    lines = []
    for group, options in group_options(folders).items():
        chosen = runtime.choices.get(group)
        for option, comment in options.items():
            mark = "*" if option == chosen else " "
            lines.append(f"{mark} {group + '=' + option:<26} {comment}".rstrip())
    return "\n".join(lines).replace("$", "$$")


def to_config(cfg: DictConfig) -> Config:
    """Build the dataclasses of a composed config; this is when values are checked.

    Parameters
    ----------
    cfg
        The composed config, with or without Hydra's own part.

    Returns
    -------
    Config
        Plain dataclasses.

    Raises
    ------
    ConfigError
        When a value cannot be used or cannot be resolved, or MLflow's store could not be written.
    """
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    from fatebias.tracking.place import check_place

    own = copy.deepcopy(cfg)
    with open_dict(own):
        own.pop("hydra", None)
    try:
        config = OmegaConf.to_object(own)
    except OmegaConfBaseException as error:
        raise ConfigError(
            explain("a setting has no value", where=error.full_key, found=str(error).partition("\n")[0])
        ) from error
    if not isinstance(config, Config):
        raise TypeError("the config has no schema: conf/config.yaml must list it first")
    check_place(config.tracking)
    return config


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
    from fatebias import pipeline

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

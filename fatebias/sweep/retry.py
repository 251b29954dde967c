"""Runs that failed, started again from their folders, with the settings of their submission."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.compose import CONF, register
from fatebias.errors import ConfigError, OutputError
from fatebias.sweep.jobs import end_of_sweep, raise_failures, start
from fatebias.sweep.search import is_search
from fatebias.sweep.settings import BY_NAME, PREFIX, LocalSettings, keys_of, unknown_launcher_key
from fatebias.sweep.snapshot import Sweep, load_config, read_sweep
from fatebias.sweep.status import NOT_STARTED, UNKNOWN, MemberStatus, statuses
from fatebias.sweep.task import refusal

if TYPE_CHECKING:
    from omegaconf import DictConfig

OPTION = "launcher="


def retry(sweep: Sweep, words: Sequence[str] = (), *, failed: bool = True) -> None:
    """Start what never began and, if `failed`, again what failed; leave the other runs alone.

    `words` change the launcher.
    """
    from hydra.core.utils import setup_globals

    _check_words(words)
    found = statuses(sweep)
    for each in found:
        if each.state == UNKNOWN:
            print(f"#{each.member.number} is left alone: {each.reason}")
    numbers = to_start(found, failed)
    if not numbers:
        print("no run has failed" if failed else "every run was started before")
        return
    setup_globals()
    register()
    configs = [load_config(member.folder) for member in sweep.chosen(numbers)]
    if is_search(configs[0]):
        raise ConfigError(
            "a search cannot be retried: each of its runs depends on those before",
            where=sweep.path,
            fix="type its command again",
        )
    for config in configs:
        if error := refusal(config):
            raise error
    settings = launcher_of(configs[0], words)
    name = next(name for name, kind in BY_NAME.items() if kind is type(settings))
    with _where_it_was_typed(sweep):
        sweep = sweep.submitted(name, numbers)
        ends = start(sweep, numbers, settings)
        if ends is not None:
            end_of_sweep(read_sweep(sweep.root), ends)
            raise_failures(sweep, ends)


def to_start(found: Sequence[MemberStatus], failed: bool = True) -> list[int]:
    """Return the numbers of the runs that never began and, if `failed`, of those without a result."""
    return [each.member.number for each in found if each.state == NOT_STARTED or (failed and each.failed)]


def launcher_of(config: DictConfig, words: Sequence[str]) -> LocalSettings:
    """Return the launcher's settings of a submission, changed by ``launcher=`` and ``hydra.launcher.*``."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import ValidationError

    options = [word for word in words if word.lstrip("+").startswith(OPTION)]
    chosen = _composed(config, options) if options else config
    given: Any = OmegaConf.to_container(chosen.hydra.launcher, resolve=True)
    kind = next(kind for kind in BY_NAME.values() if kind._target_ == given["_target_"])
    given = {key: value for key, value in given.items() if key in keys_of(kind)}
    settings = OmegaConf.merge(OmegaConf.structured(kind), given)
    for word in words:
        if word in options:
            continue
        try:
            override = OverridesParser.create().parse_override(word)
            key = override.key_or_group.removeprefix(PREFIX)
            if key.partition(".")[0] not in keys_of(kind):
                raise unknown_launcher_key(key, word, kind)
            OmegaConf.update(settings, key, override.value(), force_add=True)
        except (HydraException, ValidationError) as error:
            raise ConfigError(
                "a setting of the launcher cannot be used", where=word, found=str(error).partition("\n")[0]
            ) from error
    plain: Any = OmegaConf.to_container(settings)
    return kind(**plain)


def quoted(text: str) -> str:
    """Return text so that Hydra takes every sign of it as it is."""
    # In single quotes only quotes, backslashes before them and $ mean anything to Hydra.
    return "'" + text.replace("\\'", "\\\\'").replace("'", "\\'").replace("${", "\\${") + "'"


def _check_words(words: Sequence[str]) -> None:
    for word in words:
        if not word.lstrip("+").startswith((PREFIX, OPTION)):
            raise ConfigError(
                "a retry keeps the settings of its runs",
                where=word,
                allowed="launcher=OPTION and hydra.launcher.KEY=VALUE",
                fix="start another sweep for other settings",
            )


def _composed(config: DictConfig, options: Sequence[str]) -> DictConfig:
    """Compose conf/launcher as it is now, with the --config-dir of the submission."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    sources = config.hydra.runtime.config_sources
    own = [quoted(f"file://{each.path}") for each in sources if each.provider == "command-line"]
    words = [*options, *([f"hydra.searchpath=[{','.join(own)}]"] if own else [])]
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", overrides=words, return_hydra_config=True)
    except HydraException as error:
        raise ConfigError(
            "the launcher cannot be composed",
            where=" ".join(options),
            found=str(error).partition("\n")[0],
            allowed=getattr(error, "options", None),
        ) from error


def _where_it_was_typed(sweep: Sweep) -> contextlib.chdir[str]:
    """Go where the sweep was submitted: relative paths, MLflow's store among them, are read from there."""
    folder = sweep.submissions[0]["cwd"]
    if not Path(folder).is_dir():
        raise OutputError(
            "the folder in which the sweep was submitted is gone",
            where=folder,
            fix="make it again, or start a new sweep",
        )
    return contextlib.chdir(folder)

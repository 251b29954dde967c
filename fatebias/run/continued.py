"""Settings of a run that continues from the fit in its folder instead of fitting."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fatebias.api.settings import GROUPS, keys, make_config, option
from fatebias.config import Config
from fatebias.errors import ConfigError

# Another value of these is another fit. Where the files are may differ: a fit is judged elsewhere, too.
MAKE_THE_FIT = ("data", "priors", "model", "export", "likelihood_weight")
PLACES_OF_FILES = ("data.adata_path", "data.guide_map_csv", "data.guide_calls")
OF_THE_RUN = ("tracking", "out_dir", "stages", "resume", "plots")


def continue_from(config: Config, overrides: Sequence[str], fitted: Mapping[str, Any]) -> Config:
    """Return the settings of the fit, with those of the command over them.

    `fitted` are the fit's settings in run.json, `overrides` the words of the command line. A run of
    ``stages=[discover]`` then judges a calibrated fit as calibrated, and its config.yaml says so.

    Raises ConfigError where the command names a setting under which the fit would be another one.
    """
    result = make_config(**copy.deepcopy(dict(fitted)))
    for name in OF_THE_RUN:
        setattr(result, name, getattr(config, name))
    for key in dict.fromkeys(_named(overrides, config)):
        asked, found = _get(config, key), _get(result, key)
        if asked == found:
            continue
        if key.partition(".")[0] in MAKE_THE_FIT and key not in PLACES_OF_FILES:
            raise ConfigError(
                f"{key} asks for another fit than the one in out_dir",
                where=key,
                found=asked,
                allowed=found,
                fix="leave it out, or fit again: add fit to stages",
            )
        _set(result, key, asked)
    return result


def _named(overrides: Sequence[str], config: Config) -> Iterator[str]:
    """List the settings that words of a command line name, those of options and experiments included."""
    for word in overrides:
        key, _, value = word.lstrip("+~").partition("=")
        if key == "data":
            yield from _of_data(value, config)
        elif key in GROUPS:
            yield from _of_group(key, value)
        elif key == "experiment":
            yield from _of_experiment(value)
        elif key.partition(".")[0] in GROUPS or key == "likelihood_weight" or key in ("seed", "device"):
            yield key


def _of_group(group: str, name: str) -> Iterator[str]:
    try:
        yield from (f"{group}.{each}" for each in option(group, name))
    except ConfigError:  # an option of the user's own config folder: whatever it sets
        yield from (key for key in keys() if key.startswith(f"{group}."))


def _of_data(name: str, config: Config) -> Iterator[str]:
    """List what an option of data names: where the screen is from, and what is not as in every other option.

    data=anndata writes every default out, for people to read. Nobody chose these, and a fit may have others
    without a word typed: a prepared screen notes its fates itself.
    """
    plain = Config()
    for key in _of_group("data", name):
        if key == "data.source" or _get(config, key) != _get(plain, key):
            yield key


def _of_experiment(name: str) -> Iterator[str]:
    for key, value in option("experiment", name).items():
        if key in GROUPS and isinstance(value, str):
            yield from _of_group(key, value)
        elif key in GROUPS:
            yield from (f"{key}.{each}" for each in value)
        elif key == "likelihood_weight":
            yield key


def _get(config: Config, key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = getattr(node, part)
    return node


def _set(config: Config, key: str, value: Any) -> None:
    *groups, last = key.split(".")
    node: Any = config
    for part in groups:
        node = getattr(node, part)
    setattr(node, last, value)

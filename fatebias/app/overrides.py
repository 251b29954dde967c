"""Misspelt and unusable settings: Hydra's refusals, and what it takes in silence, with the valid ones.

Hydra refuses ``priors.s_alhpa=1`` without naming the valid keys, advises ``+priors.s_alhpa=1``, and then
takes that although nothing reads it. Here each ends in one message with the key that was probably meant.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fatebias.api.settings import allowed_values, unknown_setting
from fatebias.api.settings import keys as schema_keys
from fatebias.config import Config
from fatebias.errors import ConfigError, explain
from fatebias.pasted import quoted, setting
from fatebias.sweep.settings import PREFIX, LocalSettings, unknown_launcher_key

# Groups of which several options go together, later ones winning: experiment=[calibrated,permutation].
COMBINED = ("experiment",)
MERGING = "Error merging override "  # how Hydra's message begins, before the word


def check_words(words: Sequence[str], groups: Mapping[str, Collection[str]]) -> None:
    """Refuse words that cannot be read, name no setting, or give a group more than one option.

    ``hydra.*``, deletions (``~``) and the names of options are left to Hydra.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    keys = set(schema_keys())
    for place, word in enumerate(words):
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            raise _split_list(words[place:]) or _unreadable(word, error) from error
        key = override.key_or_group
        if override.is_delete() or override.package is not None or re.match(r"hydra(?![^./])", key):
            continue
        if key in groups:
            if not override.is_sweep_override():
                _check_choice(word, key, override.value(), groups[key])
        elif not any(f"{key}.".startswith(f"{known}.") or known.startswith(f"{key}.") for known in keys):
            raise _unknown(key, f"command line, {word}", groups)


def _check_choice(word: str, group: str, value: object, options: Collection[str]) -> None:
    if group in COMBINED and isinstance(value, list):
        for each in value:
            if each not in options:
                raise ConfigError(
                    f"there is no option {each} in the group {group}",
                    where=f"command line, {word}",
                    allowed=list(options),
                )
        return
    if not isinstance(value, str):
        sweep = ",".join(map(str, value)) if isinstance(value, list) else None
        raise ConfigError(
            f"the group {group} takes the name of one option",
            where=f"command line, {word}",
            allowed=list(options),
            fix=f"to compare several, sweep over them: -m {group}={sweep}" if sweep else None,
        )


def _split_list(words: Sequence[str]) -> ConfigError | None:
    """Return what to type where the shell has cut a list at its spaces: ``data.fates=[EC, MES]``."""
    _, _, value = words[0].partition("=")
    if not value.startswith("[") or value.endswith("]"):
        return None
    end = next((i for i, word in enumerate(words) if word.endswith("]")), None)
    if end is None:
        return None
    whole = " ".join(words[: end + 1])
    return ConfigError(
        "a list was cut at its spaces",
        where=f"command line, {whole}",
        fix=f"quote it for the shell: {shlex.quote(whole)}",
    )


def _unreadable(word: str, error: Exception) -> ConfigError:
    if "=" not in word:
        return ConfigError(
            "a setting lacks its value", where=f"command line, {word}", allowed="KEY=VALUE, GROUP=OPTION"
        )
    return ConfigError(
        "a setting holds signs that Hydra reads as its own",
        where=f"command line, {word}",
        found=str(error).partition("\n")[0],
        fix=f"quote text for Hydra and the whole again for the shell: {quoted(word)}",
    )


def composition_message(error: Exception, groups: Collection[str]) -> str | None:
    """Return why Hydra could not compose a config, in this project's words; None for any other error."""
    from hydra.errors import CompactHydraException, MissingConfigException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ConfigTypeError, ValidationError

    if not isinstance(error, CompactHydraException):
        return None
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        return _no_option(error.missing_cfg_file, error.options)
    cause = error.__cause__ or error.__context__
    key = getattr(cause, "full_key", None)
    if (
        isinstance(cause, ConfigTypeError) and isinstance(key, str) and key in schema_keys()
    ):  # a mapping in place of a list
        return str(_of_another_shape(key, str(error).partition("\n")[0].removeprefix(MERGING)))
    if key is None or not isinstance(cause, ConfigKeyError | ConfigAttributeError | ValidationError):
        return f"{error}\n{error.__cause__}" if error.__cause__ else str(error)
    file = re.match(r"In '(.+?)'", str(error))
    word = str(error).partition("\n")[0].removeprefix(MERGING)
    if isinstance(cause, ValidationError):
        where = f"{file[1]}.yaml" if file else f"command line, {word}"
        found = str(cause).partition("\n")[0].rstrip(".")
        return explain(
            f"{key} has a value of the wrong kind",
            where=where,
            found=found,
            allowed=allowed_values(key, a_list="a list in brackets, such as [a,b]"),
        )
    where = f"{file[1]}.yaml" if file else f"command line, {key}"
    settings = getattr(cause, "object_type", None)
    if isinstance(settings, type) and issubclass(settings, LocalSettings):
        return str(unknown_launcher_key(key.removeprefix(PREFIX), where, settings))
    return str(_unknown(key, where, groups))


def _of_another_shape(key: str, word: str) -> ConfigError:
    default: Any = Config()
    for part in key.split("."):
        default = getattr(default, part)
    return ConfigError(
        f"{key} has a value of the wrong kind",
        where=f"command line, {word}",
        found=word.partition("=")[2] or None,
        allowed=f"{'a list in brackets' if isinstance(default, list) else 'one value'}, as its default",
        fix=setting(key, default),
    )


def _unknown(key: str, where: str, groups: Collection[str]) -> ConfigError:
    if key.startswith("launcher."):
        meant = f"did you mean {PREFIX}{key.rpartition('.')[2]}?"
        return ConfigError(f"there is no setting {key}", where=where, fix=meant)
    return unknown_setting(key, where, groups)


def _no_option(missing: str, options: Sequence[str]) -> str:
    if missing == "hydra/sweeper/optuna":
        return explain(
            "the search by Optuna is an extra that is not installed",
            where="hydra/sweeper=optuna",
            fix="pip install '.[optuna]' in the checkout, or pip install hydra-optuna-sweeper",
        )
    group, _, option = missing.rpartition("/")
    near = difflib.get_close_matches(option, options, n=1)
    fix = f"did you mean {group}={near[0]}?" if near else None
    return explain(f"there is no option {option} in the group {group}", allowed=options, fix=fix)

"""Settings held against the schema: the words of a command line, and what Hydra refuses in a config file.

Hydra refuses a misspelt ``priors.s_alhpa=1`` without naming the valid keys, advises ``+priors.s_alhpa=1``,
and takes that in silence although nothing reads it. Here each ends in one message with the valid keys.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence

from fatebias.config import Config
from fatebias.errors import ConfigError, explain
from fatebias.sweep.settings import PREFIX, LocalSettings, unknown_launcher_key


def schema_keys(node: type = Config, prefix: str = "") -> Iterator[str]:
    """List every key that can be set, with its dots.

    Parameters
    ----------
    node
        A dataclass of the schema.
    prefix
        What stands before the names of its fields.

    Yields
    ------
    str
        For example ``priors.s_alpha``.
    """
    for name, kind in typing.get_type_hints(node).items():
        if dataclasses.is_dataclass(kind):
            yield from schema_keys(typing.cast(type, kind), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def unknown_key(key: str, where: str, groups: Collection[str] = ()) -> ConfigError:
    """Make the error for a key that the schema does not have.

    Parameters
    ----------
    key
        The key as written.
    where
        The word on the command line, or the file.
    groups
        Names of the config groups.

    Returns
    -------
    ConfigError
        With the keys of the group concerned (all groups and the keys at the top when there is none) and
        the key that was probably meant.
    """
    keys = list(schema_keys())
    group = key.rpartition(".")[0]
    beside = [each for each in keys if group and each.rpartition(".")[0] == group]
    if not beside:
        beside = [*groups, *(each for each in keys if "." not in each)]
    return ConfigError(
        f"there is no setting {key}", where=where, allowed=beside, fix=_meant(key, keys, groups)
    )


def _meant(key: str, keys: Sequence[str], groups: Collection[str]) -> str | None:
    last = key.rpartition(".")[2]
    if key.startswith("launcher."):
        return f"did you mean {PREFIX}{last}?"
    top = [*groups, *(each for each in keys if "." not in each)]
    near = [] if "." in key else difflib.get_close_matches(key, top, n=1, cutoff=0.7)
    near += [each for each in keys if each.rpartition(".")[2] == last]  # the right name in the wrong group
    near = near or difflib.get_close_matches(key, keys, n=1, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else None


def check_words(words: Sequence[str], groups: Mapping[str, Collection[str]]) -> None:
    """Refuse words that set a key which does not exist.

    ``hydra.*``, deletions (``~``) and the names of options are left to Hydra.

    Parameters
    ----------
    words
        The overrides as typed, without flags.
    groups
        The config groups and the options of each.

    Raises
    ------
    ConfigError
        For a word that Hydra cannot parse, an unknown key, and a list where one option is to be named.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    keys = set(schema_keys())
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            raise _unreadable(word, error) from error
        key = override.key_or_group
        if override.is_delete() or override.package is not None or re.match(r"hydra(?![^./])", key):
            continue
        if key in groups:
            if not override.is_sweep_override():
                _check_choice(word, key, override.value(), groups[key])
        elif not any(f"{key}.".startswith(f"{known}.") or known.startswith(f"{key}.") for known in keys):
            raise unknown_key(key, f"command line, {word}", groups)


def _check_choice(word: str, group: str, value: object, options: Collection[str]) -> None:
    if not isinstance(value, str):
        sweep = ",".join(map(str, value)) if isinstance(value, list) else None
        raise ConfigError(
            f"the group {group} takes the name of one option",
            where=f"command line, {word}",
            allowed=list(options),
            fix=f"to compare several, sweep over them: -m {group}={sweep}" if sweep else None,
        )


def _unreadable(word: str, error: Exception) -> ConfigError:
    key, equals, value = word.partition("=")
    if not equals:
        return ConfigError(
            "a setting lacks its value", where=f"command line, {word}", allowed="KEY=VALUE, GROUP=OPTION"
        )
    return ConfigError(
        "a setting holds signs that Hydra reads as its own",
        where=f"command line, {word}",
        found=str(error).partition("\n")[0],
        fix=f"quote the value for Hydra and again for the shell: '{key}=\"{value}\"'",
    )


def composition_message(error: Exception, groups: Collection[str]) -> str | None:
    """Say in this project's words why Hydra could not compose a config.

    Parameters
    ----------
    error
        What Hydra raised.
    groups
        Names of the config groups.

    Returns
    -------
    str or None
        None when the error is not one of composition.
    """
    from hydra.errors import CompactHydraException, MissingConfigException
    from omegaconf.errors import ConfigKeyError, ValidationError

    if not isinstance(error, CompactHydraException):
        return None
    cause = error.__cause__ or error.__context__
    key = getattr(cause, "full_key", None)
    file = re.match(r"In '(.+?)'", str(error))
    word = str(error).partition("\n")[0].removeprefix("Error merging override ")
    where = f"{file[1]}.yaml" if file else f"command line, {word}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file == "hydra/sweeper/optuna":
        return explain(
            "the search by Optuna is an extra that is not installed",
            where="hydra/sweeper=optuna",
            fix="pip install '.[optuna]' in the checkout, or pip install hydra-optuna-sweeper",
        )
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        near = difflib.get_close_matches(option, error.options, n=1)
        fix = f"did you mean {group}={near[0]}?" if near else None
        return explain(f"there is no option {option} in the group {group}", allowed=error.options, fix=fix)
    settings = getattr(cause, "object_type", None)
    if (
        key
        and isinstance(settings, type)
        and issubclass(settings, LocalSettings)
        and not isinstance(cause, ValidationError)
    ):
        where = f"{file[1]}.yaml" if file else f"command line, {key}"
        return str(unknown_launcher_key(key.removeprefix(PREFIX), where, settings))
    if key and isinstance(cause, ConfigKeyError):
        return str(unknown_key(key, where, groups))
    if key and isinstance(cause, ValidationError):
        found = str(cause).partition("\n")[0].rstrip(".")
        return explain(f"{key} has a value of the wrong kind", where=where, found=found, allowed=_kind(key))
    return f"{error}\n{error.__cause__}" if error.__cause__ else str(error)


def _kind(key: str) -> str | None:
    node: typing.Any = Config
    for part in key.split("."):
        node = typing.get_type_hints(node).get(part) if dataclasses.is_dataclass(node) else None
    return _in_words(node)


def _in_words(kind: typing.Any) -> str | None:
    if isinstance(kind, types.UnionType):
        return " or ".join(filter(None, map(_in_words, typing.get_args(kind))))
    words = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "text",
        list[str]: "a list in brackets, such as [a,b]",
        types.NoneType: "null",
    }
    return words.get(kind)

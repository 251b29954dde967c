"""Settings by name in Python: options of conf/ and keywords become one checked `Config`, without Hydra."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fatebias.config import Config
from fatebias.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
GROUPS = tuple(
    each.name for each in dataclasses.fields(Config) if dataclasses.is_dataclass(each.default_factory)
)


def conf_dir() -> Path:
    """Return the folder with the config files: inside an installed package, else beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def option(group: str, name: str) -> dict[str, Any]:
    """Return the settings of ``conf/GROUP/NAME.yaml``, those that it builds on included."""
    import yaml

    folder = conf_dir() / group
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise ConfigError(
            f"there is no option {name} in the group {group}",
            allowed=names,
            fix=f"did you mean {near[0]}?" if near else None,
        )
    content = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    settings: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, Mapping):  # "override /export: unshrunken" of an experiment
            for key, chosen in entry.items():
                settings[key.removeprefix("override ").strip("/ ")] = chosen
        elif entry != "_self_":
            settings = option(group, entry)
    return {**settings, **content}


def make_config(preset: str | None = None, **settings: Any) -> Config:
    """Return checked settings: defaults, then a preset, then what is named.

    Parameters
    ----------
    preset
        A file of ``conf/experiment`` that is one fit, such as ``calibrated``.
    **settings
        Top-level settings (``likelihood_weight=0.5``); groups by the name of an option (``priors="weak"``) or
        by their own settings (``priors={"s_tau": 2.0}``); single ones with a dot
        (``**{"priors.s_tau": 2.0}``).

    Raises
    ------
    ConfigError
        For a name that does not exist and a value that cannot be used, with those that can.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    tree: dict[str, Any] = {}
    # As on the command line: options first, over them the preset's own settings, over all single settings.
    for group, name in settings.items():
        if group in GROUPS and isinstance(name, str):
            _set(tree, group, name)
    if preset is not None:
        chosen = option("experiment", preset)
        if "hydra" in chosen:
            raise ConfigError(
                f"the experiment {preset} is many runs, not one fit",
                where="preset",
                found=preset,
                fix=f"run it from the command line: fatebias experiment={preset}",
            )
        for key, value in chosen.items():
            if not (isinstance(value, str) and isinstance(settings.get(key), str)):
                _set(tree, key, value)
    for key, value in settings.items():
        if not (key in GROUPS and isinstance(value, str)):
            _set(tree, key, value)
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), tree))
    except OmegaConfBaseException as error:
        key = (error.full_key or "").partition("[")[0]
        found = _found(tree, key)
        allowed = allowed_values(key, a_list="a list of names, such as ['EC', 'MES']")
        raise ConfigError(
            f"{key} has a value of the wrong kind",
            where=key,
            found=str(error).partition("\n")[0] if isinstance(found, dict) else repr(found),
            allowed=allowed,
            fix=f"give [{found!r}]" if isinstance(found, str) and allowed and "a list" in allowed else None,
        ) from None
    assert isinstance(config, Config)
    return config


def read_config(path: Path) -> Config:
    """Return the settings that a run wrote to ``config.yaml``."""
    from omegaconf import OmegaConf

    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(path)))
    assert isinstance(config, Config)
    return config


def keys(node: type = Config, prefix: str = "") -> Iterator[str]:
    """List every key of the schema, with its dots."""
    for each in dataclasses.fields(node):
        inner = each.default_factory
        if dataclasses.is_dataclass(inner):
            yield from keys(inner, f"{prefix}{each.name}.")
        else:
            yield f"{prefix}{each.name}"


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    """Put one named setting into the tree, a group's option or mapping leaf by leaf."""
    if key in GROUPS:
        if isinstance(value, str):
            value = option(key, value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{key} has a value of the wrong kind",
                where=key,
                found=repr(value),
                allowed="the name of an option, or a mapping of settings",
            )
        for name, each in value.items():
            _set(tree, f"{key}.{name}", each)
        return
    if not any(each == key or each.startswith(f"{key}.") for each in keys()):
        raise unknown_setting(key, key)
    *groups, last = key.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, pandas' indexes
        value = value.tolist()
    tree[last] = list(value) if isinstance(value, tuple) else value


def unknown_setting(key: str, where: str, groups: Collection[str] = GROUPS) -> ConfigError:
    """Return the error for a key that the schema lacks: the keys beside it, and the one probably meant."""
    known = list(keys())
    group, _, last = key.rpartition(".")
    top = [*groups, *(each for each in known if "." not in each)]
    beside = [each for each in known if group and each.rpartition(".")[0] == group]
    near = [] if group else difflib.get_close_matches(key, top, n=1, cutoff=0.7)
    near += [each for each in known if each.rpartition(".")[2] == last]  # the right name in the wrong group
    # Of a long group's name the keys of the group would share enough: the last names must be alike, too.
    alike = [each for each in known if not group or _are_alike(last, each.rpartition(".")[2])]
    near = near or difflib.get_close_matches(key, alike, n=1, cutoff=0.7)
    fix = f"did you mean {' or '.join(near)}?" if near else None
    return ConfigError(f"there is no setting {key}", where=where, allowed=beside or top, fix=fix)


def _are_alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one, other).ratio() >= 0.7


def allowed_values(key: str, a_list: str) -> str | None:
    """Say in words which values a setting takes, where that is simple; `a_list` is how a list is written."""
    node: Any = Config
    for part in key.split("."):
        node = typing.get_type_hints(node).get(part) if dataclasses.is_dataclass(node) else None
    return _in_words(node, a_list)


def _in_words(kind: Any, a_list: str) -> str | None:
    if isinstance(kind, types.UnionType):
        return " or ".join(filter(None, (_in_words(each, a_list) for each in typing.get_args(kind))))
    words = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "text",
        list[str]: a_list,
        types.NoneType: "null",
    }
    return words.get(kind)


def _found(tree: dict[str, Any], key: str) -> Any:
    """Return what the tree has at a dotted key."""
    node: Any = tree
    for part in key.split("."):
        node = node[part]
    return node

"""From conf/ to checked settings: the schema that Hydra is told, and the dataclasses it composes into."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fatebias.api.settings import conf_dir
from fatebias.config import Config
from fatebias.errors import ConfigError
from fatebias.pasted import started_by

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONF = conf_dir()
SHOWN_FIRST = ("data", "priors", "model", "inference", "discovery", "tracking", "launcher", "experiment")


def register() -> None:
    """Register the schema and the resolvers of conf/ with Hydra."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    # conf/config.yaml lists the schema first, so it types every group
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    # Hydra copies its store, with every plugin's settings, for each question about a group, a second in
    # `--help` alone. It only reads the copies.
    store.__deepcopy__ = lambda memo: store  # type: ignore[attr-defined]
    OmegaConf.register_new_resolver("fatebias.folder", _folder, replace=True)
    OmegaConf.register_new_resolver("fatebias.command", started_by, replace=True)
    OmegaConf.register_new_resolver("fatebias.options", _options_text, replace=True)


def _folder(wanted: str | None, otherwise: str) -> str:
    return otherwise if wanted in (None, "", "null", "None") else os.path.expanduser(str(wanted))


def group_options(folders: list[Path]) -> dict[str, dict[str, str]]:
    """Return each group's options, and of each option the first comment in its file."""
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
    """Return a composed config as plain dataclasses; this is when values are checked."""
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
            "a setting has no value", where=error.full_key, found=str(error).partition("\n")[0]
        ) from error
    if not isinstance(config, Config):
        raise TypeError("the config has no schema: conf/config.yaml must list it first")
    check_place(config.tracking)
    return config

"""settings.json: the composed settings of a sweep's runs, kept from their submission for a retry.

What is edited in conf/ after a submission does not reach its runs, however often they are started again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.errors import ConfigError, OutputError
from fatebias.files.atomic import atomic_json
from fatebias.sweep.record import Member, Sweep

if TYPE_CHECKING:
    from omegaconf import DictConfig

SETTINGS_JSON = "settings.json"
# Where a run goes and who is told of it: as the command and conf/ have it when it starts. The address of a
# server may hold a password.
PLACES = ("hydra", "out_dir", "tracking")
LAUNCHING = ("launcher", "tracking")


def keep_settings(sweep: Sweep, configs: Mapping[int, DictConfig], *, chosen: Collection[int]) -> None:
    """Write down the settings of the runs of a submission.

    Parameters
    ----------
    sweep
        The sweep.
    configs
        Number of a run to its whole composed config.
    chosen
        Numbers of the runs that this submission starts. Settings of others, by an earlier one, stay.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    path = sweep.root / SETTINGS_JSON
    before = _read(path)
    runs = before["runs"] if before.get("sweep") == sweep.id else {}
    for number, config in configs.items():
        if number in chosen or str(number) not in runs:
            runs[str(number)] = _settings(config)
    atomic_json(path, {"sweep": sweep.id, "runs": runs})


def take_settings(sweep: Sweep, member: Member, config: DictConfig) -> list[str]:
    """Put the settings of a run's submission in the place of what conf/ says now.

    Parameters
    ----------
    sweep
        The sweep as it was recorded.
    member
        The run as the sweep's command makes it now.
    config
        Its config, composed now; changed in place.

    Returns
    -------
    list of str
        What conf/ now says otherwise, such as ``priors.s_tau=4.0 (conf/ now: 8.0)``.

    Raises
    ------
    ConfigError
        When the command now makes another run of this number, or the settings do not fit the code any more.
    OutputError
        When no settings were kept.
    """
    from omegaconf import OmegaConf, open_dict, read_write
    from omegaconf.errors import OmegaConfBaseException

    known = {each.number: each for each in sweep.members}.get(member.number)
    if known is None or known.settings != member.settings:
        raise ConfigError(
            "the command of the sweep no longer makes the runs that it made",
            where=f"{sweep.path}, run {member.number}",
            found=" ".join(member.settings) or "no overrides",
            allowed=None if known is None else " ".join(known.settings) or "no overrides",
            fix="undo what has changed in conf/, or start a new sweep in another folder",
        )
    before = _read(sweep.root / SETTINGS_JSON)
    kept = before.get("runs", {}).get(str(member.number)) if before.get("sweep") == sweep.id else None
    if kept is None:
        raise OutputError(
            "the settings with which this run was submitted were not kept",
            where=sweep.root / SETTINGS_JSON,
            found=f"nothing of run {member.number}",
            fix="type the sweep's command again, with conf/ as it is now",
        )
    now = _settings(config)
    try:
        with read_write(config):
            for key, value in kept["values"].items():
                OmegaConf.update(config, key, value, merge=True)
            with open_dict(config):
                config.hydra.runtime.choices.update(kept["choices"])
    except OmegaConfBaseException as error:
        raise ConfigError(
            "the settings with which this run was submitted do not fit the code any more",
            where=sweep.root / SETTINGS_JSON,
            found=str(error).partition("\n")[0],
            fix="check out the commit of the submission (sweep.json names it), or start a new sweep",
        ) from error
    from fatebias.tracking.describe import flat

    was, new = (dict(flat(each["values"])) for each in (kept, now))
    return [f"{key}={was[key]} (conf/ now: {new[key]})" for key in was if key in new and was[key] != new[key]]


def _settings(config: DictConfig) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    choices = config.hydra.runtime.choices
    return {
        "values": {key: value for key, value in plain.items() if key not in PLACES},
        "choices": {
            group: choices[group]
            for group in choices
            if not group.startswith("hydra/") and group not in LAUNCHING
        },
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("runs"), dict) else {}

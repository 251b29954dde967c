"""Checked after composing a config and before a folder is made: its values, its files, the folder itself.

Without this a refused setting would leave a folder behind, and a folder that cannot be made would end in
Hydra's traceback. ``stages=[check]`` ends here too: it makes no folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from fatebias.app.cli import PassedOn
from fatebias.compose import to_config
from fatebias.config import CHECK, FIT
from fatebias.data.given import check_files
from fatebias.errors import ConfigError, FatebiasError
from fatebias.files.paths import prepare_out_dir
from fatebias.sweep.settings import launcher_settings
from fatebias.sweep.task import find_files
from fatebias.tracking.password import set_config_apart

IN_THIS_PROCESS = (None, "local", "basic")


@contextlib.contextmanager
def _past_hydra() -> Iterator[None]:
    """Let a refusal end the command with its message, and any other error reach `fatebias.app.cli.launch`.

    Hydra turns an Exception of a callback into a warning, and then runs the task.
    """
    try:
        yield
    except FatebiasError as error:
        raise SystemExit(str(error)) from error
    except Exception as error:
        raise PassedOn(error) from error


class Gate(Callback):
    """Named in conf/base.yaml under hydra.callbacks."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run."""
        set_config_apart(config)
        HydraConfig.instance().set_config(config)
        chosen = config.hydra.runtime.choices.get("hydra/launcher")
        with _past_hydra():
            if chosen not in IN_THIS_PROCESS:  # Hydra would run it here, on a login node perhaps
                raise ConfigError(
                    f"without -m a run takes no launcher: it would run here and not by {chosen}",
                    where=f"hydra/launcher={chosen}",
                    fix=f"launcher={chosen} sends a single run there too; or add -m",
                )
            checked = to_config(config)
            find_files(checked.data, Path.cwd())
            if checked.stages == [CHECK]:
                from fatebias.run.look import look

                print(look(checked))
                raise SystemExit(0)
            if FIT in checked.stages:
                check_files(checked.data)
            prepare_out_dir(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check where a sweep runs and its folder; the launcher checks its members, once they are known."""
        set_config_apart(config)
        HydraConfig.instance().set_config(config)
        with _past_hydra():
            if list(config.stages) == [CHECK]:
                raise ConfigError(
                    "a check of the screen is no sweep", where=f"stages=[{CHECK}]", fix="leave out -m"
                )
            launcher_settings(OmegaConf.to_container(config.hydra.launcher, resolve=True))
            prepare_out_dir(Path(config.hydra.sweep.dir))

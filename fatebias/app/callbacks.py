"""Checked between composing a config and making the run's folder: the values, and the folder itself.

Without this, a refused setting would leave a folder behind, and a folder that cannot be made would end in
Hydra's traceback.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from fatebias.compose import to_config
from fatebias.errors import ConfigError, FatebiasError
from fatebias.files.paths import prepare_out_dir
from fatebias.sweep.settings import launcher_settings

IN_THIS_PROCESS = ("local", "basic")


class Gate(Callback):
    """Named in conf/config.yaml under hydra.callbacks.

    Hydra turns an Exception of a callback into a warning, so a refusal leaves as SystemExit with the message.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run.

        Parameters
        ----------
        config
            The whole composed config, Hydra's part included.
        **kwargs
            What else Hydra tells.
        """
        HydraConfig.instance().set_config(config)
        try:
            _check_launcher_is_meant(config.hydra.runtime.choices.get("hydra/launcher"))
            to_config(config)
            prepare_out_dir(Path(config.hydra.run.dir))
        except FatebiasError as error:
            raise SystemExit(str(error)) from error

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a sweep's folder and where it runs; the launcher checks its members, once they are known.

        Parameters
        ----------
        config
            The whole composed config, Hydra's part included.
        **kwargs
            What else Hydra tells.
        """
        HydraConfig.instance().set_config(config)
        try:
            launcher_settings(OmegaConf.to_container(config.hydra.launcher, resolve=True))
            prepare_out_dir(Path(config.hydra.sweep.dir))
        except FatebiasError as error:
            raise SystemExit(str(error)) from error


def _check_launcher_is_meant(chosen: str | None) -> None:
    """Refuse a launcher that a single run would ignore: Hydra runs it here, on a login node perhaps."""
    if chosen not in (None, *IN_THIS_PROCESS):
        raise ConfigError(
            f"without -m a run takes no launcher: it would run here and not by {chosen}",
            where=f"hydra/launcher={chosen}",
            fix=f"launcher={chosen} sends a single run there too; or add -m",
        )

"""Checked between composing a config and making the run's folder: the values, and the folder itself.

Without this, a refused setting would leave a folder behind, and a folder that cannot be made would end in
Hydra's traceback.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from fatebias.artifacts import prepare_out_dir
from fatebias.cli import to_config
from fatebias.errors import FatebiasError


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
            to_config(config)
            prepare_out_dir(Path(config.hydra.run.dir))
        except FatebiasError as error:
            raise SystemExit(str(error)) from error

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a sweep's folder; the launcher checks its members, once they are known.

        Parameters
        ----------
        config
            The whole composed config, Hydra's part included.
        **kwargs
            What else Hydra tells.
        """
        HydraConfig.instance().set_config(config)
        try:
            prepare_out_dir(Path(config.hydra.sweep.dir))
        except FatebiasError as error:
            raise SystemExit(str(error)) from error

"""The command ``fatebias``: what ``python run.py`` does, from any folder and from an installed wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hydra

from fatebias.app import cli
from fatebias.compose import CONF

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def task(cfg: DictConfig) -> None:
    """Run a composed config."""
    cli.run(cfg)


def main() -> None:
    """Start a run, or a sweep of runs; ``fatebias --help`` names the settings."""
    cli.launch(task)


if __name__ == "__main__":
    main()

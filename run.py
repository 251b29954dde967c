"""Start a run, or a sweep of runs, from a checkout; ``python run.py --help`` names the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import hydra

    from fatebias.app import cli
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"the package {missing.name} is not installed for this Python\n"
        "  fix: source .venv/bin/activate (make demo makes it), then the same command again"
    ) from None

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Run a composed config."""
    cli.run(cfg)


if __name__ == "__main__":
    cli.launch(main)

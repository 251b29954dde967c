"""``python -m fatebias.tracking sync DIR``: write runs that are on disk to MLflow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fatebias.config import TrackingConfig
from fatebias.errors import FatebiasError
from fatebias.tracking.sync import sync


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every run is in MLflow, 1 when one is not."""
    parser = argparse.ArgumentParser(
        prog="python -m fatebias.tracking", description="Writes runs that are on disk to MLflow."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    importer = commands.add_parser(
        "sync",
        help="write every run below the given folders to MLflow",
        description="Writes every run below the given folders to MLflow. May be repeated, also while runs "
        "are at work: each metric is written once.",
    )
    importer.add_argument("folders", metavar="DIR", nargs="+", type=Path, help="out_dir of a run or a sweep")
    importer.add_argument(
        "--uri", help="http(s)://HOST:PORT or sqlite:///FILE; by default sqlite:///mlflow.db in this folder"
    )
    wanted = parser.parse_args(arguments)
    try:
        backend = "server" if (wanted.uri or "").startswith(("http://", "https://")) else "local"
        report = sync(wanted.folders, TrackingConfig(backend=backend, uri=wanted.uri))
    except FatebiasError as error:
        print(error, file=sys.stderr)
        return 1
    print(report.text(), file=sys.stderr if report.failed else sys.stdout)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m fatebias.report DIR``: write the report of a finished run again, from its files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fatebias.errors import FatebiasError


def main(words: Sequence[str] | None = None, prog: str = "python -m fatebias.report") -> int:
    """Write the report and print where it is; return the exit code."""
    parser = argparse.ArgumentParser(prog, description="Write report.html of a finished run from its files.")
    parser.add_argument("folder", metavar="DIR", type=Path, help="out_dir of the run")
    folder = parser.parse_args(words).folder
    try:
        from fatebias.report.page import write_report

        print(write_report(folder))
    except FatebiasError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

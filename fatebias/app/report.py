"""``fatebias report DIR``: the report of a finished run, or of a sweep, written again from its files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fatebias.errors import FatebiasError
from fatebias.report.__main__ import main as of_a_run
from fatebias.sweep.snapshot import SWEEP_JSON, read_sweep


def main(words: Sequence[str], prog: str = "fatebias report") -> int:
    """Run the command; return its exit code."""
    if len(words) != 1 or not (Path(words[0]) / SWEEP_JSON).is_file():
        return of_a_run(words, prog)
    from fatebias.sweep.compare import compare

    try:
        written = compare(read_sweep(Path(words[0])))
    except FatebiasError as error:
        print(error, file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0

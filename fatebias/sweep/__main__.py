"""``python -m fatebias.sweep [status|submit|retry|compare] DIR``: see, start and compare a sweep's runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fatebias.errors import FatebiasError
from fatebias.sweep.snapshot import read_sweep
from fatebias.sweep.status import statuses, table

COMMANDS = ("status", "submit", "retry", "compare")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 when a run has failed or the folder holds no sweep."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    alone = len(words) == 1 and Path(words[0]).is_dir()  # a sweep's folder may be called compare
    if words and (alone or words[0] not in (*COMMANDS, "-h", "--help")):
        words.insert(0, "compare")
    parser = argparse.ArgumentParser(
        prog="python -m fatebias.sweep",
        description="See the runs of a sweep, start failed ones again, compare them.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("status", "print of each run whether it is queued, running, done or failed, and why"),
        ("submit", "start what never began, such as jobs for which Slurm had no room"),
        ("retry", "start again what failed, in the same folders with the same settings"),
        ("compare", "write sweep_summary.csv, hit_stability.csv and sweep_hits.png; DIR alone does this too"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("folder", metavar="DIR", type=Path, help="out_dir of the sweep")
        if name in ("submit", "retry"):
            command.add_argument(
                "more", metavar="hydra.launcher.KEY=VALUE", nargs="*", help="such as hydra.launcher.mem_gb=64"
            )
    wanted = parser.parse_args(words)
    try:
        sweep = read_sweep(wanted.folder)
        if wanted.command in ("submit", "retry"):
            from fatebias.sweep.retry import retry

            retry(sweep, wanted.more, failed=wanted.command == "retry")
            return 0
        found = statuses(sweep)
        if wanted.command == "compare":
            from fatebias.sweep.compare import compare

            for path in compare(sweep):
                print(path)
        else:
            print(table(sweep, found))
        return int(any(each.failed for each in found))
    except FatebiasError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished stages are kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

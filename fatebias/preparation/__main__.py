"""``fatebias prepare SCREEN --library TABLE``: write the files of a screen from what people have."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import Any

from fatebias.errors import ConfigError, FatebiasError
from fatebias.pasted import quoted
from fatebias.preparation.kinds import NON_TARGETING
from fatebias.signals import as_exceptions

WHAT = """\
Make the two files that an analysis starts from, screen.h5ad and guides.csv, out of what you have: the AnnData
in which CellRank left fate probabilities, the guides of each cell, and the table of your guide library.
Nothing that is read is changed, and what is written was read back first. It prints what it did and what to
type next."""
EXAMPLE = """\
example:
  fatebias prepare cellrank.h5ad --library feature_reference.csv --guides protospacer_calls_per_cell.csv \\
    'data.fates=[Monocyte,Neutrophil,Baso]' data.ref_fate=Monocyte data.contrast_fate=Baso \\
    data.day_key=time_point data.rep_key=sample --out prepared

The fates are three choices of yours: all that CellRank found (data.fates), the one to compare with
(data.ref_fate), the one whose gain or loss is asked for (data.contrast_fate). Every setting of data that a
run knows may follow, as a message advises it: data.guide_threshold=4, data.bad_cells=drop,
data.other_fates=drop. docs/input.md explains each."""


def main(words: Sequence[str] | None = None, prog: str = "python -m fatebias.preparation") -> int:
    """Prepare a screen and print what was done; return the exit code."""
    parser = _parser(prog)
    if not (sys.argv[1:] if words is None else words):
        parser.print_help(sys.stderr)
        return 2
    wanted = parser.parse_intermixed_args(words)
    try:
        with as_exceptions():
            return _prepare(wanted)
    except FatebiasError as error:
        print(_as_typed_here(str(error), prog), file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit) as stop:  # from the keyboard, or by a signal
        print("interrupted", file=sys.stderr)
        return int(stop.code or 1) if isinstance(stop, SystemExit) else 128 + signal.SIGINT


def _prepare(wanted: argparse.Namespace) -> int:
    from fatebias.preparation.prepare import prepare

    prepared = prepare(
        wanted.screen,
        wanted.library,
        out=wanted.out,
        guides=wanted.guides,
        controls=_listed(wanted.controls),
        positive=_listed(wanted.positive),
        overwrite=wanted.overwrite,
        **_settings(wanted.settings),
    )
    print(prepared)
    return 0


def _as_typed_here(message: str, prog: str) -> str:
    """Return a reader's message with the screen as this command is given it: first, and no setting."""
    message = re.sub(
        r"""'data\.adata_path="?(.+?)"?'""", lambda found: f"{prog} {shlex.quote(found[1])}", message
    )
    return message.replace("data.adata_path=", f"{prog} ")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog, description=WHAT, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "screen", metavar="SCREEN", help="the file with CellRank's fates: .h5ad, .h5mu, .zarr, .h5ad.gz"
    )
    parser.add_argument(
        "settings",
        metavar="data.KEY=VALUE",
        nargs="*",
        help="how it is read, as in a run: data.day_key=stage",
    )
    parser.add_argument(
        "--library",
        metavar="TABLE",
        help="guides and their genes, with a column such as guide_name, id or sgRNA and one such as "
        "gene_name or target_gene_name; leave it out where the screen has a modality of guides that says it",
    )
    parser.add_argument(
        "--guides",
        metavar="WHERE",
        help="which guides each cell holds: a key of obsm, a modality, an obs column with calls such as "
        "A|B, or Cell Ranger's protospacer_calls_per_cell.csv; by default obsm['guide'] or what else looks "
        "like it",
    )
    parser.add_argument(
        "--controls",
        metavar="KIND,KIND",
        default=NON_TARGETING,
        help="guides that serve as negative controls: non-targeting (the default), safe-targeting, genes "
        "of the library, or several of these with commas between them",
    )
    parser.add_argument(
        "--positive", metavar="GENE,GENE", default="", help="genes that are known to act, separated by commas"
    )
    parser.add_argument(
        "--out", metavar="DIR", default="prepared", help="the folder to write to (by default prepared)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier call wrote there")
    return parser


def _listed(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _settings(words: Sequence[str]) -> dict[str, Any]:
    """Return words such as data.day_key=stage by name, read as the command line of a run reads them."""
    if not words:
        return {}
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    found: dict[str, Any] = {}
    for word in words:
        try:
            override = OverridesParser.create().parse_override(word)
        except HydraException as error:
            raise _unreadable(word, error) from error
        group, _, name = override.key_or_group.partition(".")
        if group != "data" or not name or override.is_sweep_override():
            raise _no_setting(word)
        found[name] = override.value()
    return found


def _unreadable(word: str, error: Exception) -> ConfigError:
    if not word.startswith("data.") or "=" not in word:
        return _no_setting(word)
    return ConfigError(
        "a setting holds signs that Hydra reads as its own",
        where=f"command line, {word}",
        found=str(error).partition("\n")[0],
        fix=f"quote names, and the whole again for the shell: {quoted(word)}",
    )


def _no_setting(word: str) -> ConfigError:
    return ConfigError(
        "a word is no setting of data",
        where=f"command line, {word}",
        allowed="data.KEY=VALUE, quoted where it holds brackets or spaces",
        fix="'data.fates=[EC,MES,NEU]'; --help lists the options",
    )


if __name__ == "__main__":
    sys.exit(main())

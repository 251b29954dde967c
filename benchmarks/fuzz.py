"""Coverage-guided fuzzing of all that is read: ``python -m benchmarks.fuzz TARGET --seconds 600``.

Bytes that libFuzzer makes up, steered by which lines of fatebias they reach, go to one reader. It must return
or refuse them in words (a FatebiasError); any other exception ends it and leaves the bytes that did it, which
``--again FILE`` gives to the reader once more. Needs atheris, for this alone: pip install atheris.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import io
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fatebias"]):
    import fatebias as fb
    from fatebias.data.reading.guide_map import read_guide_map
    from fatebias.discovery.input import read_summary, summary_of
    from fatebias.discovery.r_output import read_result
    from fatebias.errors import FatebiasError
    from fatebias.files.paths import RunPaths
    from fatebias.files.record import RunRecord
    from fatebias.inference.checkpoint import DIGEST_BYTES, Checkpoint
    from fatebias.report.run_files import read_run
    from fatebias.sweep.snapshot import read_sweep
    from fatebias.sweep.status import read_record, statuses
    from fatebias.tracking.events import read_run as tracked_run

import anndata as ad
import h5py
import numpy as np
import pandas as pd

MAP = "guide_name,gene_name,is_ntc\nA_1,A,false\nA_2,A,no\nB_1,B,0\nntc_1,NTC,true\n"
CALLS = "cell_barcode,num_features,feature_call,num_umis\nc0-1,2,A_1|B_1,3|4\nc1-1,1,ntc_1,9\n"
SUMMARY = "gene,betahat_d0,betahat_d1,se_d0,se_d1\nA,0.1,0.2,0.3,0.4\nB,-1,2,0.5,0.5\n"
CELLS = [f"c{i}-1" for i in range(12)]


def adata() -> ad.AnnData:
    """Return a small screen."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"day": ["d0", "d2"] * 6, "rep": ["a", "a", "b", "b"] * 3}, index=CELLS)
    found = ad.AnnData(obs=obs)
    found.obsm["lineages_fwd"] = pd.DataFrame(rng.dirichlet(np.ones(3), 12), CELLS, ["EC", "MES", "NEU"])
    held = rng.integers(0, 2, (12, 4))
    found.obsm["guide"] = pd.DataFrame(held, CELLS, ["A_1", "A_2", "B_1", "ntc_1"])
    return found


def guide_map(data: bytes, folder: Path) -> None:
    """Read a guide map."""
    path = folder / "guides.csv"
    path.write_bytes(data)
    read_guide_map(path)


def guide_calls(data: bytes, folder: Path) -> None:
    """Read Cell Ranger's calls for the cells of a screen."""
    path, guides = folder / "calls.csv", folder / "guides.csv"
    path.write_bytes(data)
    guides.write_text(MAP)
    fb.read_screen(adata(), guides=guides, guide_calls=str(path))


@functools.cache
def written() -> bytes:
    """Return the screen as an .h5ad file."""
    with tempfile.TemporaryDirectory() as folder:
        adata().write_h5ad(Path(folder) / "screen.h5ad")
        return (Path(folder) / "screen.h5ad").read_bytes()


def groups(data: bytes, folder: Path) -> None:
    """Read an .h5ad file in which groups, datasets and attributes are damaged."""
    given = atheris.FuzzedDataProvider(data)
    path, guides = folder / "screen.h5ad", folder / "guides.csv"
    path.write_bytes(written())
    guides.write_text(MAP)
    with h5py.File(path, "r+") as root:
        for _ in range(given.ConsumeIntInRange(1, 3)):
            names: list[str] = []
            root.visit(names.append)
            if names:
                _damage(root, names[given.ConsumeIntInRange(0, len(names) - 1)], given)
    fb.read_screen(path, guides=guides)


def _damage(root: h5py.File, name: str, given: atheris.FuzzedDataProvider) -> None:
    kind = given.ConsumeIntInRange(0, 6)
    if kind == 0:
        del root[name]
    elif kind == 1 and len(root[name].attrs):
        names = list(root[name].attrs)
        del root[name].attrs[names[given.ConsumeIntInRange(0, len(names) - 1)]]
    elif kind == 2 and len(root[name].attrs):
        names = list(root[name].attrs)
        text = given.ConsumeUnicodeNoSurrogates(12).replace("\0", "")
        root[name].attrs[names[given.ConsumeIntInRange(0, len(names) - 1)]] = text
    elif kind == 3:
        del root[name]
        root[name] = np.frombuffer(given.ConsumeBytes(96).ljust(96, b"\0"))
    elif kind == 4:
        del root[name]
        root[name] = [given.ConsumeUnicodeNoSurrogates(6).replace("\0", "") for _ in range(12)]
    elif kind == 5:
        del root[name]
        root.create_group(name)
    elif isinstance(root[name], h5py.Dataset) and root[name].shape and root[name].dtype.kind in "iufb":
        values = root[name][()]
        place = given.ConsumeIntInRange(0, values.size - 1)
        values.flat[place] = values.dtype.type(given.ConsumeIntInRange(-2, 3))
        root[name][...] = values


def checkpoint(data: bytes, folder: Path) -> None:
    """Load a checkpoint whose digest is right, whatever it holds."""
    path = folder / "checkpoint.pt"
    path.write_bytes(hashlib.sha256(data).digest() + data)
    Checkpoint(path, "key", 60.0).load()


def record(data: bytes, folder: Path) -> None:
    """Read run.json by everything that reads it, and a sweep's record."""
    (folder / "run.json").write_bytes(data)
    (folder / "sweep.json").write_bytes(data)
    RunRecord(RunPaths(folder))
    read_record(folder)
    tracked_run(folder)
    for reader in (read_run, lambda root: statuses(read_sweep(root))):
        with contextlib.suppress(FatebiasError):
            reader(folder)


def tables(data: bytes, folder: Path) -> None:
    """Read the table for mash, and what R has written."""
    path = folder / "table.csv"
    path.write_bytes(data)
    with contextlib.suppress(FatebiasError):
        read_summary(path)
    given = summary_of(["A", "B"], np.array([[0.1, 0.2], [-1.0, 2.0]]), np.full((2, 2), 0.5))
    head, _, rest = data.partition(b"\n\n")
    path.write_bytes(head)
    read_result(path, rest.decode(errors="replace"), given, "mashr", None)


def _saved() -> bytes:
    whole = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        Checkpoint(Path(folder) / "checkpoint.pt", "key", 60.0).save({"step": 3})
        whole.write((Path(folder) / "checkpoint.pt").read_bytes()[DIGEST_BYTES:])
    return whole.getvalue()


OF_A_RUN = {
    "status": "done",
    "started": "2026-01-01T00:00:00+00:00",
    "stages": {
        "fit": {"status": "done", "key": "a", "outputs": {"a": "b"}, "seconds": 1.0, "warnings": []},
        "discover": {"status": "done", "report": {"n_hits": 1}, "started": "x"},
    },
    "tracking": {
        "id": "a",
        "name": "b",
        "status": "running",
        "tags": {},
        "metrics": {},
        "start_ms": 1,
        "pid": 1,
    },
}
R_SAID = '{"loglik": -3.5, "pi": {"null": 0.5}, "version": "0.2.81"}'
TARGETS: dict[str, tuple[Callable[[bytes, Path], None], Callable[[], list[bytes]]]] = {
    "map": (guide_map, lambda: [MAP.encode(), MAP.replace(",", "\t").encode(), MAP.encode("utf-16")]),
    "calls": (guide_calls, lambda: [CALLS.encode()]),
    "groups": (groups, lambda: [bytes(range(40)), bytes(40)]),
    "checkpoint": (checkpoint, lambda: [_saved()]),
    "record": (record, lambda: [json.dumps(OF_A_RUN).encode(), b"[]", b'{"stages": 1}']),
    "tables": (tables, lambda: [SUMMARY.encode(), f"{SUMMARY}\n{R_SAID}".encode()]),
}


def main() -> None:
    """Fuzz one reader."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--again", type=Path, metavar="FILE", help="only these bytes")
    asked = parser.parse_args()
    reader, seeds = TARGETS[asked.target]
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared) as folder, tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)

        def once(data: bytes) -> None:
            with contextlib.suppress(FatebiasError):
                reader(data, Path(folder))

        if asked.again:
            once(asked.again.read_bytes())
            return
        options = [f"-max_total_time={asked.seconds}", "-max_len=4096", "-timeout=20", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options, corpus], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

"""How long the embedded mash takes: ``OMP_NUM_THREADS=2 python -m benchmarks.mash``.

Canonical patterns and a point at zero, as R's mashr by default; a tenth of the genes have an effect, alike on
all days. Seconds of the weights and the posterior together, medians of `--rounds`.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.measure import machine, spread
from fatebias.files.provenance import peak_memory_mb
from fatebias.mash import mash

SIZES = ((300, 4), (10_000, 8), (20_000, 20))


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(machine())
    for n_genes, n_days in SIZES:
        rng = np.random.default_rng(0)
        b = np.repeat(rng.normal(0, 1, (n_genes, 1)) * (rng.random((n_genes, 1)) < 0.1), n_days, axis=1)
        shat = np.full(b.shape, 0.3)
        bhat = b + shat * rng.normal(size=b.shape)
        taken = []
        for _ in range(rounds):
            begun = time.perf_counter()
            mash(bhat, shat)
            taken.append(time.perf_counter() - begun)
        print(f"{n_genes:,} x {n_days}: {spread(taken)} s, peak {peak_memory_mb():,.0f} MB", flush=True)


if __name__ == "__main__":
    main()

"""How long a fit takes, and how it grows: ``OMP_NUM_THREADS=2 python -m benchmarks.fit``.

By turns, medians of five (`--rounds`): the default fit to its final posterior, the Laplace solution within
it, the straightforward minibatch fit (100 steps, scaled to 5,000) and NumPyro's jitted full-batch step, all
on 100,000 cells, 300 genes, 1,200 guides, MOI 2.5. Then, each in a process of its own, import to first step
on the bundled screen, time and memory from 10^4 to 10^6 cells (`--grow`, which draws growth.png too), and
from 100 to 2,000 genes of four guides with 100 cells each (`--grow-genes`).
NumPyro is needed for its line alone: pip install numpyro.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.baselines import numpyro_steps, straightforward_steps
from benchmarks.measure import in_own_process, machine, screen, spread
from benchmarks.step import CELLS, GUIDES, MOI, our_steps
from fatebias.config import Config, InferenceConfig
from fatebias.data.collapse import collapse
from fatebias.data.screen import Screen
from fatebias.files.provenance import peak_memory_mb

STRAIGHTFORWARD_STEPS, SCALED_TO = 100, 5000
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
PANELS, GUIDES_A_GENE, CELLS_A_GUIDE, MOI_OF_PANELS = (100, 300, 600, 1_000, 2_000), 4, 100, 3.0
FIRST_STEP = """
import time; begun = time.perf_counter()
from pathlib import Path
from fatebias.config import Config, InferenceConfig
from fatebias.data.load import load_screen
from fatebias.inference.fit import fit_screen
config = Config(inference=InferenceConfig(num_steps=1, progress=False))
screen = load_screen(config.data, config.priors, Path("."))
taken = []
fit_screen(screen, config, on_step=lambda *step: taken.append(time.perf_counter() - begun))
print(taken[0])
"""


def default_fit(data: Screen) -> dict[str, float]:
    """Fit with the default settings; seconds by part."""
    from fatebias.inference.fit import fit_screen
    from fatebias.inference.posterior import posterior_moments

    cfg = Config(inference=InferenceConfig(progress=False))
    data = dataclasses.replace(data)  # the design is built once for a screen, and its time counts
    begun = time.perf_counter()
    fit = fit_screen(data, cfg)
    posterior_moments(fit.draw, cfg.inference.num_posterior_draws, data.guide_gene)
    total = time.perf_counter() - begun
    return {"total": total, **fit.seconds, "rounds": fit.diagnostics["laplace_rounds"]}


def one_size(n_cells: int, n_guides: int, moi: float, n_genes: int) -> None:
    """Fit once; print seconds and peak memory as JSON."""
    data = screen(n_cells, n_guides, moi, n_genes)
    before = peak_memory_mb()
    rows = collapse(data).n_rows
    found = default_fit(data)
    print(json.dumps({"rows": rows, "before_mb": before, "peak_mb": peak_memory_mb(), **found}))


def compare(rounds: int) -> None:
    """Default, Laplace, straightforward and NumPyro by turns in this process."""
    data = screen(CELLS, GUIDES, MOI)
    rows = collapse(data)
    total, laplace, plain, ours, theirs = [], [], [], [], []
    for _ in range(rounds):
        found = default_fit(data)
        total.append(found["total"])
        laplace.append(found["laplace"])
        plain.append(SCALED_TO * float(np.mean(straightforward_steps(data, STRAIGHTFORWARD_STEPS))))
        ours.append(float(np.median(our_steps(data, "structured", 30))))
        theirs.append(float(np.median(numpyro_steps(rows, 30))))
    print(f"{len(data.day):,} cells, {rows.n_rows:,} rows, {len(rows.guides):,} entries, medians of {rounds}")
    print(f"default fit to its final posterior:      {spread(total)} s")
    print(f"  the Laplace solution within it:        {spread(laplace)} s, {found['rounds']} rounds")
    print(f"straightforward, {SCALED_TO:,} minibatch steps:  {spread(plain)} s")
    print(f"  default / straightforward:             1/{np.median(np.divide(plain, total)):.1f}")
    print(f"one full-batch SVI step, ours:           {spread(ours, 1e3)} ms")
    print(f"one full-batch SVI step, NumPyro:        {spread(theirs, 1e3)} ms")
    print(f"  ours / NumPyro:                        {np.median(np.divide(ours, theirs)):.2f}", flush=True)


def first_step(rounds: int) -> None:
    """Import to first step on the bundled screen, Laplace solution included."""
    taken = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FIRST_STEP], stdout=subprocess.PIPE, text=True, check=True
        )
        taken.append(float(done.stdout))
    print(f"import to first step, bundled screen:    {spread(taken)} s", flush=True)


def grow() -> None:
    """Time and memory by number of cells: 300 genes, 2,000 guides, MOI 3; a table and a picture."""
    head = ("cells", "rows", "fit s", "laplace", "svi", "peak MB", "screen MB")
    print(" ".join(f"{each:>10}" for each in head))
    found = []
    for n_cells in SIZES:
        each = in_own_process("benchmarks.fit", "--one", str(n_cells), "2000", "3", "300")
        found.append(each)
        figures = [each[key] for key in ("total", "laplace", "svi", "peak_mb", "before_mb")]
        row = [f"{n_cells:,}", f"{each['rows']:,}", *(f"{value:.1f}" for value in figures)]
        print(" ".join(f"{value:>10}" for value in row), flush=True)
    rows = np.array([each["rows"] for each in found])
    for name, values in (("time", [e["total"] for e in found]), ("memory", [e["peak_mb"] for e in found])):
        slope = np.polyfit(np.log(rows), np.log(values), 1)[0]
        print(f"{name} grows as rows^{slope:.2f}")
    _draw(rows, found)


def grow_genes() -> None:
    """Time and memory by number of genes; a table."""
    print(" ".join(f"{each:>10}" for each in ("genes", "cells", "fit s", "laplace", "svi", "peak MB")))
    taken = []
    for n_genes in PANELS:
        n_guides = GUIDES_A_GENE * n_genes
        n_cells = round(CELLS_A_GUIDE * n_guides / MOI_OF_PANELS)
        words = (str(n_cells), str(n_guides), str(MOI_OF_PANELS), str(n_genes))
        each = in_own_process("benchmarks.fit", "--one", *words)
        taken.append(each["total"])
        figures = (f"{each[key]:.1f}" for key in ("total", "laplace", "svi", "peak_mb"))
        print(" ".join(f"{value:>10}" for value in (f"{n_genes:,}", f"{n_cells:,}", *figures)), flush=True)
    print(f"time grows as genes^{np.polyfit(np.log(PANELS), np.log(taken), 1)[0]:.2f}")


def _draw(rows: np.ndarray, found: list[dict[str, float]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, key, label in zip(
        figure.subplots(1, 2), ("total", "peak_mb"), ("seconds", "peak MB"), strict=True
    ):
        values = np.array([each[key] for each in found])
        axes.loglog(rows, values, "o-", color="#4477aa", label="default fit")
        axes.loglog(rows, values[0] * rows / rows[0], "--", color="#bbbbbb", label="as fast as rows")
        axes.set(xlabel="rows", ylabel=label)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure).print_png(str(Path(__file__).with_name("growth.png")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--grow", action="store_true", help="only the table by number of cells")
    parser.add_argument("--grow-genes", action="store_true", help="only the table by number of genes")
    parser.add_argument(
        "--one", nargs=4, metavar=("CELLS", "GUIDES", "MOI", "GENES"), help="one fit, as JSON"
    )
    arguments = parser.parse_args()
    if arguments.one:
        n_cells, n_guides, moi, n_genes = arguments.one
        one_size(int(n_cells), int(n_guides), float(moi), int(n_genes))
        return
    print(machine())
    if arguments.grow or arguments.grow_genes:
        (grow if arguments.grow else grow_genes)()
        return
    compare(arguments.rounds)
    first_step(arguments.rounds)


if __name__ == "__main__":
    main()

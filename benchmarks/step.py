"""One full-batch SVI step on a large screen: ``OMP_NUM_THREADS=2 python -m benchmarks.step``.

100,000 cells, 300 genes, 1,200 guides, at most 20 guides a cell, mean MOI 2.5. In one process and by
turns: this project's step (structured family), its mean-field step, and the straightforward minibatch
step of 8,192 cells. Bounds: 60 ms a full-batch step, peak memory below 1.2 GB (in a process of its own).
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.baselines import straightforward_steps
from benchmarks.measure import in_own_process, machine, screen, spread
from fatebias.config import PriorsConfig
from fatebias.data.collapse import collapse
from fatebias.data.screen import Screen
from fatebias.files.provenance import peak_memory_mb

CELLS, GUIDES, MOI = 100_000, 1200, 2.5


def svi_of(data: Screen, family: str) -> Any:
    """Return our SVI step with the family ``structured`` or ``normal``, from a cold start."""
    import pyro
    from pyro.infer import SVI
    from pyro.infer.autoguide import AutoNormal
    from pyro.optim import ClippedAdam

    from fatebias.inference.elbo import ReparameterisedELBO
    from fatebias.model.design_matrix import DesignMatrix
    from fatebias.model.fate_model import fate_model
    from fatebias.model.tensors import design_tensors
    from fatebias.model.variational import StructuredFamily, cold_init

    pyro.clear_param_store()
    design = DesignMatrix(collapse(data))
    tensors = design_tensors(design.rows)
    model = partial(fate_model, priors=PriorsConfig())
    chosen: Any = AutoNormal(model)
    if family == "structured":
        chosen = StructuredFamily(design, cold_init(design), torch.Generator().manual_seed(0))
    return partial(SVI(model, chosen, ClippedAdam({"lr": 1e-3}), ReparameterisedELBO()).step, tensors)


def our_steps(data: Screen, family: str, n_steps: int) -> list[float]:
    """Time our full-batch steps, three left out."""
    import pyro

    step = svi_of(data, family)
    taken = []
    with pyro.validation_enabled(False):
        for _ in range(n_steps + 3):
            begun = time.perf_counter()
            step()
            taken.append(time.perf_counter() - begun)
    return taken[3:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true", help="one step, then the peak memory as JSON")
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    data = screen(CELLS, GUIDES, MOI)
    if arguments.memory:
        our_steps(data, "structured", 5)
        print(json.dumps({"peak_mb": peak_memory_mb()}))
        return
    print(machine())
    ours, mean_field, plain = [], [], []
    for _ in range(3):
        ours += our_steps(data, "structured", arguments.steps)
        mean_field += our_steps(data, "normal", arguments.steps)
        plain += straightforward_steps(data, max(3, arguments.steps // 10))
    print(f"full-batch step, structured family:   {spread(ours, 1e3)} ms")
    print(f"full-batch step, mean field:          {spread(mean_field, 1e3)} ms")
    print(f"straightforward minibatch of 8,192:   {spread(plain, 1e3)} ms")
    print(f"ratio ours / straightforward:         {np.median(ours) / np.median(plain):.3f}")
    peak = in_own_process("benchmarks.step", "--memory")["peak_mb"]
    print(f"peak memory of a process that steps:  {peak:.0f} MB")


if __name__ == "__main__":
    main()

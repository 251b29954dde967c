"""Whether a job's GPU suits the installed torch, asked before any data are read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fatebias.errors import FitError


def is_supported(capability: tuple[int, int], arch_list: Sequence[str]) -> bool:
    """Return whether a build of torch has kernels for a GPU.

    A binary ``sm_XY`` runs on its own major version from its minor one on, ``sm_XYa`` on exactly XY;
    ``compute_XY`` is compiled when loaded, for any capability from XY on.
    """
    for arch in arch_list:
        matched = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", arch)
        if not matched:
            continue
        kind, built, suffix = matched[1], (int(matched[2]), int(matched[3])), matched[4]
        if kind == "compute":
            runs = capability == built if suffix else capability >= built
        else:
            runs = capability == built if suffix else capability[0] == built[0] and capability >= built
        if runs:
            return True
    return False


def check_gpu() -> str:
    """Return this job's GPU and its compute capability, or refuse one that torch cannot use."""
    import torch

    if not torch.cuda.is_available():
        raise FitError(
            "this job has asked for a GPU, but torch sees none",
            found=f"torch {torch.__version__}, built for "
            + (f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs alone"),
            fix="install a build of torch with CUDA; or take launcher=slurm_cpu, or device=cpu",
        )
    name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    built_for = torch.cuda.get_arch_list()
    if not is_supported(capability, built_for):
        raise FitError(
            "the installed torch has no kernels for this job's GPU",
            found=f"{name}, compute capability {'.'.join(map(str, capability))}",
            allowed=built_for,
            fix="ask for another GPU, such as 'hydra.launcher.constraint=\"GPU_CC:8.0|GPU_CC:8.6\"' on "
            "Sherlock, or install a build of torch for an older CUDA",
        )
    return f"{name}, compute capability {'.'.join(map(str, capability))}"

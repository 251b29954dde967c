"""Which GPUs a build of torch has kernels for."""

from __future__ import annotations

import pytest

from fatebias.errors import FitError
from fatebias.sweep.gpu import check_gpu, is_supported

CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.mark.parametrize(
    ("capability", "supported"),
    [
        ((6, 1), False),  # P40
        ((7, 0), False),  # V100: the major version of sm_75, but an older minor one
        ((7, 5), True),
        ((8, 0), True),
        ((8, 9), True),  # L40S runs sm_86
        ((9, 0), True),
        ((10, 3), True),
        ((11, 0), False),
        ((12, 1), True),
    ],
)
def test_binaries_run_on_their_own_major_version_from_their_minor_one_on(capability, supported):
    assert is_supported(capability, CUDA_13) is supported


def test_code_that_is_compiled_when_loaded_runs_on_anything_newer():
    assert is_supported((12, 0), ["sm_80", "compute_90"])
    assert not is_supported((8, 0), ["sm_90", "compute_90"])


def test_kernels_for_one_architecture_alone_run_on_no_other():
    assert is_supported((9, 0), ["sm_90a"])
    assert not is_supported((9, 1), ["sm_90a"])
    assert not is_supported((10, 0), ["compute_90a"])


def test_an_unknown_name_of_an_architecture_is_no_kernel():
    assert not is_supported((9, 0), ["gfx90a", "sm"])


def test_a_machine_without_a_gpu_is_told_so():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(FitError, match=r"(?s)torch sees none.*slurm_cpu"):
        check_gpu()


def test_a_gpu_without_kernels_is_refused_with_what_it_is_and_what_would_do(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla P40")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CUDA_13)
    with pytest.raises(FitError, match=r"(?s)Tesla P40, compute capability 6.1.*sm_75.*constraint"):
        check_gpu()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 6))
    assert check_gpu() == "Tesla P40, compute capability 8.6"

"""What stands beside the tensors: the CUDA context, library workspaces, and the allocator's reserve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.estimate import Range

if TYPE_CHECKING:
    from vramlint.knowledge.gpu import Gpu

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Runtime:
    """Bytes outside of the tensors, each a range, and where the figures come from.

    `is_cuda` says that a GPU was named. Without one the figures are those of torch's reference operators,
    which may hold a few tensors more for a moment.
    """

    context: Range
    context_citation: str
    workspace: int
    workspace_citation: str
    is_cuda: bool


# Process memory less what torch had allocated and reserved, as out-of-memory messages and nvidia-smi of
# public reports show it for torch 1.13 and newer (CUDA_MODULE_LOADING=LAZY): 0.34 GiB on a 16 GB card,
# 0.41 on an RTX 4090 (DB-GPT-Hub #248), 426 MiB on an RTX 6000 Ada (unsloth-zoo PR #1053), 0.50 on L40
# and L40S (Qwen3-VL #2097, sentence-transformers #3214), 0.77 on an A100 with NCCL (torchrec PR #3580).
_CONTEXT = Range(287 * _MIB, 440 * _MIB, 790 * _MIB)
_CONTEXT_CITATION = (
    "CUDA context with lazy module loading: 0.28 to 0.77 GiB in public reports, torch 1.13 to 2.10"
)

# aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize: 4096 KiB × 2 + 16 KiB × 8, and 32 MiB
# on compute capability 9.0; allocated through torch's allocator at the first matrix product.
_WORKSPACE = 8320 * 1024
_WORKSPACE_HOPPER = 32 * _MIB
_HOPPER = 9


def runtime_on(gpu: Gpu | None) -> Runtime:
    """Return what the runtime takes on this GPU; the cuBLAS workspace counts only where the GPU is known."""
    workspace = 0
    if gpu is not None and gpu.capability > (0, 0):
        workspace = _WORKSPACE_HOPPER if gpu.capability[0] >= _HOPPER else _WORKSPACE
    source = "CublasHandlePool.cpp, parseChosenWorkspaceSize"
    return Runtime(_CONTEXT, _CONTEXT_CITATION, workspace, source, gpu is not None)


# torch.cuda.max_memory_reserved, and nvidia-smi less the context, against peak plus modelled unused memory in 64
# runs of 2022 to 2025 (benchmarks/data): 3rd percentile and median; the 93rd lies 13 % above the upper end of
# what is allocated. Old torch, and FSDP with short sequences, lie highest.
_LOW, _USUAL, _HIGH = 91, 102, 113

# What a process with NCCL has beyond one without: 0.77 GiB on an A100 (torchrec PR #3580) and 1.24 on eight V100
# (LLaMA-Factory #6800) against 0.4 to 0.5.
_COMMUNICATION = Range(150 * _MIB, 350 * _MIB, 900 * _MIB)


def context_of(runtime: Runtime, gpus: int) -> Range:
    """Return what the process takes beside torch's memory, with NCCL's buffers where there are several GPUs."""
    return runtime.context if gpus == 1 else plus(runtime.context, _COMMUNICATION)


def reserved_range(allocated: Range, unused: int = 0) -> Range:
    """Return what the caching allocator keeps for these peaks, of which `unused` is not allocated then."""
    return Range(
        max(allocated.low, (allocated.low + unused) * _LOW // 100),
        (allocated.expected + unused) * _USUAL // 100,
        (allocated.high + unused) * _HIGH // 100,
    )


def plus(a: Range, b: Range) -> Range:
    """Add two ranges end by end."""
    return Range(a.low + b.low, a.expected + b.expected, a.high + b.high)

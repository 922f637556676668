"""What a training on a CUDA machine answers to the usual questions about the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE: Mapping[str, bool] = {
    "torch.cuda.is_available": True,
    "torch.cuda.is_bf16_supported": True,
    "unsloth.is_bf16_supported": True,
    "unsloth.is_bfloat16_supported": True,
    "transformers.utils.is_torch_bf16_gpu_available": True,
    "transformers.is_torch_bf16_gpu_available": True,
    "torch.backends.mps.is_available": False,
    "torch.backends.mps.is_built": False,
    "torch.xpu.is_available": False,
    "torch.distributed.is_initialized": False,
    "transformers.is_torch_xla_available": False,
    "transformers.is_torch_tpu_available": False,
    "transformers.utils.is_torch_xla_available": False,
    "accelerate.utils.is_xpu_available": False,
    "accelerate.utils.is_npu_available": False,
}

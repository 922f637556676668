"""Makes the real optimizer of a plan."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from vramlint.knowledge.optimizers import UnknownOptimizer, find
from vramlint.simulate.errors import CannotSimulate
from vramlint.simulate.model import require

if TYPE_CHECKING:
    from vramlint.plan.document import OptimizerSpec

_RATE = 1e-4
# Optimizers whose step is a CUDA kernel of their own: they look at addresses, and tensors without data have none.
_OWN_KERNELS = ("bitsandbytes", "apex", "deepspeed", "torchao", "torch_npu", "torch_xla")


def make_optimizer(spec: OptimizerSpec, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer of a plan over the trained parameters.

    Raises:
        CannotSimulate: for an optimizer whose package is not installed, or that runs kernels of its own.
    """
    try:
        known = find(spec.name)
    except UnknownOptimizer:
        raise CannotSimulate(f"nobody knows the optimizer {spec.name!r}, so it cannot be made") from None
    path = next((name for name in known.names if "." in name), known.names[0])
    package, _, name = path.rpartition(".")
    if package.partition(".")[0] in _OWN_KERNELS:
        raise CannotSimulate(f"{path} runs CUDA kernels of its own, which need a GPU; torch.optim's do not")
    if spec.in_backward or spec.rank is not None:
        raise CannotSimulate(f"{path} in backward, or with a rank, is not simulated")
    kind = getattr(require(package), name, None)
    if kind is None:
        raise CannotSimulate(f"{package} as it is installed has no {name}")
    optimizer = kind(parameters, **_options(kind, spec, known.default))
    assert isinstance(optimizer, torch.optim.Optimizer)
    return optimizer


def _options(kind: type, spec: OptimizerSpec, default: str) -> dict[str, Any]:
    """Return the constructor's arguments; what it does not take is left out."""
    # torch leaves the choice to the tensors' class; on a GPU it falls on foreach where there is one.
    foreach = spec.foreach if spec.foreach is not None else default == "foreach"
    wanted = {
        "lr": _RATE,
        "fused": spec.fused or (spec.fused is None and default == "fused") or None,
        "foreach": None if spec.fused or default == "fused" else foreach,
        "amsgrad": spec.amsgrad or None,
        "momentum": spec.momentum or None,
        "nesterov": spec.nesterov or None,
        "centered": spec.centered or None,
        "weight_decay": spec.weight_decay,
    }
    if kind.__module__.startswith("transformers"):
        wanted |= {"relative_step": False, "scale_parameter": False}
    takes = inspect.signature(kind).parameters
    return {key: value for key, value in wanted.items() if value is not None and key in takes}

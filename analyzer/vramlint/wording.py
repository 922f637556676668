"""The words for phases, groups and GPUs that every message and rendering shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.knowledge.gpu import Gpu
    from vramlint.memory.ledger import Group, Phase

_MOMENTS: dict[Phase, str] = {
    "load": "while loading",
    "forward": "in the forward pass",
    "backward": "in the backward pass",
    "optimizer_step": "at the optimizer step",
    "prefill": "in prefill",
    "decode": "in decoding",
    "rollout": "in the rollout",
    "update": "in the update",
}

PHASES = tuple(_MOMENTS)
"""The phases in the order in which they come."""

_GROUPS: dict[Group, str] = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer states",
    "activations": "activations",
    "loss": "loss",
    "temporaries": "step temporaries",
    "inputs": "inputs",
    "extra-models": "further models",
    "runtime": "runtime",
}


def moment(phase: Phase) -> str:
    """Return when that is, such as `at the optimizer step`."""
    return _MOMENTS[phase]


def group_name(group: Group) -> str:
    """Return what a group is called."""
    return _GROUPS[group]


def short_name(gpu: Gpu) -> str:
    """Return the GPU's name without its maker, such as `RTX 4090`; a mere size becomes `24 GB GPU`."""
    name = gpu.name.removeprefix("NVIDIA ").removeprefix("GeForce ")
    return f"{name} GPU" if name.endswith(" GB") and name[0].isdigit() else name

"""Rprop of torch: the previous gradient and a step size in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps_with_step, steps


def _sign_mask(parameter: Parameter) -> int:
    return parameter.elements  # one boolean byte per element


OPTIMIZER = Optimizer(
    names=("torch.optim.Rprop", "torch.optim.rprop.Rprop"),
    states=keeps_with_step("prev", "step_size"),
    temporaries=steps(foreach=Temporary(group=1, tensor=1, besides=_sign_mask), for_loop=Temporary(tensor=3)),
    default="foreach",
    citation=f"torch/optim/rprop.py, torch 2.13.0; {FAKE_RUN}",
)

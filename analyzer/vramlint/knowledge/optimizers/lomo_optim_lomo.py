"""LOMO: no state; a gradient is used up inside backward."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, Temporary
from vramlint.knowledge.optimizers.parts import keeps, steps

_FP32 = 32


def _copies(parameter: Parameter) -> int:
    """Return the bytes of gradient and parameter in fp32; of an fp32 parameter the gradient alone, which is itself."""
    copies = 1 if parameter.bits == _FP32 else 2
    return copies * parameter.elements * _FP32 // 8


OPTIMIZER = Optimizer(
    names=("lomo_optim.Lomo", "lomo_optim.lomo.Lomo"),
    states=keeps(),
    temporaries=steps(for_loop=Temporary(besides=_copies)),
    default="for-loop",
    citation=(
        "lomo_optim/lomo.py, lomo-optim 0.1.1; its update in a fake-tensor run: the gradient and one parameter "
        "in fp32, which are no copies where they are fp32 already"
    ),
    keeps_gradients=False,
    steps_late=True,
)

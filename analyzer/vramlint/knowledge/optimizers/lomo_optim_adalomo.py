"""AdaLomo: fp32 row and column factors, made in the constructor for frozen parameters too."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import factored, steps


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    return factored(parameter, "exp_avg_sq", bits=32)


OPTIMIZER = Optimizer(
    names=("lomo_optim.AdaLomo", "lomo_optim.adalomo.AdaLomo"),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=3, bits=32)),
    default="for-loop",
    citation=(
        "lomo_optim/adalomo.py, lomo-optim 0.1.1; its update in a fake-tensor run: one gradient, its square and the "
        "update in fp32"
    ),
    states_in_constructor=True,
    keeps_gradients=False,
    steps_late=True,
)

"""RMSprop of timm with TensorFlow's epsilon: a squared average, and a momentum buffer."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, like, step_counts, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    momentum = ("momentum_buffer",) if variant.momentum else ()
    centered = ("grad_avg",) if variant.centered else ()
    return (*like(parameter, "square_avg", *momentum, *centered), *step_counts(variant, "step"))


OPTIMIZER = Optimizer(
    names=(
        "timm.optim.RMSpropTF",
        "timm.optim.rmsprop_tf.RMSpropTF",
        "timm.optim.create_optimizer_v2(opt=rmsproptf)",
    ),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=2, previous=1)),
    default="for-loop",
    citation=f"timm/optim/rmsprop_tf.py, timm 1.0.31; {FAKE_RUN}",
    states_between_updates=True,
)

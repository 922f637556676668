"""Shampoo of pytorch-optimizer: a momentum, and a preconditioner with its inverse root per dimension."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, like, steps


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    return (*like(parameter, "momentum_buffer"), *_squares(parameter))


def _squares(parameter: Parameter) -> tuple[State, ...]:
    """A preconditioner and its inverse root for every dimension, of a vector too."""
    names = ("pre_cond", "inv_pre_cond")
    return tuple(State(name, (side, side), parameter.bits) for side in parameter.shape for name in names)


def _inverse_root(parameter: Parameter) -> int:
    """Four fp32 squares of the largest dimension, whatever the dtype of the parameter."""
    return 4 * 4 * max(parameter.shape, default=1) ** 2


OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.Shampoo",),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=1, besides=_inverse_root)),
    default="for-loop",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
    states_between_updates=True,
)

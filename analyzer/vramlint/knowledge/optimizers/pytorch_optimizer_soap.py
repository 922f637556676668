"""SOAP of pytorch-optimizer: Adam's moments and two square matrices per dimension."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, like, steps

_LARGEST_PRECONDITIONED = 10_000


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    return (*like(parameter, "exp_avg", "exp_avg_sq"), *_squares(parameter))


def _squares(parameter: Parameter) -> tuple[State, ...]:
    """A preconditioner and its eigenvectors for each dimension of a matrix; none above 10,000."""
    if len(parameter.shape) < 2:  # noqa: PLR2004  vectors are not preconditioned
        return ()
    sides = [side for side in parameter.shape if side <= _LARGEST_PRECONDITIONED]
    return tuple(State(name, (side, side), parameter.bits) for side in sides for name in ("GG", "Q"))


def _projection(parameter: Parameter) -> int:
    """One square of every preconditioned dimension."""
    return sum(state.bytes for state in _squares(parameter)) // 2


OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.SOAP",),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=4, besides=_projection)),
    default="for-loop",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
    states_between_updates=True,
)

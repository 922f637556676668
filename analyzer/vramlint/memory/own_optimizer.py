"""The optimizer of a plan: one that is known by name, or one of the user's own that says what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers import UnknownOptimizer
from vramlint.knowledge.optimizers import find as find_optimizer

if TYPE_CHECKING:
    from vramlint.plan.document import OptimizerSpec, OwnState

_BITS = {
    **dict.fromkeys(("float64", "double", "int64", "long"), 64),
    **dict.fromkeys(("float32", "float", "int32", "int"), 32),
    **dict.fromkeys(("float16", "half", "bfloat16"), 16),
    **dict.fromkeys(("uint8", "int8", "bool", "float8_e4m3fn"), 8),
}
_MATRIX = 2


def optimizer_of(spec: OptimizerSpec) -> Optimizer:
    """Return the optimizer of a plan.

    Raises:
        UnknownOptimizer: for a name nobody knows, without states.
    """
    if spec.states is None:
        return find_optimizer(spec.name)
    own = spec.states

    def states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
        return tuple(_state(one, parameter) for one in own)

    return Optimizer(
        names=(spec.name,),
        states=states,
        temporaries=lambda _: {"for-loop": Temporary(tensor=2)},
        default="for-loop",
        citation="the states are read from the class; two copies of a parameter are taken for its update",
        states_between_updates=True,
    )


def is_known(spec: OptimizerSpec) -> bool:
    """Return whether it can be said what the optimizer keeps."""
    try:
        optimizer_of(spec)
    except UnknownOptimizer:
        return False
    return True


def _state(own: OwnState, parameter: Parameter) -> State:
    bits = _BITS.get(own.dtype or "", parameter.bits)
    return State(own.name, _shape(own, parameter), bits, "cpu" if own.device == "cpu" else "gpu")


def _shape(own: OwnState, parameter: Parameter) -> tuple[int, ...]:
    shape = parameter.shape
    if own.shape == "scalar":
        return ()
    if own.shape == "parameter" or len(shape) < _MATRIX:
        return shape
    return shape[:-1] if own.shape == "rows" else (*shape[:-2], shape[-1])

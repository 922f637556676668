"""Adafactor of torch: row and column factors in the dtype of the parameter."""

from __future__ import annotations

from math import prod

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, factored, step_counts, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    return (*factored(parameter, "variance"), *step_counts(variant, "step"))


def _means(parameter: Parameter) -> int:
    """Return the bytes of what one turn makes besides its update: row, column and whole means, or a vector's square.

    Kernels of a convolution are factored along their last two dimensions, so that their means are large.
    """
    if len(parameter.shape) < 2:  # noqa: PLR2004  a vector has no rows
        return parameter.bytes
    *others, rows, columns = parameter.shape
    return prod(others) * (rows + columns + 1) * parameter.bits // 8


OPTIMIZER = Optimizer(
    names=("torch.optim.Adafactor", "torch.optim._adafactor.Adafactor"),
    states=_states,
    temporaries=steps(foreach=Temporary(group=1), for_loop=Temporary(tensor=1, previous=1, besides=_means)),
    default="for-loop",
    citation=f"torch/optim/_adafactor.py, torch 2.13.0 (foreach only on request); {FAKE_RUN}",
)

"""Adafactor of torch: row and column factors in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, factored, step_counts, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    return (*factored(parameter, "variance"), *step_counts(variant, "step"))


OPTIMIZER = Optimizer(
    names=("torch.optim.Adafactor", "torch.optim._adafactor.Adafactor"),
    states=_states,
    temporaries=steps(foreach=Temporary(group=1), for_loop=Temporary(tensor=1, previous=1)),
    default="for-loop",
    citation=f"torch/optim/_adafactor.py, torch 2.13.0 (foreach only on request); {FAKE_RUN}",
)

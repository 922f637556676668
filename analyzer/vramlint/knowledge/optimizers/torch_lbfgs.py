"""L-BFGS of torch: a direction, the previous gradient, and a history of two vectors per pair."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import like, steps

_DEFAULT_HISTORY = 100


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    pairs = variant.history_size or _DEFAULT_HISTORY
    history = tuple(
        State(name, (pairs, *parameter.shape), parameter.bits) for name in ("old_dirs", "old_stps")
    )
    return (*like(parameter, "d", "prev_flat_grad"), *history)


OPTIMIZER = Optimizer(
    names=("torch.optim.LBFGS", "torch.optim.lbfgs.LBFGS"),
    states=_states,
    temporaries=steps(for_loop=Temporary(group=2)),
    default="for-loop",
    citation=(
        "torch/optim/lbfgs.py, torch 2.13.0: old_dirs and old_stps hold up to history_size vectors each"
    ),
    grows=(
        "two vectors of all parameters per iteration until history_size pairs are kept; "
        "the figures are those of a full history"
    ),
)

"""AdamW of torch: two moments in the dtype of the parameter, a third with amsgrad."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, like, step_counts, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    moments = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if variant.amsgrad else ()))
    return (*like(parameter, *moments), *step_counts(variant, "step"))


OPTIMIZER = Optimizer(
    names=("torch.optim.AdamW", "torch.optim.adamw.AdamW", "timm.optim.create_optimizer_v2(opt=adamw)"),
    states=_states,
    temporaries=steps(
        foreach=Temporary(group=1),
        old_foreach=Temporary(group=2),
        for_loop=Temporary(tensor=2, previous=1),
        fused=NOTHING,
    ),
    default="foreach",
    citation=f"torch/optim/adamw.py, torch 2.13.0; {FAKE_RUN}",
)

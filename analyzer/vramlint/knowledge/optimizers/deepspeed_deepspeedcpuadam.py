"""Adam of DeepSpeed on the host: two fp32 moments in host memory, none on the GPU."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Variant
from vramlint.knowledge.optimizers.parts import NOTHING, steps


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    return tuple(State(name, parameter.shape, 32, "cpu") for name in ("exp_avg", "exp_avg_sq"))


OPTIMIZER = Optimizer(
    names=("deepspeed.ops.adam.DeepSpeedCPUAdam", "deepspeed.ops.adam.cpu_adam.DeepSpeedCPUAdam"),
    states=_states,
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation="deepspeedai/DeepSpeed@edaa722 deepspeed/ops/adam/cpu_adam.py:25,147-154, read, not run",
)

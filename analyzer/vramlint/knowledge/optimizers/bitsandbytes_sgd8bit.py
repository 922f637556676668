"""SGD with momentum of bitsandbytes in 8 bits."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, blockwise, steps

OPTIMIZER = Optimizer(
    names=("bitsandbytes.optim.SGD8bit",),
    states=blockwise("state1"),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=(
        "bitsandbytes/optim/optimizer.py, bitsandbytes 0.50.2: init_state, get_state_buffer; the "
        "update kernels work in place"
    ),
    states_between_updates=True,
)

"""AdEMAMix of bitsandbytes in 8 bits and unified memory."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, blockwise, steps

OPTIMIZER = Optimizer(
    names=("bitsandbytes.optim.PagedAdEMAMix8bit",),
    states=blockwise("state1", "state2", copies=2, paged=True),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=(
        "bitsandbytes/optim/optimizer.py, bitsandbytes 0.50.2: init_state, get_state_buffer; the "
        "update kernels work in place"
    ),
    states_between_updates=True,
)

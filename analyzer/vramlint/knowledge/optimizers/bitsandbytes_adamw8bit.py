"""AdamW of bitsandbytes in 8 bits: two bytes per element and an fp32 maximum per block of 256."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, blockwise, steps

OPTIMIZER = Optimizer(
    names=("bitsandbytes.optim.AdamW8bit", "bitsandbytes.optim.Adam8bit"),
    states=blockwise("state1", "state2"),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=(
        "bitsandbytes/optim/optimizer.py, bitsandbytes 0.50.2: init_state, get_state_buffer; the "
        "update kernels work in place"
    ),
    states_between_updates=True,
)

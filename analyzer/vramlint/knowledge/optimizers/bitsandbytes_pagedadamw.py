"""AdamW of bitsandbytes: fp32 moments in unified memory, which torch does not count."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, blockwise, steps

OPTIMIZER = Optimizer(
    names=(
        "bitsandbytes.optim.PagedAdamW",
        "bitsandbytes.optim.PagedAdamW32bit",
        "bitsandbytes.optim.PagedAdam",
        "bitsandbytes.optim.PagedAdam32bit",
    ),
    states=blockwise("state1", "state2", bits=32, paged=True),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=(
        "bitsandbytes/optim/optimizer.py, bitsandbytes 0.50.2: init_state, get_state_buffer; the "
        "update kernels work in place"
    ),
    states_between_updates=True,
)

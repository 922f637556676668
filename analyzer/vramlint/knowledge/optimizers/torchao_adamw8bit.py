"""AdamW of torchao in 8 bits: codes, an fp32 scale per block of 256 and a code book per state."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, low_bit, steps

OPTIMIZER = Optimizer(
    names=("torchao.optim.AdamW8bit", "torchao.prototype.low_bit_optim.AdamW8bit"),
    states=low_bit(bits=8, block=256, codebook=256),
    temporaries=steps(for_loop=NOTHING),
    default="for-loop",
    citation=(
        "torchao/optim/adam.py, torchao 0.18.0; the step is compiled tensor by tensor, its "
        "temporaries are not measured and taken as none"
    ),
)

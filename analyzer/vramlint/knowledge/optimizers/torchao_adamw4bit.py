"""AdamW of torchao in 4 bits: two codes per byte and an fp32 scale per block of 128."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, low_bit, steps

OPTIMIZER = Optimizer(
    names=("torchao.optim.AdamW4bit", "torchao.prototype.low_bit_optim.AdamW4bit"),
    states=low_bit(bits=4, block=128, codebook=16),
    temporaries=steps(for_loop=NOTHING),
    default="for-loop",
    citation=(
        "torchao/optim/adam.py, torchao 0.18.0; the step is compiled tensor by tensor, its "
        "temporaries are not measured and taken as none"
    ),
)

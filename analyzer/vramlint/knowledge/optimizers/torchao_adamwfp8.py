"""AdamW of torchao in float8: codes and an fp32 scale per block of 256."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, low_bit, steps

OPTIMIZER = Optimizer(
    names=("torchao.optim.AdamWFp8", "torchao.prototype.low_bit_optim.AdamWFp8"),
    states=low_bit(bits=8, block=256, codebook=0),
    temporaries=steps(for_loop=NOTHING),
    default="for-loop",
    citation=(
        "torchao/optim/adam.py, torchao 0.18.0; the step is compiled tensor by tensor, its "
        "temporaries are not measured and taken as none"
    ),
)

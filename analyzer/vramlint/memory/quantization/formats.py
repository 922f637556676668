"""How many bytes a quantized weight takes, tensor by tensor, by format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor that stands for a part of a quantized weight."""

    shape: tuple[int, ...]
    bits: int


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple)


def bnb_4bit(outputs: int, inputs: int, *, double: bool) -> tuple[Stored, ...]:
    """Bitsandbytes NF4 and FP4: two weights a byte, one fp32 absmax for each 64 weights.

    Double quantization stores absmax in 8 bits with an fp32 scale for each 256 of them and one offset
    (bitsandbytes/functional.py, quantize_4bit). 0.5625 and 0.516 bytes per weight.
    """
    blocks = _up(outputs * inputs, 64)
    packed = Stored((_up(outputs * inputs, 2), 1), 8)
    code = Stored((16,), 32)
    if not double:
        return (packed, Stored((blocks,), 32), code)
    nested = (Stored((blocks,), 8), Stored((_up(blocks, 256),), 32), Stored((256,), 32), Stored((), 32))
    return (packed, *nested, code)


def bnb_8bit(outputs: int, inputs: int) -> tuple[Stored, ...]:
    """LLM.int8: a byte per weight and an fp32 scale per row (bitsandbytes/nn/modules.py, Int8Params)."""
    return (Stored((outputs, inputs), 8), Stored((outputs,), 32))


def gptq(outputs: int, inputs: int) -> tuple[Stored, ...]:
    """GPTQ in 4 bits, groups of 128: packed weights and zero points, fp16 scales, a group index per input."""
    groups = _up(inputs, 128)
    return (
        Stored((_up(inputs, 8), outputs), 32),
        Stored((groups, _up(outputs, 8)), 32),
        Stored((groups, outputs), 16),
        Stored((inputs,), 32),
    )


def awq(outputs: int, inputs: int) -> tuple[Stored, ...]:
    """AWQ in 4 bits, groups of 128: as GPTQ without the group index."""
    return gptq(outputs, inputs)[:3]


def fp8(outputs: int, inputs: int) -> tuple[Stored, ...]:
    """FP8 in blocks of 128 × 128 with an fp32 scale each (transformers integrations/finegrained_fp8.py)."""
    return (Stored((outputs, inputs), 8), Stored((_up(outputs, 128), _up(inputs, 128)), 32))


def torchao_int8(outputs: int, inputs: int) -> tuple[Stored, ...]:
    """Torchao int8 weight-only: a byte per weight and a bf16 scale per row."""
    return (Stored((outputs, inputs), 8), Stored((outputs,), 16))


def torchao_int4(outputs: int, inputs: int) -> tuple[Stored, ...]:
    """Torchao int4 weight-only, groups of 128: packed weights, bf16 scale and zero point per group."""
    return (Stored((outputs, _up(inputs, 2)), 8), Stored((_up(inputs, 128), outputs, 2), 16))


FORMATS: dict[str, Callable[[int, int], tuple[Stored, ...]]] = {
    "int8": bnb_8bit,
    "8bit": bnb_8bit,
    "gptq": gptq,
    "awq": awq,
    "fp8": fp8,
    "int8_weight_only": torchao_int8,
    "int4_weight_only": torchao_int4,
}
BNB_4BIT = frozenset({"nf4", "fp4", "4bit"})

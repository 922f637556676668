"""Element types, as torch names them."""

from __future__ import annotations

from dataclasses import dataclass

_HALF = 16


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type; compared by identity."""

    name: str
    bits: int
    floating: bool = True

    def __deepcopy__(self, _: object) -> DType:
        return self

    @property
    def is_half(self) -> bool:
        """Return whether it is a 16-bit float."""
        return self.floating and self.bits == _HALF


FLOAT64 = DType("float64", 64)
FLOAT32 = DType("float32", 32)
BFLOAT16 = DType("bfloat16", 16)
FLOAT16 = DType("float16", 16)
FLOAT8 = DType("float8_e4m3fn", 8)
INT64 = DType("int64", 64, floating=False)
INT32 = DType("int32", 32, floating=False)
INT8 = DType("int8", 8, floating=False)
UINT8 = DType("uint8", 8, floating=False)
BOOL = DType("bool", 8, floating=False)

_BY_NAME = {
    dtype.name: dtype
    for dtype in (FLOAT64, FLOAT32, BFLOAT16, FLOAT16, FLOAT8, INT64, INT32, INT8, UINT8, BOOL)
}
_BY_NAME |= {"bf16": BFLOAT16, "fp16": FLOAT16}


def dtype_named(name: str) -> DType:
    """Return the element type of that name; raises KeyError for any other."""
    return _BY_NAME[name]


def promoted(a: DType, b: DType) -> DType:
    """Return the type that torch computes with when both meet (c10/core/ScalarType.h, promoteTypes)."""
    if a is b:
        return a
    if a.floating != b.floating:
        return a if a.floating else b
    if a.bits == b.bits:
        return FLOAT32 if a.floating else a
    return a if a.bits > b.bits else b

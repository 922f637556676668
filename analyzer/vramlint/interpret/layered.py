"""Products, convolutions, normalization, attention and pooling, as `torch.nn.functional` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.interpret import shapes, shaping
from vramlint.interpret.values import Data, NotUnderstood
from vramlint.memory.dtypes import (
    FLOAT32,
    INT64,
    DType,
)
from vramlint.memory.operators import (
    attention,
    convolution,
    elementwise,
    normalization,
    resampling,
    views,
)
from vramlint.memory.operators.indexing import gather, take_rows
from vramlint.memory.operators.matmul import embedding as embed
from vramlint.memory.operators.products import einsum, linear, matmul
from vramlint.memory.operators.softmax import softmax as soft
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vramlint.interpret.interpreter import Interpreter

_WITHOUT_HEADS = 3  # (B, T, H): only the math kernel takes it


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """`torch.bmm`, `torch.mm`, `torch.matmul`."""
    return matmul(a, b)


def baddbmm(bias: Tensor, a: Tensor, b: Tensor, **_: Any) -> Tensor:
    """`torch.baddbmm`, `torch.addmm`."""
    return bias + matmul(a, b)


def summed(equation: str, *operands: Any) -> Tensor:
    """`torch.einsum`."""
    parts = operands[0] if len(operands) == 1 and isinstance(operands[0], list) else operands
    return einsum(_spelled(equation, parts), parts)


def _spelled(equation: str, parts: Sequence[Tensor]) -> str:
    """Write out `...` as letters that nobody uses, and what an equation without an arrow means."""
    equation = equation.replace(" ", "")
    terms, arrow, result = equation.partition("->")
    labels = terms.split(",")
    if not arrow:
        letters = "".join(labels)
        result = "".join(sorted(x for x in set(letters) if letters.count(x) == 1))
    free = [x for x in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if x not in equation]
    for label, part in zip(labels, parts, strict=True):
        if "..." in label:
            hidden = "".join(free[: len(part.shape) - len(label.replace("...", ""))])
            return f"{terms.replace('...', hidden)}->{result.replace('...', hidden)}"
    return f"{terms}->{result}"


def outer(a: Tensor, b: Tensor) -> Tensor:
    """`torch.outer`."""
    return shaping.unsqueeze(a, 1) * b


def dense(x: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    """`F.linear`."""
    return linear(x, weight, bias)


def convolved(  # noqa: PLR0917  in the order of F.conv2d
    x: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """`F.conv1d`, `F.conv2d`, `F.conv3d`."""
    axes = len(weight.shape) - 2
    if len(x.shape) == axes + 1:
        return shaping.squeeze(
            convolved(shaping.unsqueeze(x, 0), weight, bias, stride, padding, dilation, groups), 0
        )
    if len(x.shape) != axes + 2 or x.shape[1] != weight.shape[1] * groups:
        raise ValueError(f"a convolution of {weight.shape[1] * groups} channels meets {list(x.shape)}")
    spread_ = shapes.several(dilation, axes)
    if padding == "same":
        padding = [step * (kernel - 1) // 2 for step, kernel in zip(spread_, weight.shape[2:], strict=True)]
    pads = (0,) * axes if padding == "valid" else shapes.several(padding, axes)
    return convolution.convolution(x, weight, bias, shapes.several(stride, axes), pads, spread_)


def embedding(interpreter: Interpreter, x: Any, weight: Any, **_: Any) -> Tensor:
    """`F.embedding`."""
    table = interpreter.tensor(weight)
    indices = interpreter.materials.tokens(interpreter, x) if isinstance(x, Data) else interpreter.tensor(x)  # type: ignore[union-attr]
    return embed(indices, table)


def one_hot(interpreter: Interpreter, x: Any, num_classes: int = -1) -> Tensor:
    """`F.one_hot`."""
    indices = interpreter.materials.labels(interpreter, x) if isinstance(x, Data) else interpreter.tensor(x)  # type: ignore[union-attr]
    if num_classes == -1:
        raise NotUnderstood("how many classes `F.one_hot` finds depends on the data")
    return indices.tape.empty((*indices.shape, num_classes), INT64)


def softmax(x: Tensor, dim: Any = None, dtype: Any = None, **_: Any) -> Tensor:
    """`F.softmax`, `F.log_softmax`."""
    del dim
    return soft(x, dtype if isinstance(dtype, DType) else None)


def layer_norm(
    x: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 0
) -> Tensor:
    """`F.layer_norm`."""
    del eps
    axes = len(shapes.flat((normalized_shape,)))
    return normalization.layer_norm(views.contiguous(x), weight, bias, axes)


def rms_norm(x: Tensor, normalized_shape: Any, weight: Any = None, eps: Any = 0) -> Tensor:
    """`F.rms_norm`: a fused kernel that saves x and the reciprocal root of each row."""
    del normalized_shape, eps
    out = x.tape.empty(x.shape, x.dtype)
    rows = x.tape.empty((*x.shape[:-1], 1), FLOAT32)
    inputs = (x,) if weight is None else (x, weight)
    return x.tape.record(out, inputs, convolution.every_gradient, (x, rows))


def unit_length(x: Tensor, p: Any = 2, dim: Any = 1, eps: Any = 0) -> Tensor:
    """`F.normalize`."""
    del p, dim, eps
    return normalization.unit_length(x)


def attend(  # noqa: PLR0917  in the order of F.scaled_dot_product_attention
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: Any = False,  # noqa: FBT002  as in torch
    scale: Any = None,
    enable_gqa: Any = False,  # noqa: FBT002  as in torch
) -> Tensor:
    """`F.scaled_dot_product_attention`."""
    del scale, enable_gqa
    mask = attn_mask if isinstance(attn_mask, Tensor) else None
    if len(query.shape) == _WITHOUT_HEADS:
        q, k, v = (shaping.unsqueeze(one, 1) for one in (query, key, value))
        out = attention.sdpa(q, k, v, mask, dropout=float(dropout_p), causal=bool(is_causal), kernel="math")
        return shaping.squeeze(out, 1)
    out = attention.sdpa(query, key, value, mask, dropout=float(dropout_p), causal=bool(is_causal))
    if not out.contiguous and out.strides is None:
        out.strides = attention.token_order(out.shape)
    return out


def max_pool(  # noqa: PLR0917  in the order of F.max_pool2d
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,  # noqa: FBT001, FBT002  as in torch
    return_indices: bool = False,  # noqa: FBT001, FBT002  as in torch
    axes: int = 2,
) -> Tensor:
    """`F.max_pool2d`."""
    del return_indices
    kernel, step = shapes.several(kernel_size, axes), shapes.several(stride or kernel_size, axes)
    rest = shapes.several(padding, axes), shapes.several(dilation, axes)
    return resampling.max_pool(x, kernel, step, *rest, ceil=ceil_mode)


def average_pool(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,  # noqa: FBT001, FBT002  as in torch
    *_: Any,
    axes: int = 2,
    **__: Any,
) -> Tensor:
    """`F.avg_pool2d`."""
    kernel, step = shapes.several(kernel_size, axes), shapes.several(stride or kernel_size, axes)
    return resampling.average_pool(x, kernel, step, shapes.several(padding, axes), ceil=ceil_mode)


def adaptive_pool(x: Tensor, output_size: Any, axes: int = 2, largest: bool = False) -> Tensor:  # noqa: FBT001, FBT002  of ours
    """`F.adaptive_avg_pool2d`."""
    wanted = shapes.several(output_size, axes)
    sizes = [old if new is None else new for old, new in zip(x.shape[-axes:], wanted, strict=True)]
    return resampling.adaptive_pool(x, sizes, largest=largest)


def over(axes: int, function: Callable[..., Tensor], **fixed: Any) -> Callable[..., Tensor]:
    """Return a pooling operation for so many axes."""
    return lambda *args, **kwargs: function(*args, **kwargs, **fixed, axes=axes)


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = 0) -> Tensor:
    """`F.pad`."""
    del value
    sizes = list(x.shape)
    for index in range(len(pad) // 2):
        sizes[-1 - index] += pad[2 * index] + pad[2 * index + 1]
    return resampling.resized(x, tuple(sizes), saves_input=mode in {"reflect", "replicate"})


def interpolate(x: Tensor, size: Any = None, scale_factor: Any = None, *_: Any, **__: Any) -> Tensor:
    """`F.interpolate`."""
    axes = len(x.shape) - 2
    if size is not None:
        wanted = shapes.several(shaping.size, axes)
    else:
        factors = shapes.several(scale_factor, axes)
        wanted = tuple(int(old * factor) for old, factor in zip(x.shape[2:], factors, strict=True))
    return resampling.resized(x, (*x.shape[:2], *wanted))


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """`F.pixel_shuffle`."""
    channels = x.shape[-3] // upscale_factor**2
    sides = (x.shape[-2] * upscale_factor, x.shape[-1] * upscale_factor)
    return resampling.resized(x, (*x.shape[:-3], channels, *sides))


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """`F.glu`: saves its input."""
    axis = dim % len(x.shape)
    shape = (*x.shape[:axis], x.shape[axis] // 2, *x.shape[axis + 1 :])
    return x.tape.record(x.tape.empty(shape, x.dtype), (x,), elementwise.filled_back, (x,))


def gathered(x: Tensor, dim: int, index: Tensor, **_: Any) -> Tensor:
    """`x.gather(dim, index)`."""
    del dim
    return gather(x, index, *index.shape)


def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """`x.index_select(dim, index)`."""
    axis = dim % len(x.shape)
    return take_rows(x, (index,), *x.shape[:axis], *index.shape, *x.shape[axis + 1 :])

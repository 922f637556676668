"""Operations on tensors by the names that torch, `torch.nn.functional` and tensors' methods share.

One function each; the tape's operators know what is saved. An operation that is not here is not understood, and
said so by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.interpret import criteria, layered, pointwise, reductions, shaping
from vramlint.interpret.values import Data, NotUnderstood, Unread
from vramlint.memory.dtypes import (
    BFLOAT16,
    BOOL,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT32,
    INT64,
)
from vramlint.memory.modules import Buffer, Parameter
from vramlint.memory.operators import (
    views,
)
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.interpret.interpreter import Interpreter

_WITHOUT_HEADS = 3  # (B, T, H): only the math kernel takes it


def apply(interpreter: Interpreter, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Apply an operation; weights, buffers and tensors of the batch become tensors first."""
    if "input" in kwargs:
        args.insert(0, kwargs.pop("input"))
    first = next((one for one in args if isinstance(one, Tensor)), None)
    function = OPERATIONS[name]
    if name in _CHOOSY:
        return function(interpreter, *args, **kwargs)
    given = [_tensor(interpreter, one, first) for one in args]
    args.clear()
    named = {key: _tensor(interpreter, one, first) for key, one in kwargs.items()}
    return function(*given, **named)


def _tensor(interpreter: Interpreter, value: Any, like: Tensor | None) -> Any:
    if isinstance(value, Parameter | Buffer | Tensor):
        return interpreter.tensor(value)
    if isinstance(value, Data):
        return interpreter.tensor(value, like)
    if isinstance(value, list | tuple) and (bad := next((v for v in value if type(v) is Unread), None)):
        raise NotUnderstood(bad.reason)
    if isinstance(value, list | tuple) and any(
        isinstance(one, Parameter | Buffer | Data | Tensor) for one in value
    ):
        return [_tensor(interpreter, one, like) for one in value]
    if isinstance(value, Unread) and "device" not in value.reason:
        raise NotUnderstood(value.reason)
    return value


_CHOOSY = frozenset({"cross_entropy", "nll_loss", "embedding", "one_hot"})

OPERATIONS: dict[str, Callable[..., Any]] = {
    # element types, copies, what changes nothing
    "to": shaping.to,
    "type": shaping.to,
    "type_as": shaping.to,
    "float": shaping.cast_to(FLOAT32),
    "half": shaping.cast_to(FLOAT16),
    "double": shaping.cast_to(FLOAT64),
    "bfloat16": shaping.cast_to(BFLOAT16),
    "long": shaping.cast_to(INT64),
    "int": shaping.cast_to(INT32),
    "bool": shaping.cast_to(BOOL),
    "cuda": shaping.same,
    "cpu": shaping.same,
    "pin_memory": shaping.same,
    "requires_grad_": shaping.same,
    "retain_grad": shaping.same,
    "register_hook": shaping.same,
    "view_as_real": shaping.same,
    "set_": shaping.same,
    "copy_": pointwise.fill,
    "share_memory_": shaping.same,
    "contiguous": lambda x, **_: views.contiguous(x),
    "clone": shaping.clone,
    "detach": shaping.detach,
    "detach_": shaping.detach,
    "zeros_like": shaping.like,
    "ones_like": shaping.like,
    "rand_like": shaping.like,
    "randn_like": shaping.like,
    "empty_like": shaping.like,
    "full_like": shaping.like,
    "new_tensor": shaping.like,
    "bernoulli": pointwise.no_gradient,
    "sample": pointwise.no_gradient,
    "zero_": pointwise.fill,
    "fill_": pointwise.fill,
    "normal_": pointwise.fill,
    "uniform_": pointwise.fill,
    "copysign": pointwise.keeps_input,
    "random_": pointwise.fill,
    "trunc_normal_": pointwise.fill,
    "xavier_uniform_": pointwise.fill,
    "bernoulli_": pointwise.fill,
    "exponential_": pointwise.fill,
    # shapes
    "view": shaping.view,
    "reshape": shaping.reshape,
    "view_as": lambda x, y: shaping.reshape(x, y.shape),
    "flatten": shaping.flatten,
    "reshape_as": lambda x, y: shaping.reshape(x, y.shape),
    "unflatten": shaping.unflatten,
    "ravel": shaping.flatten,
    "transpose": shaping.transpose,
    "swapaxes": shaping.transpose,
    "swapdims": shaping.transpose,
    "t": shaping.t,
    "permute": shaping.permute,
    "movedim": shaping.movedim,
    "moveaxis": shaping.movedim,
    "unsqueeze": shaping.unsqueeze,
    "squeeze": shaping.squeeze,
    "expand": shaping.expand,
    "expand_as": shaping.expand_as,
    "broadcast_to": shaping.expand,
    "repeat": shaping.repeat,
    "tile": shaping.repeat,
    "repeat_interleave": shaping.repeat_interleave,
    "chunk": shaping.chunk,
    "split": shaping.split,
    "unbind": shaping.unbind,
    "narrow": shaping.narrow,
    "select": shaping.select,
    "unfold": shaping.unfold,
    "cat": shaping.cat,
    "concat": shaping.cat,
    "concatenate": shaping.cat,
    "stack": shaping.stack,
    "roll": shaping.roll,
    "flip": shaping.roll,
    "size": shaping.size,
    "numel": shaping.numel,
    "dim": shaping.dimensions,
    "ndimension": shaping.dimensions,
    "is_floating_point": shaping.is_floating_point,
    "is_contiguous": shaping.is_contiguous,
    "rot90": shaping.roll,
    "adjoint": shaping.t,
    # elementwise
    "relu": pointwise.relu,
    "relu_": lambda x: pointwise.relu(x, inplace=True),
    "leaky_relu": pointwise.leaky_relu,
    "gelu": pointwise.keeps_input,
    "silu": pointwise.sigmoid_linear,
    "swish": pointwise.sigmoid_linear,
    "mish": pointwise.keeps_input,
    "elu": pointwise.keeps_input,
    "selu": pointwise.keeps_input,
    "celu": pointwise.keeps_input,
    "softplus": pointwise.keeps_input,
    "logsigmoid": pointwise.softplus_like,
    "hardswish": pointwise.keeps_input,
    "hardsigmoid": pointwise.keeps_input,
    "hardtanh": pointwise.keeps_input,
    "relu6": pointwise.keeps_input,
    "softsign": pointwise.keeps_input,
    "sigmoid": pointwise.keeps_result,
    "tanh": pointwise.keeps_result,
    "exp": pointwise.keeps_fp32_result,
    "expm1": pointwise.keeps_fp32_result,
    "rsqrt": pointwise.keeps_fp32_result,
    "sqrt": pointwise.keeps_result,
    "reciprocal": pointwise.keeps_fp32_result,
    "log": pointwise.keeps_fp32_input,
    "log2": pointwise.keeps_fp32_input,
    "log10": pointwise.keeps_fp32_input,
    "log1p": pointwise.keeps_fp32_input,
    "sin": pointwise.keeps_input,
    "cos": pointwise.keeps_input,
    "tan": pointwise.keeps_result,
    "atan": pointwise.keeps_input,
    "abs": pointwise.keeps_input,
    "erf": pointwise.keeps_input,
    "square": pointwise.power,
    "pow": pointwise.power,
    "clamp": pointwise.keeps_input,
    "clip": pointwise.keeps_input,
    "clamp_min": pointwise.keeps_input,
    "clamp_max": pointwise.keeps_input,
    "neg": pointwise.keeps_nothing,
    "negative": pointwise.keeps_nothing,
    "clamp_": pointwise.keeps_input,
    "sign": pointwise.no_gradient,
    "floor": pointwise.no_gradient,
    "ceil": pointwise.no_gradient,
    "round": pointwise.no_gradient,
    "nan_to_num": pointwise.keeps_input,
    "dropout": pointwise.dropout,
    "dropout1d": pointwise.feature_dropout,
    "dropout2d": pointwise.feature_dropout,
    "alpha_dropout": pointwise.dropout,
    "dropout3d": pointwise.feature_dropout,
    "add": pointwise.add,
    "sub": pointwise.subtract,
    "subtract": pointwise.subtract,
    "mul": pointwise.multiply,
    "multiply": pointwise.multiply,
    "div": pointwise.divide,
    "true_divide": pointwise.divide,
    "add_": pointwise.add_inplace,
    "sub_": pointwise.add_inplace,
    "mul_": pointwise.multiply_inplace,
    "div_": pointwise.multiply_inplace,
    "addcmul": pointwise.addcmul,
    "lerp": pointwise.lerp,
    "masked_fill": pointwise.masked_fill,
    "masked_fill_": pointwise.masked_fill_inplace,
    "where": pointwise.where,
    "tril": pointwise.triangle,
    "triu": pointwise.triangle,
    "maximum": pointwise.extreme,
    "minimum": pointwise.extreme,
    "sigmoid_": lambda x: pointwise.keeps_result(x, inplace=True),
    "tanh_": lambda x: pointwise.keeps_result(x, inplace=True),
    "remainder": pointwise.no_gradient,
    "floor_divide": pointwise.no_gradient,
    # comparisons
    "eq": pointwise.truth_values,
    "ne": pointwise.truth_values,
    "lt": pointwise.truth_values,
    "gt": pointwise.truth_values,
    "le": pointwise.truth_values,
    "ge": pointwise.truth_values,
    "isnan": pointwise.truth_values,
    "isinf": pointwise.truth_values,
    "isfinite": pointwise.truth_values,
    "logical_and": pointwise.truth_values,
    "logical_or": pointwise.truth_values,
    "logical_not": pointwise.truth_values,
    "any": reductions.any_of,
    "all": reductions.any_of,
    # reductions
    "mean": reductions.mean,
    "sum": reductions.add_up,
    "norm": reductions.norm,
    "var": reductions.spread,
    "std": reductions.spread,
    "max": reductions.largest,
    "min": reductions.largest,
    "amax": reductions.largest_values,
    "amin": reductions.largest_values,
    "argmax": reductions.argmax,
    "argmin": reductions.argmax,
    "topk": reductions.topk,
    "sort": reductions.sort,
    "argsort": lambda x, *_, **__: x.tape.empty(x.shape, INT64),
    "cumsum": reductions.cumulative,
    "cumprod": pointwise.keeps_input,
    "logsumexp": reductions.log_sum_exp,
    "item": reductions.item,
    "tolist": reductions.item,
    "numpy": reductions.item,
    "multinomial": reductions.argmax,
    # products
    "matmul": layered.bmm,
    "mm": layered.bmm,
    "bmm": layered.bmm,
    "mv": layered.bmm,
    "dot": layered.bmm,
    "addmm": layered.baddbmm,
    "baddbmm": layered.baddbmm,
    "einsum": layered.summed,
    "outer": layered.outer,
    "ger": layered.outer,
    "linear": layered.dense,
    "conv1d": layered.convolved,
    "conv2d": layered.convolved,
    "conv3d": layered.convolved,
    "embedding": layered.embedding,
    "one_hot": layered.one_hot,
    # normalization, attention, pooling
    "softmax": layered.softmax,
    "log_softmax": layered.softmax,
    "layer_norm": layered.layer_norm,
    "rms_norm": layered.rms_norm,
    "normalize": layered.unit_length,
    "scaled_dot_product_attention": layered.attend,
    "max_pool1d": layered.over(1, layered.max_pool),
    "max_pool2d": layered.over(2, layered.max_pool),
    "max_pool3d": layered.over(3, layered.max_pool),
    "avg_pool1d": layered.over(1, layered.average_pool),
    "avg_pool2d": layered.over(2, layered.average_pool),
    "avg_pool3d": layered.over(3, layered.average_pool),
    "adaptive_avg_pool1d": layered.over(1, layered.adaptive_pool),
    "adaptive_avg_pool2d": layered.over(2, layered.adaptive_pool),
    "adaptive_avg_pool3d": layered.over(3, layered.adaptive_pool),
    "adaptive_max_pool1d": layered.over(1, layered.adaptive_pool, largest=True),
    "adaptive_max_pool2d": layered.over(2, layered.adaptive_pool, largest=True),
    "pad": layered.pad,
    "interpolate": layered.interpolate,
    "upsample": layered.interpolate,
    "pixel_shuffle": layered.pixel_shuffle,
    "glu": layered.glu,
    "gather": layered.gathered,
    "index_select": layered.index_select,
    "take_along_dim": lambda x, i, dim=0: layered.gathered(x, dim, i),
    # losses
    "cross_entropy": criteria.cross_entropy,
    "nll_loss": criteria.nll_loss,
    "mse_loss": criteria.mse_loss,
    "l1_loss": criteria.mse_loss,
    "smooth_l1_loss": criteria.mse_loss,
    "huber_loss": criteria.mse_loss,
    "binary_cross_entropy": criteria.mse_loss,
    "binary_cross_entropy_with_logits": criteria.bce_with_logits,
    "kl_div": criteria.kl_div,
    "cosine_similarity": criteria.cosine_similarity,
    "triplet_margin_loss": criteria.triplet_loss,
    "poisson_nll_loss": criteria.mse_loss,
}

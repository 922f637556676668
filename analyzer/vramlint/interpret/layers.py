"""`torch.nn`'s layers by name: their parameters, and the operation that each applies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.interpret import criteria, layered, operations, pointwise, reductions, shapes, shaping
from vramlint.interpret.modules import Container
from vramlint.memory import modules as engine
from vramlint.memory.dtypes import INT64
from vramlint.memory.modules import Buffer, Module, Parameter, parameter_tensor
from vramlint.memory.operators import elementwise, normalization
from vramlint.memory.operators.convolution import transposed
from vramlint.memory.operators.matmul import embedding
from vramlint.memory.operators.products import linear, matmul
from vramlint.memory.operators.views import contiguous
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PLACING = frozenset({"device", "dtype"})


class Linear(engine.Linear):
    """`nn.Linear`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *_: Any) -> None:  # noqa: FBT001, FBT002  as in torch
        super().__init__(*_sizes(in_features, out_features), bias=bool(bias))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        return linear(x, parameter_tensor(self.weight), held(self, "bias"))


def held(module: Module, name: str) -> Tensor | None:
    """Return the tensor of a parameter that a layer may have."""
    parameter = vars(module).get(name)
    return parameter_tensor(parameter) if isinstance(parameter, Parameter) else None


class Bilinear(Module):
    """`nn.Bilinear`."""

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True) -> None:  # noqa: FBT001, FBT002  as in torch
        self.weight = Parameter(*_sizes(out_features, in1_features, in2_features))
        if bias:
            self.bias = Parameter(out_features)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(…, in1) and (…, in2) to (…, out)."""
        outputs, first, second = self.weight.shape
        weight = shaping.reshape(parameter_tensor(self.weight), outputs * first, second)
        wide = shaping.reshape(matmul(b, shaping.t(weight)), *b.shape[:-1], outputs, first)
        return reductions.add_up(wide * shaping.unsqueeze(a, -2), -1)


class Convolution(Module):
    """`nn.Conv1d`, `nn.Conv2d`, `nn.Conv3d`."""

    def __init__(  # noqa: PLR0917  in torch's order
        self,
        axes: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002  as in torch
        padding_mode: str = "zeros",
    ) -> None:
        _sizes(in_channels, out_channels, groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"{groups} groups of {in_channels} and {out_channels} channels")
        self.kind = f"Conv{axes}d"
        self.axes, self.in_channels, self.out_channels, self.groups = axes, in_channels, out_channels, groups
        self.kernel_size = shapes.several(kernel_size, axes)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.padding_mode = padding_mode
        self.weight = Parameter(out_channels, in_channels // groups, *self.kernel_size)
        if bias:
            self.bias = Parameter(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, …) to (B, out, …)."""
        padding = self.padding
        if self.padding_mode != "zeros" and padding not in {0, "valid"}:
            sides = [side for size in reversed(shapes.several(padding, self.axes)) for side in (size, size)]
            x, padding = layered.pad(x, sides, "reflect"), 0
        weight, bias = parameter_tensor(self.weight), held(self, "bias")
        return layered.convolved(x, weight, bias, self.stride, padding, self.dilation, self.groups)


class Deconvolution(Module):
    """`nn.ConvTranspose1d`, `2d`, `3d`."""

    def __init__(  # noqa: PLR0917  in torch's order
        self,
        axes: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002  as in torch
        dilation: Any = 1,
        padding_mode: str = "zeros",
    ) -> None:
        del padding_mode
        _sizes(in_channels, out_channels, groups)
        self.kind = f"ConvTranspose{axes}d"
        self.in_channels, self.out_channels = in_channels, out_channels
        self.window = [shapes.several(one, axes) for one in (stride, padding, output_padding, dilation)]
        self.weight = Parameter(in_channels, out_channels // groups, *shapes.several(kernel_size, axes))
        if bias:
            self.bias = Parameter(out_channels)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """(B, in, …) to (B, out, …)."""
        del output_size
        if x.shape[1] != self.in_channels:
            raise ValueError(f"a convolution of {self.in_channels} channels meets {list(x.shape)}")
        weight, bias = parameter_tensor(self.weight), held(self, "bias")
        return transposed(x, weight, bias, self.out_channels, *self.window)


def _give_channels(norm: Module, count: int, *, affine: bool, tracked: bool) -> None:
    """Give a norm a weight and a bias for each channel, and the running statistics where it keeps them."""
    names = (("weight", "bias") if affine else ()), (("running_mean", "running_var") if tracked else ())
    for kind, some in zip((Parameter, Buffer), names, strict=True):
        for name in some:
            setattr(norm, name, kind(count))


class BatchNorm(Module):
    """`nn.BatchNorm1d`, `2d`, `3d`, `nn.SyncBatchNorm`, `nn.InstanceNorm2d` with its defaults changed."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: Any = 0.1,
        affine: bool = True,  # noqa: FBT001, FBT002  as in torch
        track_running_stats: bool = True,  # noqa: FBT001, FBT002  as in torch
    ) -> None:
        del eps, momentum
        self.kind = "BatchNorm2d"
        self.num_features = _sizes(num_features)[0]
        _give_channels(self, num_features, affine=affine, tracked=track_running_stats)
        if track_running_stats:
            self.num_batches_tracked = Buffer(dtype=INT64)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each channel."""
        if x.shape[1] != self.num_features:
            raise ValueError(f"a norm of {self.num_features} channels meets {list(x.shape)}")
        return normalization.batch_norm(x, held(self, "weight"), held(self, "bias"))


class InstanceNorm(Module):
    """`nn.InstanceNorm1d`, `2d`, `3d`: batch norm of (1, B·C, …)."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: Any = 0.1,
        affine: bool = False,  # noqa: FBT001, FBT002  as in torch
        track_running_stats: bool = False,  # noqa: FBT001, FBT002  as in torch
    ) -> None:
        del eps, momentum
        self.num_features = num_features
        _give_channels(self, num_features, affine=affine, tracked=track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each channel of each sample; weights are repeated for every sample."""
        rows = shaping.reshape(x, 1, x.shape[0] * x.shape[1], *x.shape[2:])
        weight, bias = held(self, "weight"), held(self, "bias")
        wide = [shaping.repeat(p, x.shape[0]) for p in (weight, bias) if p is not None]
        out = normalization.batch_norm(rows, *(wide or (None, None)))
        return shaping.reshape(out, *x.shape)


class GroupNorm(Module):
    """`nn.GroupNorm`."""

    label = "norm"

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:  # noqa: FBT001, FBT002  as in torch
        del eps
        _sizes(num_groups, num_channels)
        if num_channels % num_groups:
            raise ValueError(f"{num_groups} groups of {num_channels} channels")
        self.num_groups, self.num_channels = num_groups, num_channels
        if affine:
            self.weight, self.bias = Parameter(num_channels), Parameter(num_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each group of channels."""
        if x.shape[1] != self.num_channels:
            raise ValueError(f"a norm of {self.num_channels} channels meets {list(x.shape)}")
        return normalization.group_norm(
            contiguous(x), held(self, "weight"), held(self, "bias"), self.num_groups
        )


class LayerNorm(Module):
    """`nn.LayerNorm`."""

    label = "norm"

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,  # noqa: FBT001, FBT002  as in torch
        bias: bool = True,  # noqa: FBT001, FBT002  as in torch
    ) -> None:
        del eps
        self.normalized_shape = shapes.flat((normalized_shape,))
        if elementwise_affine:
            self.weight = Parameter(*self.normalized_shape)
            if bias:
                self.bias = Parameter(*self.normalized_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimensions."""
        if x.shape[-len(self.normalized_shape) :] != self.normalized_shape:
            raise ValueError(f"a norm of {list(self.normalized_shape)} meets {list(x.shape)}")
        return layered.layer_norm(x, self.normalized_shape, held(self, "weight"), held(self, "bias"))


class RMSNorm(Module):
    """`nn.RMSNorm`."""

    label = "norm"

    def __init__(self, normalized_shape: Any, eps: Any = None, elementwise_affine: bool = True) -> None:  # noqa: FBT001, FBT002  as in torch
        del eps
        self.normalized_shape = shapes.flat((normalized_shape,))
        if elementwise_affine:
            self.weight = Parameter(*self.normalized_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return layered.rms_norm(x, self.normalized_shape, held(self, "weight"))


class Embedding(Module):
    """`nn.Embedding`."""

    label = "embedding"

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: Any = None, *_: Any, **__: Any
    ) -> None:
        self.num_embeddings, self.embedding_dim = _sizes(num_embeddings, embedding_dim)
        self.padding_idx = padding_idx
        self.weight = Parameter(num_embeddings, embedding_dim, is_embedding=True)

    def forward(self, indices: Tensor) -> Tensor:
        """(…) to (…, width)."""
        return embedding(indices, parameter_tensor(self.weight))


class EmbeddingBag(Embedding):
    """`nn.EmbeddingBag`: the mean of each bag's rows."""

    def forward(self, indices: Tensor, offsets: Any = None) -> Tensor:
        """(B, T), or all bags one after the other with their offsets, to (B, width)."""
        rows = offsets.shape[0] if isinstance(offsets, Tensor) else indices.shape[0]
        weight = parameter_tensor(self.weight)
        out = weight.tape.empty((rows, self.embedding_dim), weight.dtype)
        saved = (indices, weight.tape.empty(indices.shape, INT64))
        return weight.tape.record(out, (weight,), elementwise.filled_back, saved)


class Applied(Module):
    """A layer without parameters: an operation with the arguments it was made with."""

    def __init__(self, kind: str, function: Callable[..., Any], **fixed: Any) -> None:
        self.kind = kind
        self.function = function
        self.fixed = fixed
        for name, value in fixed.items():
            setattr(self, name, value)

    def forward(self, *args: Any) -> Any:
        """Apply the operation."""
        return self.function(*args, **self.fixed)


class PReLU(Module):
    """`nn.PReLU`: saves its input and the slopes."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        del init
        self.weight = Parameter(num_parameters)

    def forward(self, x: Tensor) -> Tensor:
        """Scale what is negative."""
        weight = parameter_tensor(self.weight)
        out = elementwise.empty_like(x)
        return x.tape.record(out, (x, weight), elementwise.both_like, (x, weight))


def _sizes(*values: Any) -> tuple[int, ...]:
    """Return sizes; raises NotUnderstood for one that is not known, ValueError for one below one."""
    found = shapes.flat(values)
    if any(size < 1 for size in found):
        raise ValueError(f"sizes {list(found)}")
    return found


def _identity(x: Any, *_: Any, **__: Any) -> Any:
    return x


def _flatten(x: Tensor, start_dim: int = 1, end_dim: int = -1) -> Tensor:
    return shaping.flatten(x, start_dim, end_dim)


def _unflatten(x: Tensor, dim: Any, unflattened_size: Any) -> Tensor:
    return shaping.unflatten(x, dim, unflattened_size)


def _upsample(x: Tensor, size: Any = None, scale_factor: Any = None, **_: Any) -> Tensor:
    return layered.interpolate(x, size, scale_factor)


def _pad(x: Tensor, padding: Any, mode: str) -> Tensor:
    axes = len(x.shape) - 2
    return layered.pad(x, padding if isinstance(padding, list | tuple) else (padding,) * (2 * axes), mode)


# Layers without parameters: the operation, the names of their arguments in order, and what is fixed.
_SIMPLE: dict[str, tuple[Callable[..., Any], tuple[str, ...], dict[str, Any]]] = {
    "Identity": (_identity, (), {}),
    "ReLU": (pointwise.relu, ("inplace",), {}),
    "LeakyReLU": (pointwise.leaky_relu, ("negative_slope", "inplace"), {}),
    "SiLU": (pointwise.sigmoid_linear, ("inplace",), {}),
    "Dropout": (pointwise.dropout, ("p", "inplace"), {}),
    "AlphaDropout": (pointwise.dropout, ("p", "inplace"), {}),
    "Dropout1d": (pointwise.feature_dropout, ("p", "inplace"), {}),
    "Dropout2d": (pointwise.feature_dropout, ("p", "inplace"), {}),
    "Dropout3d": (pointwise.feature_dropout, ("p", "inplace"), {}),
    "Softmax": (layered.softmax, ("dim",), {}),
    "LogSoftmax": (layered.softmax, ("dim",), {}),
    "Softmax2d": (layered.softmax, (), {}),
    "Flatten": (_flatten, ("start_dim", "end_dim"), {}),
    "Unflatten": (_unflatten, ("dim", "unflattened_size"), {}),
    "Upsample": (_upsample, ("size", "scale_factor", "mode", "align_corners"), {}),
    "UpsamplingNearest2d": (_upsample, ("size", "scale_factor"), {}),
    "UpsamplingBilinear2d": (_upsample, ("size", "scale_factor"), {}),
    "PixelShuffle": (layered.pixel_shuffle, ("upscale_factor",), {}),
    "GLU": (layered.glu, ("dim",), {}),
    "Unfold": (shaping.unfold, ("kernel_size", "dilation", "padding", "stride"), {}),
    "CosineSimilarity": (criteria.cosine_similarity, ("dim", "eps"), {}),
    "ZeroPad2d": (_pad, ("padding",), {"mode": "constant"}),
    "ConstantPad1d": (_pad, ("padding",), {"mode": "constant"}),
    "ConstantPad2d": (_pad, ("padding",), {"mode": "constant"}),
    "ReflectionPad1d": (_pad, ("padding",), {"mode": "reflect"}),
    "ReflectionPad2d": (_pad, ("padding",), {"mode": "reflect"}),
    "ReplicationPad2d": (_pad, ("padding",), {"mode": "replicate"}),
}
_KEEPING_INPUT = ("GELU", "ELU", "CELU", "SELU", "Mish", "Hardswish", "Hardsigmoid", "Hardtanh", "ReLU6", "Softplus",
                  "LogSigmoid", "Softsign", "Softshrink", "Hardshrink", "Tanhshrink", "RReLU")  # fmt: skip
_KEEPING_RESULT = ("Tanh", "Sigmoid")
_POOLS = {
    "MaxPool": ("max_pool", ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")),
    "AvgPool": ("avg_pool", ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")),
    "AdaptiveAvgPool": ("adaptive_avg_pool", ("output_size",)),
    "AdaptiveMaxPool": ("adaptive_max_pool", ("output_size",)),
}
_LOSSES = {
    "MSELoss": "mse_loss", "L1Loss": "l1_loss", "SmoothL1Loss": "smooth_l1_loss", "HuberLoss": "huber_loss",
    "BCELoss": "binary_cross_entropy", "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll_loss", "KLDivLoss": "kl_div",
    "TripletMarginLoss": "triplet_margin_loss", "PoissonNLLLoss": "poisson_nll_loss",
}  # fmt: skip


class Loss(Module):
    """A loss: the operation of that name, and its reduction."""

    def __init__(self, operation: str, *_: Any, **given: Any) -> None:
        self.kind = "Loss"
        self.operation = operation
        wanted = ("reduction", "label_smoothing") if operation == "cross_entropy" else ("reduction",)
        self.given = {name: given[name] for name in wanted if name in given}


def _simple(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Module:
    function, names, fixed = _SIMPLE[name]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    given.pop("mode", None) if name == "Upsample" else None
    given.pop("align_corners", None)
    return Applied(name, function, **{**given, **fixed})


def _pool(name: str, axes: int, args: Sequence[Any], kwargs: dict[str, Any]) -> Module:
    operation, names = _POOLS[name]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    for unused in ("count_include_pad", "divisor_override"):
        given.pop(unused, None)
    return Applied(f"{name}{axes}d", operations.OPERATIONS[f"{operation}{axes}d"], **given)


def make(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Module:  # noqa: C901, PLR0911, PLR0912  one early return for each group
    """Make a layer of `torch.nn`; raises KeyError for one that is not known, TypeError for wrong arguments."""
    kwargs = {key: value for key, value in kwargs.items() if key not in _PLACING}
    if name in _CLASSES:
        return _CLASSES[name](*args, **kwargs)
    if name in _SIMPLE:
        return _simple(name, args, kwargs)
    if name in _KEEPING_INPUT:
        return Applied(name, pointwise.keeps_input, inplace=bool(kwargs.get("inplace")) or True in list(args))
    if name in _KEEPING_RESULT:
        return Applied(name, pointwise.keeps_result)
    if name in _LOSSES:
        return Loss(_LOSSES[name], *args, **kwargs)
    stem, axes = name[:-2], int(name[-2]) if name[-1:] == "d" and name[-2:-1].isdigit() else 0
    if axes and stem in _POOLS:
        return _pool(stem, axes, args, kwargs)
    if axes and stem == "Conv":
        return Convolution(axes, *args, **kwargs)
    if axes and stem == "ConvTranspose":
        return Deconvolution(axes, *args, **kwargs)
    if name == "SyncBatchNorm" or (axes and stem == "BatchNorm"):
        return BatchNorm(*args, **{key: value for key, value in kwargs.items() if key != "process_group"})
    if axes and stem == "InstanceNorm":
        return InstanceNorm(*args, **kwargs)
    if name in _CONTAINERS:
        return container(name, args, kwargs)
    from vramlint.interpret import recurrent, transformer  # noqa: PLC0415  few models have them

    for table in (recurrent.LAYERS, transformer.LAYERS):
        if name in table:
            return table[name](*args, **kwargs)
    raise KeyError(name)


def container(kind: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Container:
    """Make a container of modules or parameters."""
    values: Any = args
    if kind != "Sequential" and args:
        values = args[0]
    elif kind in {"ModuleList", "ParameterList", "ModuleDict"}:
        values = next(iter(kwargs.values()), ())
    if len(args) == 1 and isinstance(args[0], dict):
        values = args[0]
    if isinstance(values, Container):
        values = values.listed
    if isinstance(values, dict):
        return Container(kind, dict(values))
    if kind == "ModuleDict":
        return Container(kind, dict(values))
    return Container(kind, {str(index): value for index, value in enumerate(values)})


_CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict", "ParameterList"})
_CLASSES: dict[str, Callable[..., Module]] = {
    "Linear": Linear,
    "LazyLinear": Linear,
    "Bilinear": Bilinear,
    "GroupNorm": GroupNorm,
    "LayerNorm": LayerNorm,
    "RMSNorm": RMSNorm,
    "Embedding": Embedding,
    "EmbeddingBag": EmbeddingBag,
    "PReLU": PReLU,
}

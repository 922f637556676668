"""Modules of vision networks: convolution, batch norm, pooling, activations, and sequences of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import INT64
from vramlint.memory.modules import (
    Buffer,
    Checkpointable,
    FloatBuffer,
    Module,
    Parameter,
    checkpoint,
    parameter_tensor,
)
from vramlint.memory.operators import normalization, pooling
from vramlint.memory.operators.activations import silu
from vramlint.memory.operators.convolution import convolution
from vramlint.memory.operators.elementwise import (
    dropout_inplace,
    multiply,
    unary,
    unary_inplace,
    unary_saving_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vramlint.memory.tape import Tensor

Pair = int | tuple[int, int]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


class Conv2d(Module):
    """`nn.Conv2d`; `padding` None keeps the size at stride 1."""

    label = "convolution"

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Pair = 1,
        stride: Pair = 1,
        padding: Pair | None = None,
        *,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        height, width = _pair(kernel)
        self.weight = Parameter(outputs, inputs // groups, height, width)
        if bias:
            self.bias = Parameter(outputs)
        self.stride, self.dilation = _pair(stride), (dilation, dilation)
        same = ((height - 1) // 2 * dilation, (width - 1) // 2 * dilation)
        self.padding = same if padding is None else _pair(padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H', W')."""
        bias = vars(self).get("bias")
        offset = None if bias is None else parameter_tensor(bias)
        return convolution(x, parameter_tensor(self.weight), offset, self.stride, self.padding, self.dilation)


class BatchNorm(Module):
    """`nn.BatchNorm2d` in training, with its running statistics and the count of batches."""

    label = "norm"

    def __init__(self, channels: int) -> None:
        self.weight = Parameter(channels)
        self.bias = Parameter(channels)
        self.running_mean = FloatBuffer(channels, like=self.weight)
        self.running_var = FloatBuffer(channels, like=self.weight)
        self.num_batches_tracked = Buffer(dtype=INT64)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each channel."""
        return normalization.batch_norm(x, parameter_tensor(self.weight), parameter_tensor(self.bias))


class GroupNorm(Module):
    """`nn.GroupNorm`."""

    label = "norm"

    def __init__(self, groups: int, channels: int) -> None:
        self.groups = groups
        self.weight = Parameter(channels)
        self.bias = Parameter(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each group of channels."""
        return normalization.group_norm(
            x, parameter_tensor(self.weight), parameter_tensor(self.bias), self.groups
        )


class Apply(Module):
    """A module without parameters: an activation, a pooling, a change of shape."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x)


class Activation(Apply):
    """An activation function as a module."""

    label = "activation function"


class Pool(Apply):
    """A pooling as a module."""

    label = "pooling"


def relu() -> Module:
    """Return `nn.ReLU()`: saves its output."""
    return Activation(unary_saving_result)


def relu_inplace() -> Module:
    """Return `nn.ReLU(inplace=True)`: writes into what it reads, and saves that."""
    return Activation(unary_inplace)


def sigmoid_linear() -> Module:
    """Return `nn.SiLU()`."""
    return Activation(silu)


def keeps_input() -> Module:
    """Return GELU, Hardswish, Hardsigmoid or ReLU6: they save their input, in place a copy of it."""
    return Activation(unary)


def sigmoid() -> Module:
    """Return `nn.Sigmoid()`: saves its output."""
    return Activation(unary_saving_result)


def max_pool(kernel: int, stride: int, padding: int = 0, *, ceil: bool = False) -> Module:
    """Return `nn.MaxPool2d`."""
    return Pool(lambda x: pooling.max_pool(x, kernel, stride, padding, ceil=ceil))


def average_pool(kernel: int, stride: int, padding: int = 0, *, ceil: bool = False) -> Module:
    """Return `nn.AvgPool2d`."""
    return Pool(lambda x: pooling.average_pool(x, kernel, stride, padding, ceil=ceil))


def adaptive_average_pool(side: int) -> Module:
    """Return `nn.AdaptiveAvgPool2d(side)`."""
    return Pool(lambda x: pooling.adaptive_average_pool(x, side, side))


def flattened(x: Tensor) -> Tensor:
    """Return `torch.flatten(x, 1)` of (B, C, H, W)."""
    rows, channels, height, width = x.shape
    return x.view(rows, channels * height * width)


class Permute(Module):
    """Channels to the last place or back: a view, which cuDNN takes as channels_last without a copy."""

    def __init__(self, *order: int) -> None:
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """Put the dimensions in another order."""
        return x.view(*(x.shape[axis] for axis in self.order))


class InplaceDropout(Module):
    """`nn.Dropout(p, inplace=True)`."""

    def __init__(self, p: float) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of x itself."""
        return dropout_inplace(x, self.p)


class StochasticDepth(Module):
    """A factor per row: torchvision's `StochasticDepth(p, "row")`, timm's `DropPath`; nothing for p = 0."""

    def __init__(self, p: float) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Scale each row."""
        if self.p == 0.0:
            return x
        noise = x.tape.empty((x.shape[0],) + (1,) * (len(x.shape) - 1), x.dtype)
        return multiply(x, noise)


class DropPath(StochasticDepth):
    """The same as transformers and timm write it: the rows are divided before they are multiplied."""

    def forward(self, x: Tensor) -> Tensor:
        """Scale each row."""
        return x if self.p == 0.0 else super().forward(x * 1.0)


class Sequential(Module):
    """`nn.Sequential`: parts with their names, by default their indices."""

    def __init__(self, *parts: Module, names: Sequence[str] | None = None) -> None:
        self.parts = dict(zip(names or [str(index) for index in range(len(parts))], parts, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Run the parts one after the other."""
        for part in self.parts.values():
            x = part(x)
        return x

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield the parts."""
        yield from self.parts.items()

    def put(self, name: str, part: Module) -> None:
        """Put another module in the place of a part."""
        self.parts[name] = part

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield the tensors of all parts."""
        for name, part in self.parts.items():
            yield from part.named_tensors(f"{prefix}{name}.")


class ModuleList(Sequential):
    """`nn.ModuleList`: parts that the owner runs itself."""

    def __iter__(self) -> Iterator[Module]:
        """Yield the parts in order."""
        return iter(self.parts.values())


class Blocks(ModuleList, Checkpointable):
    """`nn.ModuleList` of parts that differ, and that checkpointing runs again one by one."""

    def run(self, index: int, x: Tensor, *args: Any) -> Tensor:
        """Run the part at `index`."""
        part = self.parts[str(index)]
        if self.checkpointed:
            return checkpoint(part, x, *args, how=self.how)
        return part(x, *args)  # type: ignore[no-any-return]


class SqueezeExcitation(Module):
    """torchvision's `SqueezeExcitation`: a factor per channel from the channels' means."""

    label = "squeeze and excitation"

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: Callable[[], Module] = relu,
        scale: Callable[[], Module] = sigmoid,
    ) -> None:
        self.avgpool = adaptive_average_pool(1)
        self.fc1 = Conv2d(channels, squeezed)
        self.fc2 = Conv2d(squeezed, channels)
        self.activation = activation()
        self.scale_activation = scale()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        return self._scale(x) * x

    def _scale(self, x: Tensor) -> Tensor:
        scale = self.avgpool(x)
        scale = self.fc1(scale)
        scale = self.activation(scale)
        scale = self.fc2(scale)
        return self.scale_activation(scale)  # type: ignore[no-any-return]


def divisible(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, by no more than a tenth downwards (MobileNet's rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: Pair = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    act: Callable[[], Module] | None = relu_inplace,
) -> Sequential:
    """Return torchvision's `Conv2dNormActivation`: convolution without bias, batch norm, activation."""
    parts: list[Module] = [
        Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        BatchNorm(outputs),
    ]
    return Sequential(*parts, *([act()] if act else []))

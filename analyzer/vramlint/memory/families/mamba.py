"""Mamba and FalconMamba, on the path without their own kernels: the states of all tokens one after the other.

transformers 5.23, models/mamba and falcon_mamba.

With the mamba-ssm package the states of a layer are computed again in backward; that is not walked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families.decoder import Head, build_decoder
from vramlint.memory.modules import (
    Buffer,
    Embedding,
    Linear,
    Module,
    Parameter,
    RMSNorm,
    Stack,
    carry_out,
    parameter_tensor,
)
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.convolution import convolution
from vramlint.memory.operators.elementwise import (
    autocast_fp32,
    cast,
    contiguous,
    mean_last,
    multiply,
    narrow,
    negate,
    power,
    rsqrt,
    select,
    split,
    unary,
    unary_saving_result,
)
from vramlint.memory.operators.matmul import batched, linear
from vramlint.memory.tape import Dim, Gradients, Node, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.families.layers import KeyValueCache

MODEL_TYPES = ("mamba", "falcon_mamba")


class Convolution(Module):
    """The parameters of a convolution over each channel alone."""

    def __init__(self, channels: int, kernel: int, *, bias: bool) -> None:
        self.weight = Parameter(channels, 1, kernel)
        if bias:
            self.bias = Parameter(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) to (B, C, T + kernel - 1)."""
        weight, bias = parameter_tensor(self.weight), vars(self).get("bias")
        padding = self.weight.shape[-1] - 1
        x = cast(x, weight.dtype)
        return convolution(
            x, weight, None if bias is None else parameter_tensor(bias), (1,), (padding,), (1,)
        )


class Mixer(Module):
    """A selective state space layer."""

    label = "mixer"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.inner = Dim(config.get("intermediate_size", int(config.get("expand", 2) * width)), "F")
        self.state = config.size("S", "state_size", default=16)
        rank = config.get("time_step_rank", "auto")
        self.rank = -(-width // 16) if rank == "auto" else rank
        bias = config.get("use_bias", default=False)
        self.conv1d = Convolution(
            self.inner, config.get("conv_kernel", 4), bias=config.get("use_conv_bias", default=True)
        )
        self.act = activation(config.get("hidden_act", "silu"))
        self.in_proj = Linear(width, Dim(2 * self.inner, "2F"), bias=bias)
        self.x_proj = Linear(self.inner, self.rank + 2 * self.state, bias=False)
        self.dt_proj = Linear(self.rank, self.inner)
        self.A_log = Parameter(self.inner, self.state)
        self.D = Parameter(self.inner)
        self.out_proj = Linear(self.inner, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        dtype, length = x.dtype, x.shape[1]
        projected = self.in_proj(x).transposed(1, 2)
        decay = negate(unary_saving_result(cast(parameter_tensor(self.A_log), FLOAT32)))
        hidden, gate = split(projected, (self.inner, self.inner), 1)
        hidden = cast(self.act(narrow(self.conv1d(hidden), -1, length)), hidden.dtype)
        hidden.contiguous = True  # what is computed from a slice lies in whole rows again
        hidden = hidden.transposed(1, 2)
        step, enter, leave = split(self.x_proj(hidden), (self.rank, self.state, self.state))
        step, enter, leave = self.normed(step, enter, leave)
        step = self.widened(step)
        out = self.scan(hidden.transposed(1, 2), step, decay, enter, leave)
        skip = cast(parameter_tensor(self.D), FLOAT32).view(1, self.inner, 1)
        out = out + (hidden.transposed(1, 2) * skip)
        out = out * unary(gate)
        return self.out_proj(contiguous(cast(out.transposed(1, 2), dtype)))  # type: ignore[no-any-return]

    def normed(self, step: Tensor, enter: Tensor, leave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return step sizes and what lets tokens into the states and out: here as they are."""
        return step, enter, leave

    def widened(self, step: Tensor) -> Tensor:
        """(B, T, rank) to step sizes (B, F, T)."""
        return linear(step, parameter_tensor(self.dt_proj.weight)).transposed(1, 2)

    def scan(self, hidden: Tensor, step: Tensor, decay: Tensor, enter: Tensor, leave: Tensor) -> Tensor:
        """Run the states over all tokens: (B, F, T) to (B, F, T)."""
        tape, (batch, inner, length) = hidden.tape, hidden.shape
        bias = cast(cast(parameter_tensor(self.dt_proj.bias), FLOAT32), step.dtype)
        step = unary(autocast_fp32(step + bias.view(inner, 1)))
        whole = step.view(batch, inner, length, 1)
        kept = unary_saving_result(multiply(decay.view(1, inner, 1, self.state), whole))
        entering = whole * cast(enter.view(batch, 1, length, self.state), FLOAT32)
        added = entering * cast(hidden.view(batch, inner, length, 1), FLOAT32)
        state = tape.empty((batch, inner, self.state), hidden.dtype)
        outputs = []
        for copies in (
            1,
            max(length - 2, 1),
            1,
        ):  # backward begins with the last, whose gradients the others join
            entered = state.storage.key
            with tape.repeat(copies):
                state = state * select(kept, 2) + select(added, 2)
                outputs.append(
                    batched(cast(state, hidden.dtype), select(leave, 1).view(batch, self.state, 1))
                )
                carry_out(state, entered)
        return tape.record(tape.empty((batch, inner, length), outputs[0].dtype), outputs, _unstacked)


def _unstacked(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [Tensor(shape, grad.dtype, grad.storage) for _, _, shape, _ in node.inputs]


class BareNorm(Module):
    """An RMS norm whose weight, a buffer, only the kernels' path reads."""

    label = "norm"

    def __init__(self, width: int) -> None:
        self.weight = Buffer(width)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        dtype = x.dtype
        x = cast(x, FLOAT32)
        return cast(x * rsqrt(mean_last(power(x)) + 1e-6), dtype)


class FalconMixer(Mixer):
    """FalconMamba's: step sizes and both projections of the states are normed."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.dt_layernorm, self.b_layernorm = BareNorm(self.inner), BareNorm(self.state)
        self.c_layernorm = BareNorm(self.state)

    def normed(self, step: Tensor, enter: Tensor, leave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Norm each of them."""
        return self.dt_layernorm(step), self.b_layernorm(enter), self.c_layernorm(leave)


class Block(Module):
    """A norm and a mixer with a residual, which is kept in fp32."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        self.fp32 = config.get("residual_in_fp32", default=True)
        self.norm = RMSNorm(config.size("D", "hidden_size"))
        self.mixer = (FalconMixer if config.get("model_type") == "falcon_mamba" else Mixer)(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.norm(cast(hidden, self.norm.weight.dtype))
        residual = cast(residual, FLOAT32) if self.fp32 else residual
        hidden = self.mixer(hidden)
        return residual + hidden


class Decoder(Module):
    """Token embedding, blocks, final norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.embeddings = Embedding(config.size("V", "vocab_size"), width)
        self.layers = Stack(config.size("L", "num_hidden_layers"), lambda _: Block(config))
        self.norm_f = RMSNorm(width)

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:  # noqa: ARG002  none in training
        """(B, T) token ids to (B, T, D)."""
        hidden = self.layers(self.embeddings(ids))
        return cast(self.norm_f(hidden), self.embeddings.weight.dtype)


def _in_fp32(logits: Tensor) -> Tensor:
    return cast(logits, FLOAT32)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True, adjust=_in_fp32), prefix="backbone")

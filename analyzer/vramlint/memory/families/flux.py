"""Flux: `FluxTransformer2DModel` (diffusers 0.42, models/transformers/transformer_flux.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import FLOAT16, FLOAT32
from vramlint.memory.families.denoiser import Denoiser, FeedForward, places, require_denoising
from vramlint.memory.families.joint import (
    AdaptiveNorm,
    JointProjections,
    LastNorm,
    TimeTextEmbedding,
    gated,
    modulated,
    some_tokens,
)
from vramlint.memory.families.layers import attend
from vramlint.memory.modules import BareLayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import cast, concatenate, contiguous, negate, reshape, split, unary
from vramlint.memory.operators.normalization import torch_rms_norm
from vramlint.memory.streams import Streams
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from vramlint.memory.families.base import Batch, Config, Model, Regime, Sizes
    from vramlint.memory.tape import Shape, Tensor

MODEL_TYPES = ("FluxTransformer2DModel",)

_DEFAULTS: dict[str, Any] = {
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
}
_PATCH = 2  # the pipeline packs 2 × 2 places of the latents into one token


class HeadNorm(Module):
    """`torch.nn.RMSNorm` over each head."""

    label = "norm"

    def __init__(self, head: int) -> None:
        self.weight = Parameter(head)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return torch_rms_norm(x, parameter_tensor(self.weight))


@dataclass(slots=True)
class Around:
    """What every block is given beside its tokens."""

    regime: Regime
    time: Tensor
    cosine: Tensor
    sine: Tensor


class Attention(JointProjections):
    """Attention over text and image tokens, with a norm of queries and keys and rotary embeddings."""

    def __init__(self, width: int, heads: int, head: int, *, text: bool) -> None:
        super().__init__(width, heads, head, text=text, text_out=text, out=text)
        self.norm_q, self.norm_k = HeadNorm(head), HeadNorm(head)
        if text:
            self.norm_added_q, self.norm_added_k = HeadNorm(head), HeadNorm(head)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, self.head)

    def _attended(self, query: Tensor, key: Tensor, value: Tensor, around: Around) -> Tensor:
        query, key, value = (part.transposed(1, 2) for part in (query, key, value))
        out = attend(query, key, value, None, around.regime, causal=False, upcast=False)
        return cast(reshape(out, out.shape[0], out.shape[1], self.heads * self.head), query.dtype)

    def forward(self, x: Tensor, text: Tensor, around: Around) -> tuple[Tensor, Tensor]:
        """(B, S, D) and (B, T, D) to the same."""
        query, key, value = self.to_q(x), self.to_k(x), self.to_v(x)
        text_query, text_key, text_value = self.add_q_proj(text), self.add_k_proj(text), self.add_v_proj(text)
        query, key, value = (self._heads(part) for part in (query, key, value))
        query = self.norm_q(query)
        key = self.norm_k(key)
        text_query, text_key, text_value = (self._heads(part) for part in (text_query, text_key, text_value))
        text_query = self.norm_added_q(text_query)
        text_key = self.norm_added_k(text_key)
        query = concatenate([text_query, query], 1)
        key = concatenate([text_key, key], 1)
        value = concatenate([text_value, value], 1)
        query = _rotated(query, around)
        key = _rotated(key, around)
        out = self._attended(query, key, value, around)
        lengths = [text.shape[1], x.shape[1]]
        text_out, image_out = split(out, lengths, 1)
        if x.shape[0] == 1:
            text_out.contiguous = image_out.contiguous = True
        image_out = self.leave(contiguous(image_out))
        return image_out, self.to_add_out(contiguous(text_out))


class SingleAttention(Attention):
    """The same over tokens that are already together; its output is projected elsewhere."""

    def __init__(self, width: int, heads: int, head: int) -> None:
        super().__init__(width, heads, head, text=False)

    def forward(self, x: Tensor, around: Around) -> Tensor:  # type: ignore[override]
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.to_q(x), self.to_k(x), self.to_v(x)
        query, key, value = (self._heads(part) for part in (query, key, value))
        query = self.norm_q(query)
        key = self.norm_k(key)
        query = _rotated(query, around)
        key = _rotated(key, around)
        return self._attended(query, key, value, around)


def _rotated(x: Tensor, around: Around) -> Tensor:
    """`apply_rotary_emb`: neighbours turn in pairs, in fp32."""
    length, head = around.cosine.shape
    cosine, sine = around.cosine.view(1, length, 1, head), around.sine.view(1, length, 1, head)
    real, imaginary = split(x, [head // 2] * 2)
    turned = concatenate([negate(imaginary), real], -1)
    return cast(cast(x, FLOAT32) * cosine + cast(turned, FLOAT32) * sine, x.dtype)


def _clipped(x: Tensor) -> Tensor:
    """`x.clip(…)` where x is fp16: saves x."""
    return unary(x) if x.dtype is FLOAT16 else x


class Block(Module):
    """Image and text tokens with weights of their own that attend to each other."""

    label = "residual stream"

    def __init__(self, width: int, heads: int, head: int) -> None:
        self.norm1, self.norm1_context = AdaptiveNorm(width, 6), AdaptiveNorm(width, 6)
        self.attn = Attention(width, heads, head, text=True)
        self.norm2, self.norm2_context = BareLayerNorm(), BareLayerNorm()
        self.ff = FeedForward(width, "gelu-approximate")
        self.ff_context = FeedForward(width, "gelu-approximate")

    def forward(self, x: Tensor, text: Tensor, around: Around) -> tuple[Tensor, Tensor]:
        """(B, S, D) and (B, T, D) to the same."""
        normed, (gate, shift, scale, gate_mlp) = self.norm1(x, around.time)
        text_normed, (text_gate, text_shift, text_scale, text_gate_mlp) = self.norm1_context(
            text, around.time
        )
        out, text_out = self.attn(normed, text_normed, around)
        out = gated(gate, out)
        x = x + out
        normed = self.norm2(x)
        normed = modulated(normed, scale, shift)
        mlp = self.ff(normed)
        mlp = gated(gate_mlp, mlp)
        x = x + mlp
        text_out = gated(text_gate, text_out)
        text = text + text_out
        text_normed = self.norm2_context(text)
        text_normed = modulated(text_normed, text_scale, text_shift)
        text_mlp = self.ff_context(text_normed)
        text = text + gated(text_gate_mlp, text_mlp)
        return x, _clipped(text)


class SingleBlock(Module):
    """Text and image tokens in one row; attention and MLP side by side."""

    label = "residual stream"

    def __init__(self, width: int, heads: int, head: int) -> None:
        inner = Dim(4 * width, "F")
        self.norm = AdaptiveNorm(width, 3)
        self.proj_mlp = Linear(width, inner)
        self.proj_out = Linear(width + inner, width)
        self.attn = SingleAttention(width, heads, head)

    def forward(self, x: Tensor, text: Tensor, around: Around) -> tuple[Tensor, Tensor]:
        """(B, S, D) and (B, T, D) to the same."""
        image_tokens, text_tokens = x.shape[1], text.shape[1]
        x = concatenate([text, x], 1)
        residual = x
        normed, (gate,) = self.norm(x, around.time)
        mlp = unary(self.proj_mlp(normed))
        out = self.attn(normed, around)
        x = concatenate([out, mlp], 2)
        x = gated(gate, self.proj_out(x))
        x = _clipped(residual + x)
        return some_tokens(x, image_tokens), some_tokens(x, text_tokens)


class Flux(Denoiser):
    """Blocks of two streams, then of one."""

    def __init__(self, config: Config) -> None:
        heads, head = config.get("num_attention_heads"), config.get("attention_head_dim")
        width = Dim(heads * head, "D")
        self.config, self.head = config, head
        self.time_text_embed = TimeTextEmbedding(
            width,
            config.get("pooled_projection_dim"),
            guided=bool(config.get("guidance_embeds", default=False)),
        )
        self.context_embedder = Linear(config.get("joint_attention_dim"), width)
        self.x_embedder = Linear(config.get("in_channels"), width)
        self.transformer_blocks = Streams(
            *(Block(width, heads, head) for _ in range(config.get("num_layers")))
        )
        self.single_transformer_blocks = Streams(
            *(SingleBlock(width, heads, head) for _ in range(config.get("num_single_layers")))
        )
        self.norm_out = LastNorm(width)
        self.proj_out = Linear(width, config.get("out_channels", config.get("in_channels")))

    def latents(self, sizes: Sizes) -> Shape:
        """Return packed latents: one token for 2 × 2 places."""
        height, width = places(sizes)
        tokens = Dim((height // _PATCH) * (width // _PATCH), "S")
        return (Dim(sizes.rows, "B"), tokens, self.config.get("in_channels"))

    def conditions(self, sizes: Sizes) -> dict[str, Shape]:
        """Return encoded texts, and pooled ones."""
        rows = Dim(sizes.rows, "B")
        return {
            "encoder_hidden_states": (rows, Dim(sizes.length, "T"), self.config.get("joint_attention_dim")),
            "pooled": (rows, self.config.get("pooled_projection_dim")),
        }

    def predict(self, noisy: Tensor, batch: Batch, regime: Regime) -> Tensor:
        """(B, S, C) to (B, S, C)."""
        tape = noisy.tape
        dtype = tape.autocast or parameter_tensor(self.x_embedder.weight).dtype
        x = self.x_embedder(cast(noisy, dtype))
        time = self.time_text_embed(cast(batch["pooled"], dtype))
        text = self.context_embedder(cast(batch["encoder_hidden_states"], dtype))
        tokens = text.shape[1] + x.shape[1]
        cosine, sine = (tape.empty((tokens, self.head), FLOAT32) for _ in range(2))
        around = Around(regime, time, cosine, sine)
        for blocks in (self.transformer_blocks, self.single_transformer_blocks):
            for block in blocks:
                x, text = blocks.run(block, x, text, around)
        x = self.norm_out(x, time)
        return self.proj_out(x)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_denoising(task)
    return Flux(config.completed(_DEFAULTS))

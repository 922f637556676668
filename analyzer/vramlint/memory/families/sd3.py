"""Stable Diffusion 3 and 3.5: `SD3Transformer2DModel` (diffusers 0.42, models/transformers/transformer_sd3.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.convolutional import Conv2d
from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families.denoiser import Condition, Denoiser, FeedForward, places, require_denoising
from vramlint.memory.families.joint import (
    AdaptiveNorm,
    DualNorm,
    JointProjections,
    LastNorm,
    TimeTextEmbedding,
    gated,
    modulated,
    some_tokens,
)
from vramlint.memory.families.layers import attend, split_heads
from vramlint.memory.families.vision_transformer import as_tokens
from vramlint.memory.modules import BareLayerNorm, FloatBuffer, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import (
    cast,
    concatenate,
    contiguous,
    copy,
    mean_last,
    power,
    reshape,
    rsqrt,
)
from vramlint.memory.streams import Streams
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from vramlint.memory.families.base import Batch, Config, Model, Regime, Sizes
    from vramlint.memory.tape import Shape, Tensor

MODEL_TYPES = ("SD3Transformer2DModel",)

_DEFAULTS: dict[str, Any] = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "num_layers": 18,
    "attention_head_dim": 64,
    "num_attention_heads": 18,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1152,
    "pooled_projection_dim": 2048,
    "out_channels": 16,
    "pos_embed_max_size": 96,
    "dual_attention_layers": (),
}


class HeadNorm(Module):
    """diffusers' `RMSNorm` over each head: the variance in fp32, the product with the weight in the weight's type."""

    label = "norm"

    def __init__(self, head: int) -> None:
        self.weight = Parameter(head)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        weight = parameter_tensor(self.weight)
        variance = mean_last(power(cast(x, FLOAT32)))
        x = x * rsqrt(variance + 1e-6)
        if weight.dtype.is_half:
            x = cast(x, weight.dtype)
        return x * weight


class Attention(JointProjections):
    """Attention over image tokens, and text tokens behind them."""

    def __init__(
        self, width: int, heads: int, head: int, *, normed: bool, text: bool = True, text_out: bool = True
    ) -> None:
        super().__init__(width, heads, head, text=text, text_out=text and text_out, out=True)
        self.normed = normed
        if normed:
            self.norm_q, self.norm_k = HeadNorm(head), HeadNorm(head)
        if normed and text:
            self.norm_added_q, self.norm_added_k = HeadNorm(head), HeadNorm(head)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.to_q(x), self.to_k(x), self.to_v(x)
        query, key, value = (split_heads(part, self.heads, self.head) for part in (query, key, value))
        if self.normed:
            query = self.norm_q(query)
            key = self.norm_k(key)
        return query, key, value

    def _text_parts(self, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.add_q_proj(text), self.add_k_proj(text), self.add_v_proj(text)
        query, key, value = (split_heads(part, self.heads, self.head) for part in (query, key, value))
        if self.normed:
            query = self.norm_added_q(query)
            key = self.norm_added_k(key)
        return query, key, value

    def _attended(self, query: Tensor, key: Tensor, value: Tensor, regime: Regime) -> Tensor:
        out = attend(query, key, value, None, regime, causal=False, upcast=False)
        return cast(reshape(out, out.shape[0], out.shape[1], self.heads * self.head), query.dtype)

    def forward(self, x: Tensor, text: Tensor, regime: Regime) -> tuple[Tensor, Tensor]:
        """(B, S, D) and (B, T, D) to the same; the last block's text is of no use."""
        query, key, value = self._parts(x)
        text_query, text_key, text_value = self._text_parts(text)
        query = concatenate([query, text_query], 2)
        key = concatenate([key, text_key], 2)
        value = concatenate([value, text_value], 2)
        out = self._attended(query, key, value, regime)
        image_out, text_out = some_tokens(out, x.shape[1]), some_tokens(out, text.shape[1])
        project = vars(self).get("to_add_out")
        if project is not None:
            text_out = project(text_out)
        return self.leave(image_out), text_out


class ImageAttention(Attention):
    """The second attention of Stable Diffusion 3.5's first blocks, over image tokens alone."""

    def __init__(self, width: int, heads: int, head: int, *, normed: bool) -> None:
        super().__init__(width, heads, head, normed=normed, text=False)

    def forward(self, x: Tensor, regime: Regime) -> Tensor:  # type: ignore[override]
        """(B, S, D) to (B, S, D)."""
        return self.leave(self._attended(*self._parts(x), regime))


class Block(Module):
    """Image and text tokens with weights of their own that attend to each other."""

    label = "residual stream"

    def __init__(self, config: Config, width: int, *, last: bool, dual: bool) -> None:
        heads, head = config.get("num_attention_heads"), config.get("attention_head_dim")
        normed = config.get("qk_norm") is not None
        self.last = last
        self.norm1: AdaptiveNorm = DualNorm(width) if dual else AdaptiveNorm(width, 6)
        self.norm1_context: AdaptiveNorm = LastNorm(width) if last else AdaptiveNorm(width, 6)
        self.attn = Attention(width, heads, head, normed=normed, text_out=not last)
        self.attn2 = ImageAttention(width, heads, head, normed=normed) if dual else None
        self.norm2 = BareLayerNorm()
        self.ff = FeedForward(width, "gelu-approximate")
        if not last:
            self.norm2_context = BareLayerNorm()
            self.ff_context = FeedForward(width, "gelu-approximate")

    def forward(self, x: Tensor, text: Tensor, around: Condition) -> tuple[Tensor, Tensor]:
        """(B, S, D) and (B, T, D) to the same; the last block returns the text as it came."""
        assert around.time is not None
        normed, (gate, shift, scale, gate_mlp, *second) = self.norm1(x, around.time)
        text_normed, text_rest = self._normed_text(text, around.time)
        out, text_out = self.attn(normed, text_normed, around.regime)
        out = gated(gate, out)
        x = x + out
        if self.attn2 is not None:
            out = self.attn2(second[0], around.regime)
            out = gated(second[1], out)
            x = x + out
        normed = self.norm2(x)
        normed = modulated(normed, scale, shift)
        mlp = self.ff(normed)
        mlp = gated(gate_mlp, mlp)
        x = x + mlp
        if self.last:
            return x, text
        return x, self._next_text(text, text_out, text_rest)

    def _normed_text(self, text: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        if self.last:
            return self.norm1_context(text, time), []
        return self.norm1_context(text, time)  # type: ignore[no-any-return]

    def _next_text(self, text: Tensor, out: Tensor, rest: list[Tensor]) -> Tensor:
        gate, shift, scale, gate_mlp = rest
        out = gated(gate, out)
        text = text + out
        normed = self.norm2_context(text)
        normed = modulated(normed, scale, shift)
        mlp = self.ff_context(normed)
        return text + gated(gate_mlp, mlp)


class PatchEmbedding(Module):
    """Patches, and the middle of a table of places that is no parameter."""

    label = "embedding"

    def __init__(self, config: Config, width: int) -> None:
        side = config.get("patch_size")
        self.proj = Conv2d(config.get("in_channels"), width, side, side, 0)
        self.pos_embed = FloatBuffer(1, config.get("pos_embed_max_size") ** 2, width, like=self.proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, S, D)."""
        x = as_tokens(self.proj(x))
        assert self.pos_embed.tensor is not None
        dtype = self.pos_embed.tensor.dtype
        around = x.tape.empty((1, *x.shape[1:]), dtype)
        return contiguous(cast(x + around, x.dtype))


class SD3(Denoiser):
    """Patches and text tokens through joint blocks."""

    def __init__(self, config: Config) -> None:
        width = Dim(config.get("num_attention_heads") * config.get("attention_head_dim"), "D")
        layers, dual = config.get("num_layers"), set(config.get("dual_attention_layers"))
        self.config, self.side = config, config.get("patch_size")
        self.pos_embed = PatchEmbedding(config, width)
        self.time_text_embed = TimeTextEmbedding(width, config.get("pooled_projection_dim"), guided=False)
        self.context_embedder = Linear(
            config.get("joint_attention_dim"), config.get("caption_projection_dim")
        )
        self.transformer_blocks = Streams(
            *(Block(config, width, last=index == layers - 1, dual=index in dual) for index in range(layers))
        )
        self.norm_out = LastNorm(width)
        self.proj_out = Linear(width, self.side**2 * config.get("out_channels"))

    def latents(self, sizes: Sizes) -> Shape:
        """Return the shape of an autoencoder's latents."""
        return (Dim(sizes.rows, "B"), self.config.get("in_channels"), *places(sizes))

    def conditions(self, sizes: Sizes) -> dict[str, Shape]:
        """Return encoded texts, those of CLIP and T5 behind each other, and pooled ones."""
        rows = Dim(sizes.rows, "B")
        return {
            "encoder_hidden_states": (rows, Dim(sizes.length, "T"), self.config.get("joint_attention_dim")),
            "pooled": (rows, self.config.get("pooled_projection_dim")),
        }

    def predict(self, noisy: Tensor, batch: Batch, regime: Regime) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        dtype = noisy.tape.autocast or parameter_tensor(self.pos_embed.proj.weight).dtype
        x = self.pos_embed(cast(noisy, dtype))
        time = self.time_text_embed(cast(batch["pooled"], dtype))
        text = self.context_embedder(cast(batch["encoder_hidden_states"], dtype))
        around = Condition(regime, time)
        for block in self.transformer_blocks:
            x, text = self.transformer_blocks.run(block, x, text, around)
        x = self.norm_out(x, time)
        x = self.proj_out(x)
        return copy(x)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_denoising(task)
    return SD3(config.completed(_DEFAULTS))

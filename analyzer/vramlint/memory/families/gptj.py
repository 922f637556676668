"""GPT-J and CodeGen: partly turned heads, attention beside the MLP (transformers 5.23, models/gptj, codegen)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32, DType
from vramlint.memory.families import gpt
from vramlint.memory.families.decoder import Context, Head, build_decoder, head_views
from vramlint.memory.families.gpt import attend_in_fp32, width_of
from vramlint.memory.families.layers import rotate_half
from vramlint.memory.modules import Buffer, Dropout, Linear, Module
from vramlint.memory.operators.elementwise import cast, concatenate, copy, narrow, split
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("gptj", "codegen")


class Attention(Module):
    """Multi-head attention that turns the first part of each head, on (B, T, heads, H)."""

    label = "attention"

    def __init__(self, config: Config, kind: str) -> None:  # noqa: ARG002  as its siblings
        width = width_of(config)
        self.heads = config.size("N", "n_head", "num_attention_heads")
        self.head = Dim(width // self.heads, "H")
        self.rotary = config.get("rotary_dim", 64)
        self.p = config.get("attn_pdrop", 0.0)
        self.resid_dropout = Dropout(config.get("resid_pdrop", 0.0))
        self.make_projections(width)
        positions = config.size("P", "n_positions", "max_position_embeddings", default=2048)
        self.embed_positions = Buffer(positions, self.rotary)

    def make_projections(self, width: int) -> None:
        """Make the linear layers before and behind the attention."""
        self.k_proj = Linear(width, width, bias=False)
        self.v_proj = Linear(width, width, bias=False)
        self.q_proj = Linear(width, width, bias=False)
        self.out_proj = Linear(width, width, bias=False)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, T, heads, H)."""
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        query, key = head_views(query, self.heads, self.head), head_views(key, self.heads, self.head)
        return query, key, head_views(value, self.heads, self.head)

    def angle_type(self, x: Tensor) -> DType:
        """Return the type of sines and cosines: that of the keys."""
        return x.dtype

    def turn(self, x: Tensor, dtype: DType) -> tuple[Tensor, Tensor, Tensor]:
        """Turn the first part of each head, and return it and the rest beside the whole.

        Sines and cosines are laid out anew for each use.
        """
        length = x.shape[1]
        sine, cosine = (x.tape.empty((1, length, 1, self.rotary), dtype) for _ in range(2))
        turned, passed = narrow(x, -1, self.rotary), narrow(x, -1, self.head - self.rotary)
        turned = (turned * cosine) + (rotate_half(turned) * sine)
        return concatenate([turned, passed], -1), turned, passed

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.project(x)
        value = value.transposed(1, 2)
        dtype = self.angle_type(key)
        angles = x.tape.empty((1, x.shape[1], self.rotary), dtype)
        key, *key_parts = self.turn(key, dtype)
        query, *query_parts = self.turn(query, dtype)
        key, query = key.transposed(1, 2), query.transposed(1, 2)
        if context.cache is not None:
            key, value = context.cache.update(self.cached(key, x), value)
        out = attend_in_fp32(query, key, value, context, p=self.p)
        del angles, key_parts, query_parts  # the function's variables live to its end
        out = self.out_proj(out)
        return self.resid_dropout(out)  # type: ignore[no-any-return]

    def cached(self, key: Tensor, x: Tensor) -> Tensor:  # noqa: ARG002  as its siblings
        """Return the keys as they go to the cache."""
        return key


class FusedAttention(Attention):
    """CodeGen's attention: one projection in four parts, copied apart; angles in fp32."""

    def make_projections(self, width: int) -> None:
        """Make the linear layers before and behind the attention."""
        self.qkv_proj = Linear(width, Dim(3 * width, "3D"), bias=False)
        self.out_proj = Linear(width, width, bias=False)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, T, heads, H)."""
        qkv = self.qkv_proj(x)
        width = qkv.shape[-1] // 3
        query, value, key = split(qkv, (width, width, width))
        query, key, value = copy(query), copy(key), copy(value)
        query, key = head_views(query, self.heads, self.head), head_views(key, self.heads, self.head)
        return query, key, head_views(value, self.heads, self.head)

    def angle_type(self, x: Tensor) -> DType:  # noqa: ARG002  as its siblings
        """Return the type of sines and cosines."""
        return FLOAT32

    def cached(self, key: Tensor, x: Tensor) -> Tensor:
        """Return the keys as they go to the cache."""
        return cast(key, x.dtype)


class MLP(gpt.MLP):
    """Two linear layers."""

    names = ("fc_in", "fc_out")

    def __init__(self, config: Config) -> None:
        super().__init__(config, "gelu_new")


class Block(gpt.ParallelBlock):
    """GPT-J's block."""

    attention = Attention
    feed_forward = MLP


class FusedBlock(Block):
    """CodeGen's block."""

    attention = FusedAttention


class Decoder(gpt.Decoder):
    """GPT-J's decoder."""

    block = Block
    positions = False


class FusedDecoder(Decoder):
    """CodeGen's decoder."""

    block = FusedBlock


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    body = FusedDecoder if config.get("model_type") == "codegen" else Decoder
    return build_decoder(config, task, body, Head(bias=True), prefix="transformer")

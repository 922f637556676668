"""Qwen2-VL and Qwen2.5-VL (transformers 5.23, models/qwen2_vl, qwen2_5_vl)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.convolutional import Sequential
from vramlint.memory.dtypes import FLOAT32, INT64
from vramlint.memory.families.base import Batch, Config, InputSpec, Model, Regime, Sizes
from vramlint.memory.families.dual_encoder import part_of
from vramlint.memory.families.layers import Rotary, attend, rotate_half
from vramlint.memory.families.vision_language import (
    Body,
    VisionLanguageModel,
    language_model,
    require_text,
)
from vramlint.memory.families.vision_transformer import MLP
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, RMSNorm, Stack, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.convolution import convolution
from vramlint.memory.operators.elementwise import cast, concatenate, reshape, split, unary
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.decoder import CausalLM

MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl")

_QWEN2 = {
    "embed_dim": 1280,
    "hidden_size": 3584,
    "depth": 32,
    "num_heads": 16,
    "mlp_ratio": 4,
    "hidden_act": "quick_gelu",
}
_QWEN2_5 = {
    "hidden_size": 3584,
    "out_hidden_size": 3584,
    "intermediate_size": 3420,
    "depth": 32,
    "num_heads": 16,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "hidden_act": "silu",
}
_PATCH, _FRAMES, _MERGE = 14, 2, 2
FULL, WINDOW = "full", "window"


class PatchEmbed(Module):
    """A convolution over patches of two frames, which are given one by one."""

    def __init__(self, channels: int, width: int, patch: int, frames: int) -> None:
        self.proj = Projection(channels, width, patch, frames)

    def forward(self, patches: Tensor) -> Tensor:
        """(n, pixels of a patch) to (n, D)."""
        return self.proj(patches)  # type: ignore[no-any-return]


class Projection(Module):
    """`nn.Conv3d` whose kernel is a whole patch."""

    label = "embedding"

    def __init__(self, channels: int, width: int, patch: int, frames: int) -> None:
        self.weight = Parameter(width, channels, frames, patch, patch)

    def forward(self, patches: Tensor) -> Tensor:
        """(n, pixels of a patch) to (n, D)."""
        count, shape = patches.shape[0], self.weight.shape
        x = patches.view(count, *shape[1:])
        ones = (1, 1, 1)
        out = convolution(x, parameter_tensor(self.weight), None, shape[2:], (0, 0, 0), ones)
        return out.view(count, shape[0])


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Apply rotary embeddings in fp32."""
    wide = cast(x, FLOAT32)
    return cast((wide * cosine) + (rotate_half(wide) * sine), x.dtype)


class Attention(Module):
    """Attention inside each image, or inside each window of it."""

    label = "attention"

    def __init__(self, width: int, heads: int) -> None:
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor, positions: tuple[Tensor, Tensor], parts: int, regime: Regime) -> Tensor:
        """(n, D) to (n, D); tokens attend to those of their own of `parts` equal parts."""
        count, width = x.shape
        size = Dim(width // self.heads, "H")
        packed = self.qkv(x).view(3, count, self.heads, size)
        query, key, value = (part.view(count, self.heads, size) for part in split(packed, (1, 1, 1), 0))
        query, key = _rotated(query, *positions), _rotated(key, *positions)
        shape = (parts, self.heads, count // parts, size)
        query, key, value = query.view(*shape), key.view(*shape), value.view(*shape)
        out = attend(query, key, value, None, regime, causal=False)
        out = concatenate([reshape(out, count, width)], 0)
        return self.proj(out)  # type: ignore[no-any-return]


class GatedMLP(Module):
    """`down(silu(gate(x)) * up(x))`, with biases."""

    label = "mlp"

    def __init__(self, width: int, inner: int, act: str) -> None:
        self.gate_proj = Linear(width, inner)
        self.up_proj = Linear(width, inner)
        self.down_proj = Linear(inner, width)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(n, D) to (n, D)."""
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class Block(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, tower: TowerShape, kind: str) -> None:
        self.kind = kind
        self.norm1 = tower.norm(tower.width)
        self.norm2 = tower.norm(tower.width)
        self.attn = Attention(tower.width, tower.heads)
        self.mlp = tower.mlp(tower.width, tower.inner, tower.act)

    def forward(
        self, x: Tensor, positions: tuple[Tensor, Tensor], parts: dict[str, int], regime: Regime
    ) -> Tensor:
        """(n, D) to (n, D)."""
        x = x + self.attn(self.norm1(x), positions, parts[self.kind], regime)
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class TowerShape:
    """What the two versions differ in: the names of sizes, norm and MLP, and windows."""

    def __init__(self, config: Config, *, second: bool) -> None:
        self.width = config.size("C", "hidden_size" if second else "embed_dim")
        self.out = config.size("D", "out_hidden_size" if second else "hidden_size")
        self.heads = config.size("N", "num_heads")
        self.inner = (
            config.size("F", "intermediate_size")
            if second
            else Dim(self.width * config.get("mlp_ratio"), "F")
        )
        self.act = str(config.get("hidden_act"))
        self.norm: type[Any] = RMSNorm if second else LayerNorm
        self.mlp: type[Any] = GatedMLP if second else MLP
        self.depth = config.size("L", "depth")
        self.full = tuple(config.get("fullatt_block_indexes")) if second else None
        self.window = config.get("window_size") // config.get("patch_size", _PATCH) if second else None

    def kinds(self) -> list[str]:
        """Return for each block whether it sees all of an image."""
        return [FULL if self.full is None or index in self.full else WINDOW for index in range(self.depth)]


class Merger(Module):
    """Four neighbours become one feature of the decoder's width."""

    label = "projector"

    def __init__(self, tower: TowerShape) -> None:
        self.width = _MERGE**2 * tower.width
        self.ln_q = tower.norm(tower.width)
        self.mlp = Sequential(Linear(self.width, self.width), Linear(self.width, tower.out), names=["0", "2"])

    def forward(self, x: Tensor) -> Tensor:
        """(n, C) to (n/4, D)."""
        x = self.ln_q(x)
        x = self.mlp.parts["0"](x.view(x.shape[0] // _MERGE**2, self.width))
        x = unary(x)
        return self.mlp.parts["2"](x)  # type: ignore[no-any-return]


class Tower(Module):
    """Patches of all images in one row, blocks, and the merger."""

    def __init__(self, config: Config, *, second: bool) -> None:
        self.shape = tower = TowerShape(config, second=second)
        patch, frames = config.get("patch_size", _PATCH), config.get("temporal_patch_size", _FRAMES)
        self.patch_embed = PatchEmbed(config.get("in_channels", 3), tower.width, patch, frames)
        self.rotary_pos_emb = Rotary(tower.width // tower.heads // 2)
        kinds = tower.kinds()
        self.blocks = Stack(len(kinds), lambda index: Block(tower, kinds[index]), kinds)
        self.merger = Merger(tower)

    def forward(self, patches: Tensor, images: int, regime: Regime) -> tuple[Tensor, Tensor]:
        """(n, pixels of a patch) to states (n, C) and features (n/4, D)."""
        tape, tower = patches.tape, self.shape
        hidden = self.patch_embed(patches)
        count = hidden.shape[0]
        if tower.window is not None:
            hidden = self._reordered(hidden)
        angles = (count, 1, tower.width // tower.heads)
        positions = (tape.empty(angles, FLOAT32), tape.empty(angles, FLOAT32))
        windows = max(count // tower.window**2, images) if tower.window is not None else images
        hidden = self.blocks(hidden, positions, {FULL: images, WINDOW: windows}, regime)
        merged = self.merger(hidden)
        return hidden, merged if tower.window is None else self._reordered(merged)

    def _reordered(self, x: Tensor) -> Tensor:
        order = x.tape.empty((x.shape[0] // _MERGE**2,), INT64)
        return take_rows(x, (order,), *x.shape)


class QwenBody(Body):
    """The tower's features in the places of the images."""

    def __init__(self, config: Config, language: CausalLM, *, second: bool) -> None:
        super().__init__(language)
        self.visual = Tower(config, second=second)

    def features(self, batch: Batch, regime: Regime) -> tuple[Tensor, list[Tensor]]:
        """Return the features of all images, one after the other."""
        images = batch["input_ids"].shape[0]
        hidden, merged = self.visual(batch["pixel_values"], images, regime)
        each = split(merged, (merged.shape[0] // images,) * images, 0)
        return concatenate(each, 0), [hidden]


class QwenVL(VisionLanguageModel):
    """Qwen2-VL with one image in each row."""

    def __init__(self, vision: Config, language: CausalLM, *, second: bool) -> None:
        super().__init__(QwenBody(vision, language, second=second), language)
        self.patch = vision.get("patch_size", _PATCH)
        self.pixels = 3 * vision.get("temporal_patch_size", _FRAMES) * self.patch**2

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids that hold the places of the images, and the patches of all images."""
        rows = Dim(sizes.rows, "B")
        whole = _MERGE * self.patch
        down, across = (max(round(side / whole), 1) * _MERGE for side in sizes.image)
        patches = (Dim(rows * down * across, "patches"), self.pixels)
        return (
            InputSpec(("input_ids", "labels"), (rows, Dim(sizes.length, "T"))),
            InputSpec(("pixel_values",), patches, sizes.dtype),
        )


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_text(task)
    second = config.get("model_type") == "qwen2_5_vl"
    vision = part_of(config, "vision_config", _QWEN2_5 if second else _QWEN2)
    text = part_of(config, "text_config", {})
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", default=False))
    qwen2 = Config({**text.values, "model_type": "qwen2", "tie_word_embeddings": tied})
    return QwenVL(vision, language_model(qwen2), second=second)

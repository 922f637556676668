"""timm's ViT and DeiT, whose names say their shape (timm 1.0.31, models/vision_transformer.py, deit.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vramlint.memory.convolutional import Conv2d, Sequential
from vramlint.memory.families.vision_heads import (
    ImageClassifier,
    classes_of,
    image_size_of,
    require_classification,
)
from vramlint.memory.families.vision_transformer import MLP, as_tokens, first_place
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.attention import sdpa
from vramlint.memory.operators.elementwise import concatenate, contiguous, expand, reshape, split
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = (
    "timm/deit3_base_patch16_224",
    "timm/deit3_base_patch16_384",
    "timm/deit3_huge_patch14_224",
    "timm/deit3_large_patch16_224",
    "timm/deit3_large_patch16_384",
    "timm/deit3_medium_patch16_224",
    "timm/deit3_small_patch16_224",
    "timm/deit3_small_patch16_384",
    "timm/deit_base_distilled_patch16_224",
    "timm/deit_base_distilled_patch16_384",
    "timm/deit_base_patch16_224",
    "timm/deit_base_patch16_384",
    "timm/deit_small_distilled_patch16_224",
    "timm/deit_small_patch16_224",
    "timm/deit_tiny_distilled_patch16_224",
    "timm/deit_tiny_patch16_224",
    "timm/vit_base_patch14_dinov2",
    "timm/vit_base_patch14_reg4_dinov2",
    "timm/vit_base_patch16_224",
    "timm/vit_base_patch16_384",
    "timm/vit_base_patch16_clip_224",
    "timm/vit_base_patch16_clip_384",
    "timm/vit_base_patch16_gap_224",
    "timm/vit_base_patch16_plus_240",
    "timm/vit_base_patch16_siglip_gap_224",
    "timm/vit_base_patch16_siglip_gap_256",
    "timm/vit_base_patch16_siglip_gap_384",
    "timm/vit_base_patch16_siglip_gap_512",
    "timm/vit_base_patch32_224",
    "timm/vit_base_patch32_384",
    "timm/vit_base_patch32_clip_224",
    "timm/vit_base_patch32_clip_384",
    "timm/vit_base_patch32_clip_448",
    "timm/vit_base_patch32_plus_256",
    "timm/vit_base_patch32_siglip_gap_256",
    "timm/vit_base_patch8_224",
    "timm/vit_betwixt_patch16_gap_256",
    "timm/vit_giant_patch14_224",
    "timm/vit_giantopt_patch16_siglip_gap_256",
    "timm/vit_giantopt_patch16_siglip_gap_384",
    "timm/vit_gigantic_patch14_224",
    "timm/vit_huge_patch14_clip_224",
    "timm/vit_huge_patch14_clip_336",
    "timm/vit_large_patch14_224",
    "timm/vit_large_patch14_clip_224",
    "timm/vit_large_patch14_clip_336",
    "timm/vit_large_patch14_dinov2",
    "timm/vit_large_patch14_reg4_dinov2",
    "timm/vit_large_patch16_224",
    "timm/vit_large_patch16_384",
    "timm/vit_large_patch16_siglip_gap_256",
    "timm/vit_large_patch16_siglip_gap_384",
    "timm/vit_large_patch16_siglip_gap_512",
    "timm/vit_large_patch32_384",
    "timm/vit_medium_patch16_gap_256",
    "timm/vit_medium_patch16_gap_384",
    "timm/vit_small_patch14_dinov2",
    "timm/vit_small_patch14_reg4_dinov2",
    "timm/vit_small_patch16_224",
    "timm/vit_small_patch16_384",
    "timm/vit_small_patch32_224",
    "timm/vit_small_patch32_384",
    "timm/vit_so400m_patch14_siglip_gap_224",
    "timm/vit_so400m_patch14_siglip_gap_378",
    "timm/vit_so400m_patch14_siglip_gap_384",
    "timm/vit_so400m_patch14_siglip_gap_448",
    "timm/vit_so400m_patch14_siglip_gap_896",
    "timm/vit_so400m_patch16_siglip_gap_256",
    "timm/vit_so400m_patch16_siglip_gap_384",
    "timm/vit_so400m_patch16_siglip_gap_512",
    "timm/vit_tiny_patch16_224",
    "timm/vit_tiny_patch16_384",
)


class Size(NamedTuple):
    """Width, layers, heads, and the MLP's width as a multiple."""

    width: int
    layers: int
    heads: int
    ratio: float = 4.0


_SIZES = {
    "xsmall": Size(256, 10, 4),
    "tiny": Size(192, 12, 3),
    "small": Size(384, 12, 6),
    "medium": Size(512, 12, 8),
    "betwixt": Size(640, 12, 10),
    "base": Size(768, 12, 12),
    "base_plus": Size(896, 12, 14),
    "large": Size(1024, 24, 16),
    "huge": Size(1280, 32, 16),
    "giant": Size(1408, 40, 16, 48 / 11),
    "gigantic": Size(1664, 48, 16, 64 / 13),
    "so400m": Size(1152, 27, 16, 3.7362),
    "giantopt": Size(1536, 40, 16),
}
_NAME = re.compile(
    r"(?P<kind>vit|deit3|deit)_(?P<size>[a-z0-9]+?)(?P<distilled>_distilled)?_patch(?P<patch>\d+)"
    r"(?P<plus>_plus)?(?P<variant>(?:_[a-z]+\d?)*?)(?:_(?P<image>\d+))?"
)
_DINO_IMAGE = 518


@dataclass(frozen=True, slots=True)
class Shape:
    """What a name says."""

    size: Size
    patch: int
    image: int
    before: tuple[str, ...]  # the learned tokens before the patches
    placed: bool = True  # whether those tokens have positions
    pre_norm: bool = False
    scaled: bool = False
    averaged: bool = False
    qkv_bias: bool = True
    heads: tuple[str, ...] = ("head",)
    act: str = "gelu"


def shape_of(name: str) -> Shape | None:  # noqa: PLR0911  one line for each kind of name
    """Return the shape that a name says, or None for a name of another kind."""
    found = _NAME.fullmatch(name)
    size = _SIZES.get(found["size"] + (found["plus"] or "")) if found else None
    if found is None or size is None:
        return None
    image, patch, variant = int(found["image"] or _DINO_IMAGE), int(found["patch"]), found["variant"]
    if found["kind"] == "deit3":
        return Shape(size, patch, image, ("cls_token",), placed=False, scaled=True)
    if found["distilled"]:
        return Shape(size, patch, image, ("cls_token", "dist_token"), heads=("head", "head_dist"))
    match variant:
        case "":
            return Shape(size, patch, image, ("cls_token",), scaled=bool(found["plus"]))
        case "_clip" | "_clip_quickgelu":
            act = "quick_gelu" if variant.endswith("quickgelu") else "gelu"
            return Shape(size, patch, image, ("cls_token",), pre_norm=True, act=act)
        case "_dinov2":
            return Shape(size, patch, image, ("cls_token",), scaled=True, heads=())
        case "_reg4_dinov2":
            return Shape(size, patch, image, ("cls_token", "reg_token"), placed=False, scaled=True, heads=())
        case "_gap" | "_siglip_gap":
            heads = () if "siglip" in variant else ("head",)
            scaled = "siglip" not in variant and found["size"] in {"medium", "betwixt"}
            return Shape(
                size, patch, image, (), averaged=True, heads=heads, scaled=scaled, qkv_bias=not scaled
            )
    return None


class Attention(Module):
    """Multi-head attention with one projection for query, key and value."""

    label = "attention"

    def __init__(self, size: Size, *, bias: bool) -> None:
        self.heads = size.heads
        self.qkv = Linear(size.width, 3 * size.width, bias=bias)
        self.proj = Linear(size.width, size.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        rows, length, width = x.shape
        packed = self.qkv(x)
        packed = packed.view(3, rows, self.heads, length, width // self.heads)
        query, key, value = split(packed, (1, 1, 1), 0)
        shape = (rows, self.heads, length, Dim(width // self.heads, "H"))
        query, key, value = query.view(*shape), key.view(*shape), value.view(*shape)
        out = sdpa(query, key, value)
        out = contiguous(out.transposed(1, 2))
        return self.proj(reshape(out, rows, length, width))  # type: ignore[no-any-return]


class LayerScale(Module):
    """A learned factor per feature."""

    def __init__(self, width: int) -> None:
        self.gamma = Parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the features."""
        return x * parameter_tensor(self.gamma)


class Block(Module):
    """Pre-norm attention and MLP, each with a residual, perhaps scaled."""

    label = "residual stream"

    def __init__(self, shape: Shape) -> None:
        size = shape.size
        self.norm1 = LayerNorm(size.width)
        self.attn = Attention(size, bias=shape.qkv_bias)
        self.norm2 = LayerNorm(size.width)
        self.mlp = MLP(size.width, int(size.width * size.ratio), shape.act)
        self.ls1 = LayerScale(size.width) if shape.scaled else None
        self.ls2 = LayerScale(size.width) if shape.scaled else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = x + _scaled(self.ls1, self.attn(self.norm1(x)))
        return x + _scaled(self.ls2, self.mlp(self.norm2(x)))


def _scaled(scale: LayerScale | None, x: Tensor) -> Tensor:
    return x if scale is None else scale(x)


class PatchEmbed(Module):
    """A convolution that turns each patch into a token."""

    def __init__(self, shape: Shape) -> None:
        self.proj = Conv2d(3, shape.size.width, shape.patch, shape.patch, 0, bias=not shape.pre_norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        return as_tokens(self.proj(x))


class VisionTransformer(ImageClassifier):
    """Patches and learned tokens with positions, blocks, and a linear head on the first token or the mean."""

    def __init__(self, shape: Shape, image: tuple[int, int], classes: int) -> None:
        width, places = shape.size.width, (image[0] // shape.patch) * (image[1] // shape.patch)
        self.shape = shape
        for name in shape.before:
            setattr(self, name, Parameter(1, 4 if name == "reg_token" else 1, width))
        self.pos_embed = Parameter(1, places + (len(shape.before) if shape.placed else 0), width)
        self.patch_embed = PatchEmbed(shape)
        if shape.pre_norm:
            self.norm_pre = LayerNorm(width)
        self.blocks = Sequential(*(Block(shape) for _ in range(shape.size.layers)))
        self.norm = LayerNorm(width)
        for name in shape.heads:
            setattr(self, name, Linear(width, classes))

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self.patch_embed(images)
        x = self._placed(x)
        if self.shape.pre_norm:
            x = self.norm_pre(x)
        x = self.blocks(x)
        x = self.norm(x)
        tokens = [self._pooled(x) for _ in self.shape.heads or ("",)]
        outs = [getattr(self, name)(token) for name, token in zip(self.shape.heads, tokens, strict=False)]
        if not outs:
            return tokens[0]
        return outs[0] if len(outs) == 1 else (outs[0] + outs[1]) * 0.5  # type: ignore[no-any-return]

    def _placed(self, x: Tensor) -> Tensor:
        positions = parameter_tensor(self.pos_embed)
        rows, _, width = x.shape
        if not self.shape.placed:
            x = x + positions
        first = [parameter_tensor(getattr(self, name)) for name in self.shape.before]
        if first:
            x = concatenate([*(expand(token, rows, token.shape[1], width) for token in first), x], 1)
        return x + positions if self.shape.placed else x

    def _pooled(self, x: Tensor) -> Tensor:
        return mean_over(x, 1) if self.shape.averaged else first_place(x)


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    shape = shape_of(config.get("name"))
    assert shape is not None, "every name of this file says its shape"
    return VisionTransformer(shape, image_size_of(config, shape.image), classes_of(config))

"""diffusers' U-Nets: `UNet2DModel` and `UNet2DConditionModel` (Stable Diffusion 1, 2, XL).

Source: diffusers 0.42, models/unets/{unet_2d,unet_2d_condition}.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.convolutional import Conv2d, GroupNorm, ModuleList
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.denoiser import (
    CLIP_TOKENS,
    Condition,
    Denoiser,
    TimestepEmbedding,
    places,
    require_denoising,
    sinusoidal,
)
from vramlint.memory.families.unet_blocks import DownBlock, Level, MidBlock, UpBlock, per_level, widths_of
from vramlint.memory.modules import Embedding, Linear, Module, parameter_tensor
from vramlint.memory.operators.activations import silu
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.tape import Dim, Shape, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Batch, Config, Model, Regime, Sizes

MODEL_TYPES = ("UNet2DModel", "UNet2DConditionModel")

TEXT_DEFAULTS: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": (
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    ),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "cross_attention_dim": 1280,
    "transformer_layers_per_block": 1,
    "attention_head_dim": 8,
}
_IMAGE_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (224, 448, 672, 896),
    "layers_per_block": 2,
    "norm_num_groups": 32,
}
_IMAGE_HEAD = 8  # UNet2DModel's attention_head_dim; null means one head of the level's width

# Kinds of blocks by what they attend to: nothing, the image alone, or the text too.
_KINDS = {
    "DownBlock2D": None,
    "UpBlock2D": None,
    "AttnDownBlock2D": "image",
    "AttnUpBlock2D": "image",
    "UNetMidBlock2D": "image",
    "CrossAttnDownBlock2D": "text",
    "CrossAttnUpBlock2D": "text",
    "UNetMidBlock2DCrossAttn": "text",
}


def kind_of(block: str) -> str | None:
    """Return what a block attends to.

    Raises:
        CannotEstimate: for a kind of block that is not walked.
    """
    if block not in _KINDS:
        raise CannotEstimate(f"blocks of type {block!r} are not walked yet; these are: {', '.join(_KINDS)}")
    return _KINDS[block]


class Levels:
    """The levels of a U-Net's config, from the widest map to the narrowest."""

    def __init__(self, config: Config, time: int) -> None:
        self.config, self.time = config, time
        self.widths = widths_of(config)
        count = len(self.widths)
        self.depths = per_level(config.get("layers_per_block"), count)
        self.sources = per_level(config.get("cross_attention_dim", 0), count)
        self.layers = per_level(config.get("transformer_layers_per_block", 1), count)
        heads = config.values.get("attention_head_dim", _IMAGE_HEAD)
        self.heads = [None] * count if heads is None else per_level(heads, count)

    def level(self, index: int, block: str, inputs: int, depth: int, *, resizes: bool) -> Level:
        """Return the level at `index` with blocks of this type."""
        kind, width, given = kind_of(block), self.widths[index], self.heads[index]
        heads = None
        if kind == "image":
            heads = width // (given or width)
        elif kind == "text":
            heads = given  # diffusers' `attention_head_dim` has always been the number of heads here
        return Level(
            inputs=inputs,
            width=width,
            depth=depth,
            time=self.time,
            groups=self.config.get("norm_num_groups"),
            heads=heads,
            source=self.sources[index] if kind == "text" else None,
            layers=self.layers[index] if kind == "text" else 0,
            linear=bool(self.config.get("use_linear_projection", default=False)),
            dropout=self.config.get("dropout", 0.0),
            scale_shift=self.config.get("resnet_time_scale_shift", "default") == "scale_shift",
            resizes=resizes,
        )

    def down(self) -> ModuleList:
        """Return the blocks on the way down."""
        last = len(self.widths) - 1
        return ModuleList(
            *(
                DownBlock(
                    self.level(
                        index, block, self.widths[max(index - 1, 0)], self.depths[index], resizes=index < last
                    )
                )
                for index, block in enumerate(self.config.get("down_block_types"))
            )
        )

    def mid(self) -> MidBlock:
        """Return the block in the middle."""
        last = len(self.widths) - 1
        block = self.config.get("mid_block_type")
        has_attention = self.config.get("add_attention", default=True)
        return MidBlock(
            self.level(last, block, self.widths[last], 1, resizes=False), has_attention=has_attention
        )

    def up(self) -> ModuleList:
        """Return the blocks on the way up."""
        last = len(self.widths) - 1
        blocks = []
        for step, block in enumerate(self.config.get("up_block_types")):
            index = last - step
            below = self.widths[min(index + 1, last)]
            level = self.level(
                index, block, self.widths[max(index - 1, 0)], self.depths[index] + 1, resizes=step < last
            )
            blocks.append(UpBlock(level, below))
        return ModuleList(*blocks)


class UNet(Denoiser):
    """Down, through the middle, and up again."""

    reads_text = False

    def __init__(self, config: Config) -> None:
        self.config = config
        widths = widths_of(config)
        time = Dim(config.get("time_embedding_dim", 4 * widths[0]), "E")
        self.conv_in = Conv2d(config.get("in_channels"), widths[0], 3)
        self.time_embedding = TimestepEmbedding(widths[0], time)
        self.class_embedding = _class_embedding(config, time)
        self._extend(time)
        levels = Levels(config, time)
        self.down_blocks = levels.down()
        self.mid_block = levels.mid()
        self.up_blocks = levels.up()
        self.conv_norm_out = GroupNorm(config.get("norm_num_groups"), widths[0])
        self.conv_out = Conv2d(widths[0], config.get("out_channels"), 3)

    def _extend(self, time: int) -> None:
        """Add what conditions the network beside time."""

    def latents(self, sizes: Sizes) -> Shape:
        """Return the images' own shape: this network has no autoencoder before it."""
        height, width = sizes.image
        return (Dim(sizes.rows, "B"), self.config.get("in_channels"), Dim(height, "H"), Dim(width, "W"))

    def embedded_time(self, noisy: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002  conditioned ones need the batch
        """Return the embedding of time and whatever is added to it: (B, E)."""
        weight = parameter_tensor(self.time_embedding.linear_1.weight)
        return self.time_embedding(sinusoidal(noisy.shape[0], weight.shape[1], noisy, weight.dtype))  # type: ignore[no-any-return]

    def encoded_text(self, batch: Batch) -> Tensor | None:
        """Return what the blocks attend to beside the image."""
        return batch.get("encoder_hidden_states")

    def predict(self, noisy: Tensor, batch: Batch, regime: Regime) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        dtype = noisy.tape.autocast or parameter_tensor(self.conv_in.weight).dtype
        around = Condition(regime, self.embedded_time(noisy, batch), self.encoded_text(batch))
        x = self.conv_in(cast(noisy, dtype))
        passed = [x]
        for block in self.down_blocks:
            x, outputs = block(x, around)
            passed += outputs
        del outputs
        x = self.mid_block(x, around)
        for block in self.up_blocks:
            assert isinstance(block, UpBlock)
            count = len(block.resnets.parts)
            taken, passed = (
                passed[-count:],
                passed[:-count],
            )  # held by the loop's variable while the block runs
            x = block(x, list(taken), (passed or taken)[-1].shape[2:], around)
        return self._out(x)

    def _out(self, x: Tensor) -> Tensor:
        x = self.conv_norm_out(x)
        x = silu(x)
        return self.conv_out(x)  # type: ignore[no-any-return]


def _class_embedding(config: Config, time: int) -> Module | None:
    kind, classes = config.get("class_embed_type"), config.get("num_class_embeds")
    if kind is None and classes is not None:
        return Embedding(classes, time)
    if kind is not None:
        raise CannotEstimate(f"class embeddings of type {kind!r} are not walked yet")
    return None


class TextUNet(UNet):
    """A U-Net that attends to encoded text."""

    def _extend(self, time: int) -> None:
        config, self.time = self.config, time
        kind, hidden = config.get("addition_embed_type"), config.get("encoder_hid_dim")
        if kind not in {None, "text_time"}:
            raise CannotEstimate(f"additional embeddings of type {kind!r} are not walked yet")
        if config.get("encoder_hid_dim_type", "text_proj" if hidden else None) not in {None, "text_proj"}:
            raise CannotEstimate("encoded images as a condition are not walked yet")
        self.encoder_hid_proj = Linear(hidden, config.get("cross_attention_dim")) if hidden else None
        self.additions = config.get("projection_class_embeddings_input_dim", 0) if kind else 0
        self.add_embedding = TimestepEmbedding(self.additions, time) if kind else None

    def latents(self, sizes: Sizes) -> Shape:
        """Return the shape of an autoencoder's latents."""
        return (Dim(sizes.rows, "B"), self.config.get("in_channels"), *places(sizes))

    def conditions(self, sizes: Sizes) -> dict[str, Shape]:
        """Return encoded texts, and pooled ones with sizes where the network wants those."""
        rows, tokens = Dim(sizes.rows, "B"), Dim(min(sizes.length, CLIP_TOKENS), "T")
        width = self.config.get("encoder_hid_dim") or max(
            per_level(self.config.get("cross_attention_dim"), 1)
        )
        found: dict[str, Shape] = {"encoder_hidden_states": (rows, tokens, Dim(width, "X"))}
        if self.additions:
            found["additions"] = (rows, self.additions)
        return found

    def embedded_time(self, noisy: Tensor, batch: Batch) -> Tensor:
        """Return the embedding of time, with those of pooled text and sizes."""
        time = super().embedded_time(noisy, batch)
        if self.add_embedding is None:
            return time
        more = self.add_embedding(cast(batch["additions"], time.dtype))
        return time + more  # type: ignore[no-any-return]

    def encoded_text(self, batch: Batch) -> Tensor | None:
        """Return the encoded text in the width of the attention."""
        text = batch["encoder_hidden_states"]
        weight_dtype = text.tape.autocast or parameter_tensor(self.conv_in.weight).dtype
        text = cast(text, weight_dtype)
        return text if self.encoder_hid_proj is None else self.encoder_hid_proj(text)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_denoising(task)
    if config.get("_class_name", "UNet2DConditionModel") == "UNet2DModel":
        return UNet(config.completed(_IMAGE_DEFAULTS))
    return TextUNet(config.completed(TEXT_DEFAULTS))

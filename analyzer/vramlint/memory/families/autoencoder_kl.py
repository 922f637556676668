"""The autoencoder of latent diffusion: `AutoencoderKL` (diffusers 0.42, models/autoencoders/autoencoder_kl.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.convolutional import Conv2d, GroupNorm, ModuleList
from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.base import Batch, Config, InputSpec, Model, Output, Regime, Sizes
from vramlint.memory.families.denoiser import Condition
from vramlint.memory.families.unet_blocks import DownBlock, Level, MidBlock, Upsample, widths_of
from vramlint.memory.families.vision_heads import image_inputs
from vramlint.memory.modules import Module, parameter_tensor
from vramlint.memory.operators.activations import silu
from vramlint.memory.operators.elementwise import cast, split, unary

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("AutoencoderKL",)

_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",),
    "up_block_types": ("UpDecoderBlock2D",),
    "block_out_channels": (64,),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
}


def _level(
    config: Config, inputs: int, width: int, depth: int, *, resizes: bool, attends: bool = False
) -> Level:
    return Level(
        inputs=inputs,
        width=width,
        depth=depth,
        time=None,
        groups=config.get("norm_num_groups"),
        heads=1 if attends else None,
        resizes=resizes,
        keeps_border=True,
    )


def _mid(config: Config, width: int) -> MidBlock:
    attends = config.get("mid_block_add_attention", default=True)
    return MidBlock(_level(config, width, width, 1, resizes=False, attends=attends))


class Encoder(Module):
    """Down to an eighth of the sides, for four levels."""

    label = "autoencoder"

    def __init__(self, config: Config) -> None:
        widths, depth = widths_of(config), config.get("layers_per_block")
        last = len(widths) - 1
        self.conv_in = Conv2d(config.get("in_channels"), widths[0], 3)
        self.down_blocks = ModuleList(
            *(
                DownBlock(_level(config, widths[max(index - 1, 0)], width, depth, resizes=index < last))
                for index, width in enumerate(widths)
            )
        )
        self.mid_block = _mid(config, widths[-1])
        self.conv_norm_out = GroupNorm(config.get("norm_num_groups"), widths[-1])
        self.conv_out = Conv2d(widths[-1], 2 * config.get("latent_channels"), 3)

    def forward(self, x: Tensor, around: Condition) -> Tensor:
        """(B, 3, H, W) to (B, 2·C, H/8, W/8)."""
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = _without_outputs(block, x)
        x = self.mid_block(x, around)
        x = self.conv_norm_out(x)
        x = silu(x)
        return self.conv_out(x)  # type: ignore[no-any-return]


def _without_outputs(block: Module, x: Tensor) -> Tensor:
    """Run a block on the way down as an encoder does, which keeps nothing for a way up."""
    assert isinstance(block, DownBlock)
    for index in range(len(block.resnets.parts)):
        x = block.resnets.run(index, x, None)
    return block.downsamplers.parts["0"](x) if block.downsamplers is not None else x


class Decoder(Module):
    """Up again; training of a denoiser does not run it."""

    def __init__(self, config: Config) -> None:
        widths, depth = list(reversed(widths_of(config))), config.get("layers_per_block") + 1
        last = len(widths) - 1
        self.conv_in = Conv2d(config.get("latent_channels"), widths[0], 3)
        self.mid_block = _mid(config, widths[0])
        self.up_blocks = ModuleList(
            *(
                DecoderBlock(_level(config, widths[max(index - 1, 0)], width, depth, resizes=index < last))
                for index, width in enumerate(widths)
            )
        )
        self.conv_norm_out = GroupNorm(config.get("norm_num_groups"), widths[-1])
        self.conv_out = Conv2d(widths[-1], config.get("out_channels"), 3)


class DecoderBlock(Module):
    """Residual blocks and an enlargement, with nothing from a way down."""

    def __init__(self, level: Level) -> None:
        self.resnets = DownBlock(level).resnets
        self.upsamplers = ModuleList(Upsample(level.width)) if level.resizes else None


class AutoencoderKL(Model):
    """Encoder and decoder; as a companion of a denoiser it encodes each batch of images."""

    label = "autoencoder"

    def __init__(self, config: Config) -> None:
        channels = config.get("latent_channels")
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = self.post_quant_conv = None
        if config.get("use_quant_conv", default=True):
            self.quant_conv = Conv2d(2 * channels, 2 * channels)
        if config.get("use_post_quant_conv", default=True):
            self.post_quant_conv = Conv2d(channels, channels)

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return images as a data loader hands them out."""
        (images, *_) = image_inputs(sizes)
        return (InputSpec(images.names, images.shape, FLOAT32),)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Encode the images, and draw latents from the distribution."""
        pixels = batch["pixel_values"]
        pixels = cast(pixels, parameter_tensor(self.encoder.conv_in.weight).dtype)
        x = self.encoder(pixels, Condition(regime, None))
        if self.quant_conv is not None:
            x = self.quant_conv(x)
        mean, logarithm = split(x, [x.shape[1] // 2] * 2, 1)
        deviation, variance = unary(logarithm), unary(logarithm)
        latents = mean + deviation * unary(mean)
        del deviation, variance
        return Output(None, None, [latents])


def build(config: Config, task: str) -> Model:
    """Build the model of a config; it encodes for whatever task."""
    config = config.completed(_DEFAULTS)
    if any(kind != "DownEncoderBlock2D" for kind in config.get("down_block_types")):
        raise CannotEstimate(f"the autoencoder's blocks are not walked yet, for the task {task!r}")
    return AutoencoderKL(config)

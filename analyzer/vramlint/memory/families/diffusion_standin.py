"""A stand-in for denoisers and autoencoders that no family walks: exact weights, and guessed activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.base import Batch, InputSpec, Model, Output, Sizes
from vramlint.memory.modules import Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import total
from vramlint.memory.operators.matmul import autocast_half
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.memory.families.base import Config, Regime
    from vramlint.memory.tape import Gradients, Node

_LATENT = 8  # pixels for each place of the latent image, a side
# Tensors of the layer's width that a place leaves for backward, at 4 bytes, as in MLP-heavy transformers
# (34 bytes for each number in half precision: Korthikanti et al., 2022) and in residual convolutions.
_TRANSFORMER_LAYER, _RESIDUAL_BLOCK = 17, 8
_TEXT_TOKENS = 512


class StandIn(Model):
    """A network as a single tensor."""

    def __init__(self, config: Config, parameters: int) -> None:
        self.weight = Parameter(parameters)
        self.config = config
        self.approximation = (
            f"{config.get('_class_name')} is not walked: weights are exact, its activations an order of magnitude "
            "from layers, widths and image size"
        )

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return images and the ids of their captions."""
        rows, (height, width) = Dim(sizes.rows, "B"), sizes.image
        return (
            InputSpec(("pixel_values",), (rows, 3, Dim(height, "H"), Dim(width, "W")), sizes.dtype),
            InputSpec(("input_ids",), (rows, Dim(sizes.length, "T"))),
        )

    def forward(self, batch: Batch, regime: Regime) -> Output:  # noqa: ARG002  it has one way to attend
        """Return the loss of predicting the noise; a frozen network leaves nothing."""
        images = batch["pixel_values"]
        tape, (rows, _, height, width) = images.tape, images.shape
        tape.arena.label = "denoiser"
        weight = parameter_tensor(self.weight)
        if weight.node is None:
            return Output(None)
        weight = autocast_half(weight)
        places = (height // _LATENT, width // _LATENT)
        saved = tape.empty((rows, Dim(saved_elements(self.config.values, *places), "E")), weight.dtype)
        noise = tape.empty((rows, 4, *places), weight.dtype)
        noise = tape.record(noise, (weight,), _backward, (saved,))
        del saved
        tape.arena.label = "loss"
        return Output(total(noise), noise)


def saved_elements(config: Mapping[str, Any], height: int, width: int) -> int:
    """Return about how many numbers the denoiser saves for one latent image of this size."""
    heads, size = config.get("num_attention_heads"), config.get("attention_head_dim")
    if isinstance(heads, int) and isinstance(size, int) and "block_out_channels" not in config:
        layers = int(config.get("num_layers", 0)) + int(config.get("num_single_layers", 0))
        given = config.get("patch_size", 1)
        patch = (
            max(given) if isinstance(given, list | tuple) else int(given)
        )  # of a video: frames, height, width
        side = 2 if patch == 1 else patch  # latents that come packed have patches of one place
        tokens = height * width // side**2 + _TEXT_TOKENS
        return _TRANSFORMER_LAYER * layers * tokens * heads * size
    return _residual_elements(config, height * width)


def _residual_elements(config: Mapping[str, Any], places: int) -> int:
    """Return the same for a U-Net: blocks down and up, each level a quarter of the places."""
    widths = config.get("block_out_channels") or (320, 640, 1280, 1280)
    depth = config.get("layers_per_block", 2)
    blocks = 2 * (depth if isinstance(depth, int) else max(depth)) + 1
    attending = _transformer_layers(config, len(widths))
    return sum(
        (_RESIDUAL_BLOCK + _TRANSFORMER_LAYER * layers) * blocks * channels * places // 4**level
        for level, (channels, layers) in enumerate(zip(widths, attending, strict=True))
    )


def _transformer_layers(config: Mapping[str, Any], levels: int) -> list[int]:
    """Return how many transformer layers each block of a level has."""
    kinds = config.get("down_block_types") or ()
    given = config.get("transformer_layers_per_block", 1)
    layers = list(given) if isinstance(given, list | tuple) else [given] * levels
    attends = ["CrossAttn" in kind for kind in kinds] or [True] * levels
    return [count if attending else 0 for count, attending in zip(layers, attends, strict=True)]


def _backward(node: Node, grads: Gradients) -> Gradients:
    """Free what was saved before the gradient is made: layer by layer the one makes room for the other."""
    grad = grads[0]
    assert grad is not None
    node.saved = ()
    shape = node.inputs[0][2]
    return (grad.tape.empty(shape, grad.dtype),)


def is_diffusion(config: Config) -> bool:
    """Return whether a config is that of one of diffusers' classes."""
    return config.get("_class_name") is not None


def build_stand_in(config: Config, parameters: int | None) -> Model:
    """Build the stand-in.

    Raises:
        CannotEstimate: where nobody counted the parameters.
    """
    if parameters is None:
        raise CannotEstimate(f"models of class {config.get('_class_name')} are not walked yet")
    return StandIn(config, parameters)

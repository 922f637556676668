"""What models of images and texts share: a text tower, an image tower, and the layers of both (transformers 5.23)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.convolutional import Conv2d
from vramlint.memory.dtypes import INT64
from vramlint.memory.families.base import Config, InputSpec, Model, Regime, Sizes
from vramlint.memory.families.vision_heads import image_inputs
from vramlint.memory.families.vision_transformer import (
    Layer,
    Names,
    Widths,
    as_tokens,
    patch_places,
    patch_size,
)
from vramlint.memory.modules import Buffer, Embedding, Module, Parameter, Stack, parameter_tensor
from vramlint.memory.operators.elementwise import concatenate, expand, narrow
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMES = Names(before="layer_norm1", attention="self_attn", after="layer_norm2", out="out_proj")


def part_of(config: Config, name: str, defaults: Mapping[str, Any]) -> Config:
    """Return a nested config over the defaults of its class."""
    given = {key: value for key, value in (config.get(name) or {}).items() if value is not None}
    return Config({**defaults, **given})


class Positions(Embedding):
    """A table of learned positions."""

    def of(self, ids: Tensor, length: int) -> Tensor:
        """Return the first `length` positions: (1, T, D)."""
        return self(narrow(ids, 1, length))  # type: ignore[no-any-return]


class TextEmbeddings(Module):
    """Token and position embeddings, added."""

    label = "embedding"

    def __init__(self, config: Config, width: int) -> None:
        positions = config.size("P", "max_position_embeddings")
        self.token_embedding = Embedding(config.size("V", "vocab_size"), width)
        self.position_embedding = Positions(positions, width)
        self.position_ids = Buffer(1, positions, dtype=INT64)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) to (B, T, D)."""
        assert self.position_ids.tensor is not None
        embeds = self.token_embedding(ids)
        positions = self.position_embedding.of(self.position_ids.tensor, ids.shape[1])
        return embeds + positions  # type: ignore[no-any-return]


class ImageEmbeddings(Module):
    """Patches, perhaps a class token before them, and a position embedding."""

    label = "embedding"

    def __init__(self, config: Config, width: int, *, class_token: bool) -> None:
        side = patch_size(config)
        if class_token:
            self.class_embedding = Parameter(width)
        self.patch_embedding = Conv2d(
            config.get("num_channels", 3), width, side, side, 0, bias=not class_token
        )
        places = Dim(patch_places(config) + class_token, "P")
        self.position_embedding = Positions(places, width)
        self.position_ids = Buffer(1, places, dtype=INT64)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        assert self.position_ids.tensor is not None
        embeds = as_tokens(self.patch_embedding(pixels))
        token = vars(self).get("class_embedding")
        if token is not None:
            rows, _, width = embeds.shape
            embeds = concatenate([expand(parameter_tensor(token), rows, 1, width), embeds], 1)
        return embeds + self.position_embedding.of(self.position_ids.tensor, embeds.shape[1])


class Layers(Module):
    """A module that holds the stack of layers under the name `layers`; the last `idle` ones give nothing.

    A model that takes the states before its last layers has those, and they get no gradient.
    """

    def __init__(self, widths: Widths, *, causal: bool = False, idle: int = 0) -> None:
        self.count, self.idle = widths.layers - idle, idle
        self.layers = Stack(self.count, lambda _: Layer(widths, NAMES, causal=causal))
        self.rest = Stack(idle, lambda _: Layer(widths, NAMES, causal=causal)) if idle else None

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield the tensors of all layers under one name."""
        yield from self.layers.named_tensors(f"{prefix}layers.")
        if self.rest is not None:
            for name, tensor in self.rest.named_tensors():
                index, _, rest = name.partition(".")
                place = index if index == "*" else str(self.count + int(index))
                yield f"{prefix}layers.{place}.{rest}", tensor

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.layers(hidden, mask, regime)  # type: ignore[no-any-return]


class DualEncoder(Model):
    """A model that is fed texts and images and compares each with each."""

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids and images."""
        ids = InputSpec(("input_ids",), (Dim(sizes.rows, "B"), Dim(sizes.length, "T")))
        return (ids, image_inputs(sizes)[0])

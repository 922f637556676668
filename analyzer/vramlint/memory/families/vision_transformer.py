"""What vision transformers of transformers 5.23 share: patches, pre-norm layers, and classifiers on them."""

from __future__ import annotations

from dataclasses import dataclass

from vramlint.memory.convolutional import Conv2d
from vramlint.memory.families.base import Batch, Config, InputSpec, Model, Output, Regime, Sizes
from vramlint.memory.families.heads import class_loss
from vramlint.memory.families.layers import attend, split_heads
from vramlint.memory.families.vision_heads import classes_of, image_inputs, image_size_of
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import concatenate, expand, reshape
from vramlint.memory.operators.indexing import select
from vramlint.memory.tape import Dim, Tensor


@dataclass(frozen=True, slots=True)
class Names:
    """What a family calls the parts of its layer."""

    before: str = "layernorm_before"
    attention: str = "attention"
    after: str = "layernorm_after"
    out: str = "o_proj"


@dataclass(frozen=True, slots=True)
class Widths:
    """The sizes of an encoder: width, heads, inner width, layers; its activation, dropouts and biases."""

    width: Dim
    heads: Dim
    inner: Dim
    layers: Dim
    act: str
    dropout: float = 0.0
    attention_dropout: float = 0.0
    qkv_bias: bool = True

    @classmethod
    def of(cls, config: Config, *, act: str = "gelu", inner: int | None = None) -> Widths:
        """Read them from a config with the usual names; `act` and `inner` are the family's defaults."""
        return cls(
            width=config.size("D", "hidden_size", default=768),
            heads=config.size("N", "num_attention_heads", default=12),
            inner=config.size("F", "intermediate_size", default=inner or 3072),
            layers=config.size("L", "num_hidden_layers", default=12),
            act=config.get("hidden_act", act),
            dropout=config.get("hidden_dropout_prob", 0.0),
            attention_dropout=config.get(
                "attention_probs_dropout_prob", config.get("attention_dropout", 0.0)
            ),
            qkv_bias=config.get("qkv_bias", default=True),
        )


def patch_places(config: Config, image: int = 224, patch: int = 16) -> int:
    """Return how many patches the images have that a model was made for."""
    height, width = image_size_of(config, image)
    side = patch_size(config, patch)
    return (height // side) * (width // side)


def patch_size(config: Config, default: int = 16) -> int:
    """Return the pixels a side of one patch."""
    size = config.get("patch_size", default)
    return int(size if isinstance(size, int) else size[0])


class PatchEmbeddings(Module):
    """A convolution that turns each patch into a token."""

    def __init__(self, config: Config, width: int, patch: int = 16) -> None:
        side = patch_size(config, patch)
        self.projection = Conv2d(config.get("num_channels", 3), width, side, side, 0)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, D), a view in another order."""
        return as_tokens(self.projection(pixels))


def as_tokens(x: Tensor) -> Tensor:
    """`x.flatten(2).transpose(1, 2)` of (B, D, H, W)."""
    rows, width, height, across = x.shape
    return x.view(rows, width, Dim(height * across, "T")).transposed(1, 2)


def with_tokens_before(x: Tensor, *tokens: Parameter) -> Tensor:
    """Put learned tokens before those of each row: (B, T, D) to (B, T + n, D)."""
    rows, _, width = x.shape
    first = [expand(parameter_tensor(token), rows, 1, width) for token in tokens]
    return concatenate([*first, x], 1)


class SelfAttention(Module):
    """Multi-head attention with three projections and one out."""

    label = "attention"

    def __init__(self, widths: Widths, out: str) -> None:
        width = widths.width
        self.heads, self.p, self.out = widths.heads, widths.attention_dropout, out
        self.q_proj = Linear(width, width, bias=widths.qkv_bias)
        self.k_proj = Linear(width, width, bias=widths.qkv_bias)
        self.v_proj = Linear(width, width, bias=widths.qkv_bias)
        setattr(self, out, Linear(width, width))

    def forward(self, x: Tensor, mask: Tensor | None, regime: Regime, *, causal: bool = False) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        size = Dim(x.shape[-1] // self.heads, "H")
        query = split_heads(self.q_proj(x), self.heads, size)
        key = split_heads(self.k_proj(x), self.heads, size)
        value = split_heads(self.v_proj(x), self.heads, size)
        out = attend(query, key, value, mask, regime, p=self.p, causal=causal)
        return getattr(self, self.out)(reshape(out, *x.shape))  # type: ignore[no-any-return]


class MLP(Module):
    """Two linear layers."""

    label = "mlp"

    def __init__(self, width: int, inner: int, act: str) -> None:
        self.fc1 = Linear(width, inner)
        self.fc2 = Linear(inner, width)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = self.fc1(x)
        x = self.act(x)
        return self.fc2(x)  # type: ignore[no-any-return]


class Layer(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, widths: Widths, names: Names | None = None, *, causal: bool = False) -> None:
        self.names, self.causal = names or Names(), causal
        setattr(self, self.names.attention, SelfAttention(widths, self.names.out))
        setattr(self, self.names.before, LayerNorm(widths.width))
        setattr(self, self.names.after, LayerNorm(widths.width))
        self.mlp: Module = MLP(widths.width, widths.inner, widths.act)
        self.dropout = Dropout(widths.dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = getattr(self, self.names.before)(hidden)
        hidden = getattr(self, self.names.attention)(hidden, mask, regime, causal=self.causal)
        hidden = self.after_attention(hidden)
        hidden = hidden + residual
        residual = hidden
        hidden = getattr(self, self.names.after)(hidden)
        hidden = self.mlp(hidden)
        hidden = self.after_mlp(hidden)
        return hidden + residual

    def after_attention(self, x: Tensor) -> Tensor:
        """Do what the layer does to the attention's output before it is added."""
        return self.dropout(x)  # type: ignore[no-any-return]

    def after_mlp(self, x: Tensor) -> Tensor:
        """Do what the layer does to the MLP's output before it is added."""
        return self.dropout(x)  # type: ignore[no-any-return]


class ImageModel(Model):
    """A body under a prefix and a linear classifier on what `pooled` makes of its hidden states."""

    def __init__(self, config: Config, prefix: str, body: Module, features: int) -> None:
        self.prefix = prefix
        setattr(self, prefix, body)
        self.classifier = Linear(features, classes_of(config))

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return images and labels."""
        return image_inputs(sizes)

    def pooled(self, hidden: Tensor) -> Tensor:
        """Return the features that are classified: by default the first token's."""
        return first_place(hidden)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss of classification."""
        hidden = getattr(self, self.prefix)(batch["pixel_values"], regime)
        features = self.pooled(hidden)
        features.tape.arena.label = "logits"
        logits = self.classifier(features)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits, [hidden])


def first_place(hidden: Tensor) -> Tensor:
    """`hidden[:, 0]`: a view."""
    return select(hidden, 1)

"""InternVL: a BEiT-like tower, four neighbours to one token, and Qwen or Llama (transformers 5.23, models/internvl)."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

from vramlint.memory.families.dual_encoder import part_of
from vramlint.memory.families.layers import attend, split_heads
from vramlint.memory.families.vision_heads import image_size_of
from vramlint.memory.families.vision_language import (
    Body,
    VisionLanguageModel,
    language_model,
    require_text,
    tied,
)
from vramlint.memory.families.vision_transformer import (
    MLP,
    PatchEmbeddings,
    patch_places,
    with_tokens_before,
)
from vramlint.memory.modules import (
    Dropout,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    RMSNorm,
    Stack,
    parameter_tensor,
)
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import copy, narrow, reshape
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Batch, Config, Model, Regime
    from vramlint.memory.families.decoder import CausalLM

MODEL_TYPES = ("internvl",)

_VISION = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "attention_bias": False,
    "use_qk_norm": False,
    "intermediate_size": 4096,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_dropout": 0.0,
    "projection_dropout": 0.0,
    "norm_type": "layer_norm",
    "image_size": [448, 448],
    "patch_size": [14, 14],
    "use_mean_pooling": True,
}


class Attention(Module):
    """Multi-head attention, queries and keys perhaps normed over all heads."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width, bias = config.size("C", "hidden_size"), config.get("attention_bias")
        self.heads, self.p = config.size("N", "num_attention_heads"), config.get("attention_dropout")
        self.q_proj = Linear(width, width, bias=bias)
        self.k_proj = Linear(width, width, bias=bias)
        self.v_proj = Linear(width, width, bias=bias)
        self.projection_layer = Linear(width, width)
        self.projection_dropout = Dropout(config.get("projection_dropout"))
        if config.get("use_qk_norm"):
            self.q_norm, self.k_norm = RMSNorm(width), RMSNorm(width)

    def forward(self, x: Tensor, regime: Regime) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        size = Dim(x.shape[-1] // self.heads, "H")
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if "q_norm" in vars(self):
            query, key = self.q_norm(query), self.k_norm(key)
        query, key, value = (split_heads(part, self.heads, size) for part in (query, key, value))
        out = attend(query, key, value, None, regime, p=self.p, causal=False, upcast=False)
        out = self.projection_layer(reshape(out, *x.shape))
        return self.projection_dropout(out)  # type: ignore[no-any-return]


class Layer(Module):
    """Pre-norm attention and MLP, each scaled by a learned factor, with a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("C", "hidden_size")
        norm = LayerNorm if config.get("norm_type") == "layer_norm" else RMSNorm
        self.attention = Attention(config)
        self.mlp = MLP(width, config.size("F", "intermediate_size"), config.get("hidden_act"))
        self.layernorm_before = norm(width)
        self.layernorm_after = norm(width)
        self.lambda_1 = Parameter(width)
        self.lambda_2 = Parameter(width)
        self.dropout = Dropout(config.get("hidden_dropout_prob"))

    def forward(self, hidden: Tensor, regime: Regime) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        attended = self.attention(self.layernorm_before(hidden), regime)
        attended = parameter_tensor(self.lambda_1) * attended
        hidden = attended + hidden
        out = self.layernorm_after(hidden)
        out = self.mlp(out)
        out = self.dropout(out)
        out = parameter_tensor(self.lambda_2) * out
        return out + hidden  # type: ignore[no-any-return]


class Embeddings(Module):
    """Patches, a class token before them, and a position embedding."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        width = config.size("C", "hidden_size")
        self.cls_token = Parameter(1, 1, width)
        self.patch_embeddings = PatchEmbeddings(config, width)
        self.position_embeddings = Parameter(1, patch_places(config) + 1, width)
        self.dropout = Dropout(config.get("hidden_dropout_prob"))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, C)."""
        embeddings = with_tokens_before(self.patch_embeddings(pixels), self.cls_token)
        embeddings = embeddings + parameter_tensor(self.position_embeddings)
        return self.dropout(embeddings)  # type: ignore[no-any-return]


class Layers(Module):
    """A module that holds the stack under the name `layer`."""

    def __init__(self, config: Config) -> None:
        self.layer = Stack(config.size("L", "num_hidden_layers"), lambda _: Layer(config))


class ImageTower(Module):
    """Embeddings and layers, and a norm unless the patches are averaged."""

    def __init__(self, config: Config) -> None:
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)
        averages = config.get("use_mean_pooling")
        self.layernorm = None if averages else LayerNorm(config.size("C", "hidden_size"))

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to (B, T, C)."""
        hidden = self.encoder.layer(self.embeddings(pixels), regime)
        return hidden if self.layernorm is None else self.layernorm(hidden)  # type: ignore[no-any-return]


class Projector(Module):
    """A norm and two linear layers on joined neighbours."""

    label = "projector"

    def __init__(self, config: Config, inner: int, width: int) -> None:
        self.layer_norm = LayerNorm(inner)
        self.linear_1 = Linear(inner, width)
        self.linear_2 = Linear(width, width)
        self.act = activation(config.get("projector_hidden_act", "gelu"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T/4, 4C) to (B, T/4, D)."""
        x = self.layer_norm(x)
        x = self.linear_1(x)
        x = self.act(x)
        return self.linear_2(x)  # type: ignore[no-any-return]


def joined(x: Tensor, by: int) -> Tensor:
    """Join `by` × `by` neighbours: (B, T, C) to (B, T/by², C·by²), by two copies."""
    rows, places, width = x.shape
    side = isqrt(places)
    half = copy(x.view(rows, side, side // by, width * by).transposed(1, 2))
    half = half.view(rows, side // by, side // by, width * by**2)
    return copy(half.transposed(1, 2)).view(rows, places // by**2, width * by**2)


class InternBody(Body):
    """The tower's states without the class token, joined, through the projector."""

    def __init__(self, config: Config, vision: Config, language: CausalLM) -> None:
        super().__init__(language)
        self.by = round(1 / config.get("downsample_ratio", 0.5))
        width = part_of(config, "text_config", {}).size("D", "hidden_size")
        self.vision_tower = ImageTower(vision)
        inner = Dim(vision.size("C", "hidden_size") * self.by**2, "4C")
        self.multi_modal_projector = Projector(config, inner, width)
        self.drops_first = config.get("vision_feature_select_strategy", "default") == "default"

    def features(self, batch: Batch, regime: Regime) -> tuple[Tensor, list[Tensor]]:
        """Return the features of all images."""
        hidden = self.vision_tower(batch["pixel_values"], regime)
        selected = narrow(hidden, 1, hidden.shape[1] - 1) if self.drops_first else hidden
        return self.multi_modal_projector(joined(selected, self.by)), [hidden]


class InternVL(VisionLanguageModel):
    """A tower and a decoder, with one tile of the tower's size in each row."""

    def __init__(self, body: Body, language: CausalLM, vision: Config) -> None:
        super().__init__(body, language)
        self.image = image_size_of(vision, 448)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_text(task)
    vision = part_of(config, "vision_config", _VISION)
    text = part_of(config, "text_config", {"model_type": "qwen2"})
    language = language_model(tied(text, config.get("tie_word_embeddings", default=True)))
    return InternVL(InternBody(config, vision, language), language, vision)

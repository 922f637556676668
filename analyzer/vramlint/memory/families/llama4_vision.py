"""Llama 4 with its image tower: patches by unfolding, complex rotary positions, joined neighbours (models/llama4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families.dual_encoder import part_of
from vramlint.memory.families.heads import language_modelling
from vramlint.memory.families.internvl import joined
from vramlint.memory.families.layers import KeyValueCache, attend
from vramlint.memory.families.vision_heads import image_size_of
from vramlint.memory.families.vision_language import (
    VisionLanguageModel,
    language_model,
    require_text,
    scattered,
)
from vramlint.memory.families.vision_transformer import MLP, patch_places, patch_size
from vramlint.memory.modules import (
    Buffer,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    Stack,
    parameter_tensor,
)
from vramlint.memory.operators.elementwise import (
    cast,
    concatenate,
    dropout,
    expand,
    narrow,
    reshape,
    unary,
)
from vramlint.memory.operators.windows import unfold
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Batch, Config, Model, Output, Regime
    from vramlint.memory.families.decoder import CausalLM, Decoder

MODEL_TYPES = ("llama4",)

_VISION = {
    "hidden_size": 768,
    "num_hidden_layers": 34,
    "num_attention_heads": 16,
    "num_channels": 3,
    "intermediate_size": 5632,
    "vision_output_dim": 7680,
    "image_size": 448,
    "patch_size": 14,
    "pixel_shuffle_ratio": 0.5,
    "projector_input_dim": 4096,
    "projector_output_dim": 4096,
    "projector_dropout": 0.0,
    "attention_dropout": 0.0,
}


class Attention(Module):
    """Multi-head attention whose heads turn as complex numbers."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width = config.size("C", "hidden_size")
        self.heads, self.p = config.size("N", "num_attention_heads"), config.get("attention_dropout")
        self.q_proj = Linear(width, width)
        self.k_proj = Linear(width, width)
        self.v_proj = Linear(width, width)
        self.o_proj = Linear(width, width)

    def forward(self, x: Tensor, angles: Tensor, regime: Regime) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        shape = (*x.shape[:2], self.heads, Dim(x.shape[-1] // self.heads, "H"))
        query, key = self.q_proj(x).view(*shape), self.k_proj(x).view(*shape)
        value = self.v_proj(x).view(*shape).transposed(1, 2)
        query, key = (cast(cast(part, FLOAT32) * angles, part.dtype) for part in (query, key))
        query, key = query.transposed(1, 2), key.transposed(1, 2)
        out = attend(query, key, value, None, regime, p=self.p, causal=False, upcast=False)
        return self.o_proj(reshape(out, *x.shape))  # type: ignore[no-any-return]


class Layer(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("C", "hidden_size")
        self.self_attn = Attention(config)
        self.mlp = MLP(width, config.size("F", "intermediate_size"), "gelu")
        self.input_layernorm = LayerNorm(width)
        self.post_attention_layernorm = LayerNorm(width)

    def forward(self, hidden: Tensor, angles: Tensor, regime: Regime) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, angles, regime)
        hidden = residual + hidden
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        return residual + hidden


class Layers(Module):
    """A module that holds the stack under the name `layers`."""

    def __init__(self, config: Config) -> None:
        self.layers = Stack(config.size("L", "num_hidden_layers"), lambda _: Layer(config))


class Patches(Module):
    """Unfolded patches through a linear layer."""

    label = "embedding"

    def __init__(self, config: Config, width: int) -> None:
        self.side = patch_size(config)
        self.linear = Linear(config.get("num_channels") * self.side**2, width, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, C)."""
        return self.linear(unfold(pixels, self.side).transposed(1, 2))  # type: ignore[no-any-return]


class Angles(Module):
    """Complex numbers for the place of each patch and for the class token."""

    def __init__(self, places: int, size: int) -> None:
        self.freqs_ci = Buffer(places, 1, size)


class TwoLayers(Module):
    """Two linear layers, an activation behind each."""

    def __init__(self, config: Config) -> None:
        out = config.get("projector_output_dim")
        self.fc1 = Linear(config.get("intermediate_size"), config.get("projector_input_dim"), bias=False)
        self.fc2 = Linear(out, out, bias=False)
        self.p = config.get("projector_dropout")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T/4, 4C) to (B, T/4, out)."""
        x = self.fc1(x)
        x = unary(x)
        x = dropout(x, self.p)
        return unary(self.fc2(x))


class Adapter(Module):
    """Joins neighbours, and runs two layers on them."""

    label = "projector"

    def __init__(self, config: Config) -> None:
        self.by = round(1 / config.get("pixel_shuffle_ratio"))
        self.mlp = TwoLayers(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T/4, out)."""
        return self.mlp(joined(x, self.by))  # type: ignore[no-any-return]


class ImageTower(Module):
    """Patches with a class token behind them, layers, and the adapter."""

    def __init__(self, config: Config) -> None:
        width, places = config.size("C", "hidden_size"), patch_places(config) + 1
        self.patch_embedding = Patches(config, width)
        self.class_embedding = Parameter(width)
        self.positional_embedding_vlm = Parameter(places, width)
        self.rotary_embedding = Angles(places, width // config.size("N", "num_attention_heads"))
        self.layernorm_pre = LayerNorm(width)
        self.layernorm_post = LayerNorm(width)
        self.model = Layers(config)
        self.vision_adapter = Adapter(config)

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to (B, T/4, out)."""
        angles = self.rotary_embedding.freqs_ci.tensor
        assert angles is not None
        hidden = self.patch_embedding(pixels)
        rows, length, width = hidden.shape
        token = expand(parameter_tensor(self.class_embedding), rows, 1, width)
        hidden = concatenate([hidden, token], 1)
        hidden = hidden + parameter_tensor(self.positional_embedding_vlm)
        hidden = self.layernorm_pre(hidden)
        hidden = self.model.layers(hidden, angles, regime)
        hidden = self.layernorm_post(hidden)
        return self.vision_adapter(narrow(hidden, 1, length))  # type: ignore[no-any-return]


class Projector(Module):
    """One linear layer."""

    label = "projector"

    def __init__(self, inputs: int, outputs: int) -> None:
        self.linear_1 = Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, C) to (n, D)."""
        return self.linear_1(x)  # type: ignore[no-any-return]


class Llama4(VisionLanguageModel):
    """A tower beside a whole language model, with one tile in each row."""

    def __init__(self, config: Config, vision: Config, language: CausalLM) -> None:
        self.vision_model = ImageTower(vision)
        width = part_of(config, "text_config", {}).size("D", "hidden_size")
        self.multi_modal_projector = Projector(vision.get("vision_output_dim"), width)
        self.language_model = language
        self.image = image_size_of(vision, 448)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss of next-token prediction."""
        language = self.language_model
        decoder: Decoder = getattr(language, language.prefix)
        cache = KeyValueCache() if regime.use_cache else None
        embeds = decoder.embed(batch["input_ids"])
        features = self.vision_model(batch["pixel_values"], regime)
        flat = features.view(features.shape[0] * features.shape[1], features.shape[2])
        flat = self.multi_modal_projector(flat)
        embeds = scattered(embeds, flat)
        hidden = decoder.run(embeds, regime, cache)
        output = language_modelling(hidden, language.lm_head, regime, cache, language.adjust)
        output.held.append(features)
        return output


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_text(task)
    vision = part_of(config, "vision_config", _VISION)
    return Llama4(
        config, vision, language_model(part_of(config, "text_config", {"model_type": "llama4_text"}))
    )

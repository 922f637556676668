"""Text encoders of diffusion pipelines: CLIP's text tower, alone or with a projection, and T5's encoder.

Source: transformers 5.23, models/clip and models/t5; diffusers 0.42 `examples/*/train_*.py` for how they are called.
"""

from __future__ import annotations

from vramlint.memory.families.base import Batch, Config, InputSpec, Model, Output, Regime, Sizes
from vramlint.memory.families.clip import TEXT, TextTower
from vramlint.memory.families.denoiser import CLIP_TOKENS
from vramlint.memory.families.seq2seq import Surroundings
from vramlint.memory.families.t5 import DEFAULTS, OwnBiasStack, T5Stack
from vramlint.memory.modules import Embedding, Linear
from vramlint.memory.tape import Dim

MODEL_TYPES = (
    "CLIPTextModel",
    "CLIPTextModelWithProjection",
    "T5EncoderModel",
    "UMT5EncoderModel",
)


class ClipText(Model):
    """CLIP's text tower, and perhaps a projection of its pooled output."""

    def __init__(self, config: Config, *, projects: bool) -> None:
        self.text_model = TextTower(config)
        width = config.size("D", "hidden_size")
        features = config.size("E", "projection_dim", default=width)
        self.text_projection = Linear(width, features, bias=False) if projects else None

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids, as many as CLIP takes."""
        tokens = Dim(min(sizes.length, CLIP_TOKENS), "T")
        return (InputSpec(("input_ids",), (Dim(sizes.rows, "B"), tokens)),)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Encode the prompts."""
        hidden, pooled = self.text_model(batch["input_ids"], regime)
        if self.text_projection is not None:
            pooled = self.text_projection(pooled)
        return Output(None, None, [hidden, pooled])


class T5Encoder(Model):
    """T5's encoder."""

    def __init__(self, config: Config, stack: type[T5Stack]) -> None:
        self.shared = Embedding(config.size("V", "vocab_size"), config.size("D", "d_model"))
        self.encoder = stack(config, self.shared, config.size("L", "num_layers"), decoder=False)

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids."""
        return (InputSpec(("t5_input_ids",), (Dim(sizes.rows, "B"), Dim(sizes.length, "T"))),)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Encode the prompts."""
        return Output(None, None, [self.encoder(batch["t5_input_ids"], Surroundings(regime))])


def build(config: Config, task: str) -> Model:  # noqa: ARG001  they encode for whatever task
    """Build the model of a config."""
    kind = str(config.get("_class_name", config.get("model_type")))
    if kind.startswith("CLIP"):
        return ClipText(config.completed(TEXT), projects=kind.endswith("Projection"))
    return T5Encoder(config.completed(DEFAULTS), OwnBiasStack if kind.startswith("UMT5") else T5Stack)

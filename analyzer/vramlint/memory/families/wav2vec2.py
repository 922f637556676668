"""wav2vec 2.0 and HuBERT: convolutions over raw audio, then a BERT-like encoder.

transformers 5.23, models/wav2vec2/modeling_wav2vec2.py and models/hubert. A plan's `sequence_length` is the number
of samples. Layers that `layerdrop` leaves out at random are walked as if they were run.
"""

from __future__ import annotations

from typing import Any

from vramlint.memory.dtypes import BOOL, FLOAT32, INT64
from vramlint.memory.families.bart import Attention as SharedAttention
from vramlint.memory.families.base import (
    Batch,
    Config,
    InputSpec,
    Model,
    Output,
    Regime,
    Sizes,
    UnsupportedTask,
)
from vramlint.memory.families.encoder import bidirectional_mask
from vramlint.memory.families.heads import class_loss, label_count
from vramlint.memory.families.seq2seq import Surroundings
from vramlint.memory.families.speech import Conv1d
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module, Parameter, Stack, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.convolution import convolution
from vramlint.memory.operators.ctc import ctc_loss
from vramlint.memory.operators.elementwise import narrow, unary_saving_result
from vramlint.memory.operators.indexing import put_rows
from vramlint.memory.operators.normalization import group_norm, weight_norm
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Entry, Tensor

MODEL_TYPES = ("wav2vec2", "hubert")

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout": 0.1,
    "activation_dropout": 0.1,
    "attention_dropout": 0.1,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.1,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "conv_dim": (512,) * 7,
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "do_stable_layer_norm": False,
    "apply_spec_augment": True,
    "mask_time_prob": 0.05,
    "mask_feature_prob": 0.0,
    "classifier_proj_size": 256,
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
}
# The longest transcript that the labels of a batch stand for where a plan does not say.
_LABELS = 50


class GroupNorm(Module):
    """`nn.GroupNorm` with a group for each channel."""

    label = "norm"

    def __init__(self, channels: int) -> None:
        self.weight, self.bias = Parameter(channels), Parameter(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each channel."""
        return group_norm(x, parameter_tensor(self.weight), parameter_tensor(self.bias), self.weight.shape[0])


class ConvLayer(Module):
    """A convolution, a norm if there is one, and an activation."""

    label = "feature encoder"

    def __init__(self, config: Config, index: int, norm: str | None) -> None:
        widths = config.get("conv_dim")
        inputs = widths[index - 1] if index else 1
        kernel, stride = config.get("conv_kernel")[index], config.get("conv_stride")[index]
        self.conv = Conv1d(inputs, widths[index], kernel, stride, bias=config.get("conv_bias"))
        if norm is not None:
            self.layer_norm = GroupNorm(widths[index]) if norm == "group" else LayerNorm(widths[index])
        self.act = activation(config.get("feat_extract_activation"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, T) to (B, C', T')."""
        hidden = self.conv(hidden)
        norm = vars(self).get("layer_norm")
        if isinstance(norm, LayerNorm):
            hidden = norm(hidden.transposed(1, 2)).transposed(1, 2)
        elif norm is not None:
            hidden = norm(hidden)
        return self.act(hidden)


class FeatureEncoder(Module):
    """The convolutions; their input wants a gradient while they train, so that checkpointing works."""

    label = "feature encoder"

    def __init__(self, config: Config) -> None:
        norm = config.get("feat_extract_norm")
        count = len(config.get("conv_dim"))
        norms = [norm if norm == "layer" or not index else None for index in range(count)]
        self.conv_layers = Stack(count, lambda index: ConvLayer(config, index, norms[index]), range(count))

    def forward(self, samples: Tensor) -> Tensor:
        """(B, S) to (B, C, T)."""
        hidden = samples.view(samples.shape[0], 1, samples.shape[1])
        if any(parameter.trainable for parameter in self.parameters()) and hidden.tape.grad_enabled:
            hidden.node = Entry()
        return self.conv_layers(hidden)  # type: ignore[no-any-return]


class FeatureProjection(Module):
    """A norm and a linear layer to the encoder's width."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        width = config.get("conv_dim")[-1]
        if config.get("feat_proj_layer_norm"):
            self.layer_norm = LayerNorm(width)
        self.projection = Linear(width, config.size("D", "hidden_size"))
        self.dropout = Dropout(config.get("feat_proj_dropout"))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) to (B, T, D), and what went into the projection."""
        norm = vars(self).get("layer_norm")
        normed = norm(hidden) if norm is not None else hidden
        hidden = self.projection(normed)
        return self.dropout(hidden), normed


class WeightNorm(Module):
    """`parametrizations.weight` of a weight-normed layer."""

    def __init__(self, *shape: int) -> None:
        self.original0, self.original1 = Parameter(1, 1, shape[-1]), Parameter(*shape)


class Parametrizations(Module):
    """`parametrizations` of a weight-normed layer."""

    def __init__(self, *shape: int) -> None:
        self.weight = WeightNorm(*shape)


class NormedConv(Module):
    """A grouped convolution whose weight is made of direction and length for each use."""

    def __init__(self, config: Config) -> None:
        width, self.kernel = config.size("D", "hidden_size"), config.get("num_conv_pos_embeddings")
        groups = config.get("num_conv_pos_embedding_groups")
        self.bias = Parameter(width)
        self.parametrizations = Parametrizations(width, width // groups, self.kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T) to (B, D, T'), one longer for an even kernel."""
        parts = self.parametrizations.weight
        weight = weight_norm(parameter_tensor(parts.original1), parameter_tensor(parts.original0))
        return convolution(x, weight, parameter_tensor(self.bias), (1,), (self.kernel // 2,), (1,))


class PositionalConv(Module):
    """Positions by convolution."""

    label = "position embedding"

    def __init__(self, config: Config) -> None:
        self.conv = NormedConv(config)
        self.act = activation(config.get("feat_extract_activation"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        length = hidden.shape[1]
        hidden = hidden.transposed(1, 2)
        hidden = self.conv(hidden)
        hidden = narrow(hidden, 2, length)
        hidden = self.act(hidden)
        hidden.contiguous = True
        return hidden.transposed(1, 2)


class Attention(SharedAttention):
    """Attention over all frames."""

    def __init__(self, config: Config) -> None:
        names = {"d_model": config.get("hidden_size"), "attention_dropout": config.get("attention_dropout")}
        super().__init__(Config(names), config.size("N", "num_attention_heads"))


class FeedForward(Module):
    """Two linear layers, each with dropout."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        self.intermediate_dense, self.output_dense = Linear(width, inner), Linear(inner, width)
        self.intermediate_dropout = Dropout(config.get("activation_dropout"))
        self.output_dropout = Dropout(config.get("hidden_dropout"))
        self.act = activation(config.get("hidden_act"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        hidden = self.intermediate_dense(hidden)
        hidden = self.act(hidden)
        hidden = self.intermediate_dropout(hidden)
        hidden = self.output_dense(hidden)
        return self.output_dropout(hidden)  # type: ignore[no-any-return]


class AttentionAdapter(Module):
    """MMS's adapter for a language, behind each layer."""

    def __init__(self, config: Config, inner: int) -> None:
        width = config.size("D", "hidden_size")
        self.norm = LayerNorm(width)
        self.linear_1, self.linear_2 = Linear(width, inner), Linear(inner, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        hidden = self.norm(hidden)
        hidden = self.linear_1(hidden)
        hidden = unary_saving_result(hidden)
        return self.linear_2(hidden)  # type: ignore[no-any-return]


class Layer(Module):
    """Attention and MLP; with stable norms they come before, else after each."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.stable = bool(config.get("do_stable_layer_norm"))
        self.attention = Attention(config)
        self.dropout = Dropout(config.get("hidden_dropout"))
        self.layer_norm = LayerNorm(width)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = LayerNorm(width)
        inner = config.get("adapter_attn_dim")
        if inner is not None and self.stable:
            self.adapter_layer = AttentionAdapter(config, inner)

    def forward(self, hidden: Tensor, around: Surroundings) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        if self.stable:
            hidden = self.layer_norm(hidden)
        hidden, weights = self.attention(hidden, hidden, around.mask, around)
        hidden = self.dropout(hidden)
        hidden = residual + hidden
        if self.stable:
            hidden = hidden + self.feed_forward(self.final_layer_norm(hidden))
            adapter = vars(self).get("adapter_layer")
            hidden = hidden + adapter(hidden) if adapter is not None else hidden
        else:
            hidden = self.layer_norm(hidden)
            hidden = hidden + self.feed_forward(hidden)
            hidden = self.final_layer_norm(hidden)
        del weights  # the variable lives to the end of the real function
        return hidden


class Encoder(Module):
    """Positions, layers, and a norm before or after them."""

    def __init__(self, config: Config) -> None:
        self.stable = bool(config.get("do_stable_layer_norm"))
        self.pos_conv_embed = PositionalConv(config)
        self.layer_norm = LayerNorm(config.size("D", "hidden_size"))
        self.dropout = Dropout(config.get("hidden_dropout"))
        self.layers = Stack(config.size("L", "num_hidden_layers"), lambda _: Layer(config))

    def forward(self, hidden: Tensor, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        mask = bidirectional_mask(hidden, regime)
        positions = self.pos_conv_embed(hidden)
        hidden = hidden + positions
        if not self.stable:
            hidden = self.layer_norm(hidden)
        hidden = self.dropout(hidden)
        hidden = self.layers(hidden, Surroundings(regime, mask))
        return self.layer_norm(hidden) if self.stable else hidden


class Body(Module):
    """Feature encoder, projection, SpecAugment and encoder."""

    def __init__(self, config: Config) -> None:
        self.feature_extractor = FeatureEncoder(config)
        self.feature_projection = FeatureProjection(config)
        self.masks_time = config.get("mask_time_prob") > 0
        if self.masks_time or config.get("mask_feature_prob") > 0:
            self.masked_spec_embed = Parameter(config.size("D", "hidden_size"))
        self.augments = bool(config.get("apply_spec_augment"))
        self.encoder = Encoder(config)

    def forward(self, samples: Tensor, regime: Regime) -> tuple[Tensor, Tensor]:
        """(B, S) samples to (B, T, D), and the features."""
        features = self.feature_extractor(samples)
        features = features.transposed(1, 2)
        hidden, features = self.feature_projection(features)
        if self.augments and self.masks_time:
            rows = samples.tape.empty(hidden.shape[:2], BOOL)
            hidden = put_rows(hidden, rows, parameter_tensor(self.masked_spec_embed))
        return self.encoder(hidden, regime), features


def audio_inputs(sizes: Sizes, labels: tuple[int, ...]) -> tuple[InputSpec, ...]:
    """Return raw audio (B, S) and labels of this shape after B."""
    rows = Dim(sizes.rows, "B")
    audio = InputSpec(("input_values",), (rows, Dim(sizes.length, "S")), sizes.dtype)
    return (audio, InputSpec(("labels",), (rows, *labels)))


class ForCTC(Model):
    """Transcription: a linear layer on each frame, and the CTC loss."""

    def __init__(self, config: Config, prefix: str) -> None:
        self.prefix = prefix
        setattr(self, prefix, Body(config))
        self.dropout = Dropout(config.get("final_dropout"))
        self.lm_head = Linear(config.size("D", "hidden_size"), config.size("V", "vocab_size"))

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return audio and transcripts."""
        return audio_inputs(sizes, (Dim(sizes.target_length or _LABELS, "T"),))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the transcripts."""
        samples, labels = batch["input_values"], batch["labels"]
        hidden, features = getattr(self, self.prefix)(samples, regime)
        outputs = hidden
        hidden.tape.arena.label = "logits"
        hidden = self.dropout(hidden)
        logits = self.lm_head(hidden)
        logits.tape.arena.label = "loss"
        lengths = samples.tape.empty(samples.shape, INT64)
        loss = ctc_loss(softmax(logits, FLOAT32), labels)
        del lengths, outputs
        return Output(loss, logits, [features])


class AudioClassifier(Model):
    """A projection of all frames, their mean, and a linear layer."""

    def __init__(self, config: Config, prefix: str) -> None:
        self.prefix = prefix
        setattr(self, prefix, Body(config))
        inner = config.get("classifier_proj_size")
        self.projector = Linear(config.size("D", "hidden_size"), inner)
        self.classifier = Linear(inner, label_count(config))

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return audio and a class for each row."""
        return audio_inputs(sizes, ())

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over classes."""
        outputs, features = getattr(self, self.prefix)(batch["input_values"], regime)
        outputs.tape.arena.label = "logits"
        hidden = self.projector(outputs)
        pooled = mean_over(hidden, 1)
        logits = self.classifier(pooled)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits, [features])


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    prefix = str(config.get("model_type", "wav2vec2"))
    if config.get("add_adapter") or config.get("conv_pos_batch_norm"):
        raise UnsupportedTask(f"{task} with an adapter or batch norm of positions")
    if task == "ctc":
        return ForCTC(config, prefix)
    if task in {"audio-classification", "sequence-classification"}:
        return AudioClassifier(config, prefix)
    raise UnsupportedTask(task)

"""The rules of thumb that people learn, as named and cited figures, to stand beside the engine's."""

from __future__ import annotations

from vramlint.knowledge.textbook.activations import activations, attention_scores, hidden_states
from vramlint.knowledge.textbook.figure import TextbookFigure
from vramlint.knowledge.textbook.inference import inference_peak
from vramlint.knowledge.textbook.parameters import transformer_parameters
from vramlint.knowledge.textbook.sharding import Zero, zero3_offloaded, zero_states
from vramlint.knowledge.textbook.states import (
    adafactor_states_with_master_copy,
    adam_states_with_master_copy,
    eight_bit_states,
    eight_bit_states_with_master_copy,
    full_precision_training,
    gradients,
    mixed_precision_training,
    mixed_precision_training_fp32_gradients,
    momentum_states_with_master_copy,
    optimizer_states,
    weights,
)

__all__ = [
    "TextbookFigure",
    "Zero",
    "activations",
    "adafactor_states_with_master_copy",
    "adam_states_with_master_copy",
    "attention_scores",
    "eight_bit_states",
    "eight_bit_states_with_master_copy",
    "full_precision_training",
    "gradients",
    "hidden_states",
    "inference_peak",
    "mixed_precision_training",
    "mixed_precision_training_fp32_gradients",
    "momentum_states_with_master_copy",
    "optimizer_states",
    "transformer_parameters",
    "weights",
    "zero3_offloaded",
    "zero_states",
]

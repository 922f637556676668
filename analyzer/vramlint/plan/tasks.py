"""What a model is trained for, told from the architecture that its config names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# The part of a class name that says the task. Source: transformers, the auto classes' names.
_SUFFIXES = (
    ("ForCausalLM", "causal-lm"),
    ("LMHeadModel", "causal-lm"),
    ("ForSequenceClassification", "sequence-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForMaskedLM", "masked-lm"),
    ("ForPreTraining", "masked-lm"),
    ("ForMultipleChoice", "multiple-choice"),
    ("WhisperForConditionalGeneration", "speech-seq2seq"),
    ("ForSpeechSeq2Seq", "speech-seq2seq"),
    ("ForImageClassification", "image-classification"),
    ("ForConditionalGeneration", "seq2seq-lm"),
    ("ForSeq2SeqLM", "seq2seq-lm"),
    ("MarianMTModel", "seq2seq-lm"),
    ("ForAudioClassification", "audio-classification"),
    ("ForCTC", "ctc"),
    ("CLIPModel", "contrastive"),
    ("SiglipModel", "contrastive"),
)
# What the usual training of a bare model type is, where a config names no architecture.
_TYPES = {
    "bert": "masked-lm",
    "roberta": "masked-lm",
    "distilbert": "masked-lm",
    "deberta-v2": "masked-lm",
    "electra": "masked-lm",
    "albert": "masked-lm",
    "xlm-roberta": "masked-lm",
    "camembert": "masked-lm",
    "deberta": "masked-lm",
    "mpnet": "masked-lm",
    "modernbert": "masked-lm",
    "t5": "seq2seq-lm",
    "mt5": "seq2seq-lm",
    "bart": "seq2seq-lm",
    "pegasus": "seq2seq-lm",
    "umt5": "seq2seq-lm",
    "mbart": "seq2seq-lm",
    "marian": "seq2seq-lm",
    "m2m_100": "seq2seq-lm",
    "whisper": "speech-seq2seq",
    "wav2vec2": "ctc",
    "hubert": "ctc",
    "vit": "image-classification",
    "resnet": "image-classification",
    "swin": "image-classification",
    "deit": "image-classification",
    "beit": "image-classification",
    "convnext": "image-classification",
    "dinov2": "image-classification",
    "clip": "contrastive",
    "siglip": "contrastive",
}


def task_of(config: Mapping[str, Any], architecture: str | None) -> str | None:
    """Return the task of a model, None where nothing tells it."""
    named = config.get("architectures")
    names = [str(name) for name in named] if isinstance(named, list | tuple) else []
    for name in (*names, architecture or ""):
        for suffix, task in _SUFFIXES:
            if name.endswith(suffix) or (suffix in name and not suffix.startswith("For")):
                return task
    kind = config.get("model_type")
    if not isinstance(kind, str):
        return None
    return _TYPES.get(kind, "causal-lm")

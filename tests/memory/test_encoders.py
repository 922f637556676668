"""Encoders, encoder-decoders and speech models: parameter counts, and whole training steps of the real library."""

from __future__ import annotations

import pytest

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.rows import Row, training_steps
from vramlint.knowledge.models import ModelRecord, all_records
from vramlint.memory.engine import estimate
from vramlint.memory.families import family_of
from vramlint.memory.families.base import Config
from vramlint.plan.document import Plan

FAMILIES = {
    "bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "albert", "deberta", "deberta-v2",
    "modernbert",
    "mpnet", "t5", "mt5", "umt5", "bart", "mbart", "pegasus", "marian", "m2m_100", "whisper", "wav2vec2", "hubert",
}  # fmt: skip
LIMIT = 0.005

# Reentrant checkpointing detaches the encoder's output at every layer; the engine hands its gradient on at once.
DETACHED = {"whisper-speech-ac-ckpt-eager-b4-s100": {"backward.peak", "allocated"}}

ROWS = training_steps("oracle_encoders.jsonl")

TASKS = {
    "ForMaskedLM": "masked-lm",
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForConditionalGeneration": "seq2seq-lm",
    "MTModel": "seq2seq-lm",
    "ForCTC": "ctc",
}
RECORDS = [
    (record, task)
    for record in all_records()
    if record.model_type in FAMILIES
    for suffix, task in TASKS.items()
    if (record.counted_as or record.architecture).endswith(suffix)
]


@pytest.mark.parametrize(("record", "task"), RECORDS, ids=lambda value: getattr(value, "id", value))
def test_the_parameters_of_a_public_model(record: ModelRecord, task: str) -> None:
    """Built from its config, a model has exactly the parameters that the catalogue counts."""
    family = family_of(record.model_type)
    assert family is not None
    model = family.build(Config({"model_type": record.model_type, **record.config}), task)
    assert record.parameters == sum(p.numel * p.copies for p in model.parameters())


def test_every_family_is_measured() -> None:
    """No family escapes the training steps below; of those that the catalogue counts bare, they say the count."""
    assert {row.family for row in ROWS} == FAMILIES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_training_step(row: Row) -> None:
    """Every figure is within half a percent: the peak, and peak and end of each phase."""
    (outcome,) = compare([row])
    assert outcome.why_not is None
    assert row.truth["load.end"] == outcome.figures["load.end"]  # to the byte: the same weights and buffers
    left_out = DETACHED.get(row.id, set())
    errors = {figure: outcome.error(figure) for figure in row.truth if figure not in left_out}
    assert {} == {figure: error for figure, error in errors.items() if error is None or abs(error) > LIMIT}


def test_layers_of_albert_share_one_gradient() -> None:
    """Twice the layers need twice the activations, and not a byte more of weights, gradients or states."""
    (row,) = (row for row in ROWS if row.id == "albert-masked-fp32-b16-s256")
    model = row.plan["model"]
    deeper = {**model, "config": {**model["config"], "num_hidden_layers": 10}}
    one, two = (estimate(Plan.model_validate({**row.plan, "model": which})) for which in (model, deeper))
    assert one.parameters == two.parameters
    assert one.phases["optimizer_step"].end == two.phases["optimizer_step"].end
    assert one.phases["forward"].end < two.phases["forward"].end

"""Less common families: parameter counts against the catalogue, training steps against the real libraries."""

from __future__ import annotations

import pytest

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.rows import Row, training_steps
from vramlint.knowledge.models import ModelRecord, all_records
from vramlint.memory.engine import CannotEstimate, estimate
from vramlint.memory.families import family_of
from vramlint.memory.families.base import Config
from vramlint.plan.document import Plan

LIMIT = 0.005
ROWS = training_steps("oracle_families2.jsonl")
FAMILIES = {row.family for row in ROWS}

# Which head the catalogue has counted, by the end of the class's name; decoders are counted in test_decoders.
TASKS = {
    "ForMaskedLM": "masked-lm",
    "ForConditionalGeneration": "seq2seq-lm",
    "ForImageTextToText": "image-text-to-text",
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForImageClassification": "image-classification",
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


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_training_step(row: Row) -> None:
    """Every figure is within half a percent: the peak, and peak and end of each phase."""
    (outcome,) = compare([row])
    assert outcome.why_not is None
    errors = {figure: outcome.error(figure) for figure in row.truth}
    assert {} == {figure: error for figure, error in errors.items() if error is None or abs(error) > LIMIT}


def test_the_rows_span_the_regimes() -> None:
    """Types, attention and checkpointing all occur, and about forty families."""
    assert len(FAMILIES) >= 38
    assert {"sdpa", "eager"} == {row.plan["attention"] for row in ROWS}
    assert any(row.plan.get("gradient_checkpointing") for row in ROWS)
    assert any(row.plan.get("mixed_precision") for row in ROWS)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("RWKV/rwkv-4-1b5-pile", 1_515_106_304), ("NX-AI/xLSTM-7b", 6_865_424_896)],
)
def test_an_unknown_text_model_has_a_stand_in(model: str, parameters: int) -> None:
    """Its parameters are the catalogue's, its range is wide to both sides, and the first assumption says why."""
    result = estimate(
        Plan.model_validate({"model": {"id": model}, "micro_batch_size": 2, "sequence_length": 512})
    )
    assert parameters == result.parameters
    assert result.allocated.high > 1.3 * result.allocated.low
    assert any("rough guide" in assumption for assumption in result.assumptions)


def test_an_unknown_model_of_images_is_refused_by_name() -> None:
    """The stand-in reads text; a detector's activations would be no guide at all."""
    with pytest.raises(CannotEstimate, match=r"'detr'.*reads text alone"):
        estimate(Plan.model_validate({"model": {"id": "facebook/detr-resnet-50"}, "micro_batch_size": 2}))

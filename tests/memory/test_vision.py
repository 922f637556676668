"""Vision and vision-language models: parameter counts, and whole training steps of the real libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.memory.plans import plan

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.rows import training_steps
from vramlint.knowledge.models import all_records
from vramlint.memory.engine import CannotEstimate, estimate
from vramlint.memory.families import family_of
from vramlint.memory.families.base import Config

if TYPE_CHECKING:
    from benchmarks.accuracy.rows import Row
    from vramlint.knowledge.models import ModelRecord

TASKS = {
    "vit": "image-classification",
    "dinov2": "image-classification",
    "beit": "image-classification",
    "swin": "image-classification",
    "convnext": "image-classification",
    "resnet": "image-classification",
    "clip": "contrastive",
    "siglip": "contrastive",
    "llava": "image-text-to-text",
    "qwen2_vl": "image-text-to-text",
    "qwen2_5_vl": "image-text-to-text",
}
# Left out below: Pixtral, whose tower is another, and bodies without a classifier. DeiT is counted with a head more.
LIMIT = 0.005

ROWS = training_steps("oracle_vision.jsonl")
RECORDS = [
    record
    for record in all_records()
    if record.model_type in TASKS
    and record.id != "mistral-community/pixtral-12b"
    and (
        TASKS[record.model_type] != "image-classification"
        or (record.counted_as or record.architecture).endswith("ForImageClassification")
    )
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_the_parameters_of_a_public_model(record: ModelRecord) -> None:
    """Built from its config, a model has exactly the parameters that the catalogue counts."""
    family = family_of(record.model_type)
    assert family is not None
    config = Config({"model_type": record.model_type, **record.config})
    model = family.build(config, TASKS[record.model_type])
    assert record.parameters == sum(p.numel * p.copies for p in model.parameters())


def test_every_family_is_in_the_catalogue() -> None:
    """No family escapes the counts above."""
    assert {record.model_type for record in RECORDS} == set(TASKS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_training_step(row: Row) -> None:
    """Every figure is within half a percent: the peak, and peak and end of each phase."""
    (outcome,) = compare([row])
    assert outcome.why_not is None
    errors = {figure: outcome.error(figure) for figure in row.truth}
    assert {} == {figure: error for figure, error in errors.items() if error is None or abs(error) > LIMIT}


def test_a_vision_model_that_is_not_walked_gets_a_wide_range() -> None:
    """Its parameters are the catalogue's, its activations a guess that says so."""
    guess = estimate(plan("timm/mixer_b16_224", task="image-classification", micro_batch_size=8))
    assert guess.parameters == 59_880_472
    assert guess.allocated.high > 1.2 * guess.allocated.expected
    assert any("not walked" in sentence for sentence in guess.assumptions)


def test_a_tag_of_weights_is_no_part_of_the_shape() -> None:
    """What follows the dot of a timm id names weights."""
    tagged, plain = (
        estimate(plan(name, task="image-classification", micro_batch_size=2))
        for name in ("timm/resnet18.a1_in1k", "timm/resnet18")
    )
    assert plain.allocated == tagged.allocated


def test_an_unknown_vision_model_is_named_with_the_nearest_known() -> None:
    """A misspelt id is answered with one that exists."""
    with pytest.raises(CannotEstimate, match="torchvision/resnet50"):
        estimate(plan("torchvision/resnet5o", task="image-classification"))

"""Diffusion models: parameters of every network of the catalogue, and steps that were traced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.memory.plans import plan

from vramlint.knowledge.models import all_records
from vramlint.memory.assemble import assemble_extra
from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.engine import estimate
from vramlint.plan.document import ModelSpec

if TYPE_CHECKING:
    from vramlint.knowledge.models import ModelRecord

PIPELINES = [record for record in all_records() if record.components]


@pytest.mark.parametrize("record", PIPELINES, ids=lambda record: record.id)
def test_every_network_of_a_pipeline_has_its_parameters(record: ModelRecord) -> None:
    """Each part of a pipeline is built under its role with the number of parameters that diffusers counts."""
    for part in record.components:
        network = assemble_extra(ModelSpec(id=record.id), part.name, "diffusion", FLOAT32)
        assert sum(p.numel * p.copies for p in network.parameters()) == part.parameters, part.name


def test_the_name_of_a_pipeline_is_enough() -> None:
    """The denoiser trains, at the size it was made for, and the frozen parts stand beside it."""
    found = estimate(plan("stable-diffusion-v1-5/stable-diffusion-v1-5", mixed_precision="fp16"))
    by_name = {term.name: term.bytes for term in found.ledger.terms}
    assert found.parameters == found.trainable_parameters == 859_520_964
    assert by_name["weights of extra models"] == 2 * (83_653_863 + 123_060_480)


def test_a_network_that_nobody_walks_is_a_guess() -> None:
    """Its weights are exact, and the estimate says that its activations are not."""
    found = estimate(plan("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", micro_batch_size=1, image_size=256))
    assert found.parameters == 1_418_996_800
    assert any("order of magnitude" in sentence for sentence in found.assumptions)

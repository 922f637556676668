"""Diffusion models: parameters of every network of the catalogue, and steps that were traced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.memory.plans import plan

from vramlint.knowledge.models import all_records
from vramlint.memory.assemble import assemble_extra
from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.engine import estimate
from vramlint.memory.errors import CannotEstimate
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


def test_encoders_that_are_freed_count_while_loading_alone() -> None:
    """What is gone before the first step is part of the largest amount of loading, and of no later phase."""
    name = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    encoder = {"role": "text_encoder", "param_dtype": "float16"}
    stays = estimate(plan(name, extra_models=[{**encoder, "model": {"id": name}}]))
    freed = estimate(plan(name, extra_models=[{**encoder, "model": {"id": name}, "freed": True}]))
    alone = estimate(plan(name, extra_models=[]))
    assert freed.phases["load"].peak == stays.phases["load"].peak
    assert freed.phases["load"].end == alone.phases["load"].end
    assert freed.allocated == alone.allocated


def test_an_autoencoder_encodes_before_the_denoiser_runs() -> None:
    """With checkpointing and adapters, the largest moment of the forward pass is the autoencoder's."""
    name = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    half = {"param_dtype": "float16", "mixed_precision": "fp16", "gradient_checkpointing": {}}
    lora = {"r": 4, "target_modules": ["to_k", "to_q", "to_v", "to_out.0"]}
    beside = [{"role": "vae", "model": {"id": name}}]
    found = estimate(plan(name, **half, lora=lora, image_size=512, micro_batch_size=8, extra_models=beside))
    without = estimate(plan(name, **half, lora=lora, image_size=512, micro_batch_size=8, extra_models=[]))
    assert found.phases["forward"].peak > without.phases["forward"].peak + 10**9


def test_adapters_of_a_denoiser_have_its_type() -> None:
    """Adapters are added in the weights' type, where PEFT's own wrapper would keep them in fp32."""
    name = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    lora = {"r": 4, "target_modules": ["to_k", "to_out.0"]}
    found = estimate(plan(name, task="diffusion", param_dtype="bfloat16", lora=lora, extra_models=[]))
    assert found.phases["load"].end < 2 * (found.parameters + 2**18)
    assert found.trainable_parameters == found.parameters - 859_520_964


def test_an_encoder_alone_is_not_trained() -> None:
    """An autoencoder has no loss that is known, and the refusal says so."""
    with pytest.raises(CannotEstimate, match="only encodes"):
        estimate(plan("madebyollin/sdxl-vae-fp16-fix", task="diffusion"))


def test_layers_in_lists_are_quantized() -> None:
    """Flux in NF4 takes half a byte and the scales for each weight, those of its module lists too.

    Published for the training it is loaded for: about 9 GB on an RTX 4090 (huggingface.co/blog/flux-qlora).
    """
    lora = {"r": 4, "target_modules": ["to_k", "to_q", "to_v", "to_out.0"]}
    quantization = {"kind": "nf4", "compute_dtype": "bfloat16"}
    keys = {"param_dtype": "bfloat16", "mixed_precision": "bf16", "gradient_checkpointing": {}}
    flux = plan(
        "black-forest-labs/FLUX.1-dev",
        **keys,
        task="diffusion",
        micro_batch_size=1,
        image_size=[768, 512],
        optimizer="adamw_8bit",
        lora=lora,
        quantization=quantization,
        extra_models=[],
    )
    found = estimate(flux)
    assert found.phases["load"].end < 0.57 * 11_901_408_320
    assert 8.0e9 < found.device.expected < 10.0e9

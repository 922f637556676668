"""The model catalogue: every record loads, names lead where they should, and counts follow from configs."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from vramlint.knowledge import models
from vramlint.knowledge.models import ModelRecord, table

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORDS = tuple(models.all_records())


def test_every_record_loads() -> None:
    """Each of the 1,407 hub models and 1,363 vision models has a type, a count and a source."""
    assert 1407 + 1363 == len(RECORDS)
    for record in RECORDS:
        assert record.model_type
        assert record.parameters > 0
        assert record.source
        assert record.config or record.images or record.components


def test_every_record_is_found_by_its_id() -> None:
    """Bisection reaches the first line, the last one and all between, in any case."""
    for record in RECORDS:
        assert record == models.find(record.id.upper() if record.model_type != "timm" else record.id)


@pytest.mark.parametrize("name", ["records.tsv", "aliases.tsv"])
def test_the_tables_are_sorted(name: str) -> None:
    """Bisection needs keys in the order of their bytes, each once, in lower case."""
    keys = table.keys(models._RECORDS.with_name(name))
    assert sorted(set(keys), key=str.encode) == keys
    assert [key.lower() for key in keys] == keys


def test_every_alias_leads_to_a_record() -> None:
    """None of the 3,286 other names dangles, and none hides a record."""
    aliases = table.keys(models._ALIASES)
    assert 3286 == len(aliases)
    assert not set(aliases) & set(table.keys(models._RECORDS))
    for alias in aliases:
        assert models.find(alias) is not None


@pytest.mark.parametrize(
    ("name", "canonical", "quant"),
    [
        ("gpt2", "openai-community/gpt2", None),
        ("META-LLAMA/llama-2-7B-hf", "meta-llama/Llama-2-7b-hf", None),
        ("unsloth/Phi-3-mini-4k-instruct-bnb-4bit", "microsoft/Phi-3-mini-4k-instruct", "bnb-4bit"),
        ("microsoft/Phi-3-mini-4k-instruct-AWQ", "microsoft/Phi-3-mini-4k-instruct", "awq"),
        ("microsoft/Phi-3-mini-4k-instruct-GPTQ-Int4", "microsoft/Phi-3-mini-4k-instruct", "gptq"),
        ("microsoft/Phi-3-mini-4k-instruct-unsloth-bnb-4bit", "microsoft/Phi-3-mini-4k-instruct", "bnb-4bit"),
        ("runwayml/stable-diffusion-v1-5", "stable-diffusion-v1-5/stable-diffusion-v1-5", None),
        ("torchvision/resnet50", "torchvision/resnet50", None),
        ("timm/vit_base_patch16_224.augreg_in1k", "timm/vit_base_patch16_224", None),
    ],
)
def test_names_lead_to_their_model(name: str, canonical: str, quant: str | None) -> None:
    """Case, old names, quantized uploads and timm tags are seen through, and the quantization is kept."""
    record = models.find(name)
    assert record is not None
    assert canonical == record.id
    assert quant == record.quant


@pytest.mark.parametrize(
    "name", ["", "/", "no-such/model", "no-such/model-AWQ", "-AWQ", "timm/", "gpt2\tx", "Ω"]
)
def test_an_unknown_name_is_none(name: str) -> None:
    """Names that nobody has, and strange ones, give None and no exception."""
    assert models.find(name) is None


def test_nearest_names() -> None:
    """A misspelt id is answered with the ids meant, the likeliest first."""
    assert "meta-llama/Llama-2-7b-hf" == models.nearest("meta-llama/Llama-2-7bb-hf")[0]
    assert () == models.nearest("zzzzzzzz/qqqqqqqq")


def test_one_entry_is_quick() -> None:
    """Opening the files and reading one entry stays under a millisecond (the best of five)."""
    names = ("meta-llama/Llama-2-7b-hf", "google/gemma-4-31B-it", "gpt2", "timm/resnet50", "no-such/model")
    for name in names:
        assert min(seconds(name) for _ in range(5)) < 1e-3


def seconds(name: str) -> float:
    """How long one look-up takes."""
    start = perf_counter()
    models.find(name)
    return perf_counter() - start


def test_known_counts() -> None:
    """Exact counts that are published for these models."""
    for name, parameters in (
        ("microsoft/Phi-3-mini-4k-instruct", 3_821_079_552),
        ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("gpt2", 124_439_808),
        ("torchvision/resnet50", 25_557_032),
    ):
        record = models.find(name)
        assert record is not None
        assert parameters == record.parameters


def test_a_diffusion_pipeline_keeps_its_components() -> None:
    """UNet, VAE and text encoder have a class, a config and a count of their own."""
    record = models.find("runwayml/stable-diffusion-v1-5")
    assert record is not None
    counts = {component.name: component.parameters for component in record.components}
    assert {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480} == counts


def test_a_vision_model_has_its_figures() -> None:
    """Multiply-adds, and the bytes that autograd keeps per image, by image size."""
    record = models.find("torchvision/alexnet")
    assert record is not None
    (figures,) = record.images
    assert (224, 61_100_840, 714_200_000, 3_741_184) == (
        figures.image_size,
        figures.parameters,
        figures.macs,
        figures.saved_bytes,
    )


def test_doubt_is_carried() -> None:
    """A dtype that no source states is not certain; one that a source states is."""
    certain = [record for record in RECORDS if record.dtype_certain and not record.images]
    assert 238 == len(certain)
    phi = models.find("microsoft/Phi-3-mini-4k-instruct")
    assert phi is not None
    assert "bfloat16" == phi.checkpoint_dtype
    assert not phi.dtype_certain


@pytest.mark.parametrize(
    "record",
    [record for record in RECORDS if record.model_type in {"llama", "mistral", "qwen2", "phi3", "gpt2"}],
    ids=lambda record: record.id,
)
def test_counts_follow_from_the_config(record: ModelRecord) -> None:
    """The closed form of the family gives the record's count exactly; embedding models have no head."""
    count = COUNTS[record.model_type](record.config)
    head = record.config["vocab_size"] * record.config.get("hidden_size", 0)
    without_head = (record.counted_as or "").endswith("Model") and not record.config.get(
        "tie_word_embeddings"
    )
    assert record.parameters == count - (head if without_head else 0)


def llama_count(config: Mapping[str, Any]) -> int:
    """Embedding, head unless tied, and per layer four attention and three MLP matrices and two norms."""
    V, D, F, L = (
        config[key] for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    )
    N = config["num_attention_heads"]
    H = config.get("head_dim") or D // N
    K = config.get("num_key_value_heads") or N
    biases = attention_biases(config, N * H, K * H) + (2 * F + D if config.get("mlp_bias") else 0)
    layer = 2 * D * N * H + 2 * D * K * H + 3 * D * F + 2 * D + biases
    return V * D + L * layer + D + (0 if config.get("tie_word_embeddings") else V * D)


def attention_biases(config: Mapping[str, Any], queries: int, keys: int) -> int:
    """Qwen2 has biases on queries, keys and values; Llama on the output too, and only on request."""
    if config["model_type"] == "qwen2":
        return queries + 2 * keys
    return queries + 2 * keys + config["hidden_size"] if config.get("attention_bias") else 0


def gpt2_count(config: Mapping[str, Any]) -> int:
    """Two embeddings, and per layer 12 D² + 13 D: biases everywhere, the head tied."""
    V, S, D, L = (config[key] for key in ("vocab_size", "n_positions", "n_embd", "n_layer"))
    F = config.get("n_inner") or 4 * D
    layer = 4 * D * D + 2 * D * F + 4 * D + F + D + 4 * D
    head = 0 if config.get("tie_word_embeddings", True) else V * D
    return V * D + S * D + L * layer + 2 * D + head


COUNTS = {
    "llama": llama_count,
    "mistral": llama_count,
    "qwen2": llama_count,
    "phi3": llama_count,
    "gpt2": gpt2_count,
}

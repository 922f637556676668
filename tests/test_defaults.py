"""The defaults by version are what the releases examined have, and every one names its source."""

from __future__ import annotations

from typing import Any

import pytest

from vramlint.knowledge.defaults import default, fields, frameworks
from vramlint.knowledge.versions import fulfils, known_libraries, newest, release_key, releases

ARGUMENTS = "transformers.TrainingArguments"
AS_OF = f"as of {newest('transformers')}"
EVERY = [(library, field) for library in frameworks() for field in fields(library)]


@pytest.mark.parametrize(
    ("framework", "field", "version", "value"),
    [
        (ARGUMENTS, "per_device_train_batch_size", None, 8),
        (ARGUMENTS, "optim", "4.31.0", "adamw_hf"),
        (ARGUMENTS, "optim", "4.32.1", "adamw_torch"),
        (ARGUMENTS, "optim", "4.53.3", "adamw_torch"),
        (ARGUMENTS, "optim", "4.54.0", "adamw_torch_fused"),
        (ARGUMENTS, "gradient_checkpointing", "4.57.6", False),
        (ARGUMENTS, "gradient_checkpointing", "5.23.0", None),
        ("transformers.from_pretrained", "dtype", "4.57.6", "float32"),
        ("transformers.from_pretrained", "dtype", "5.0.0", "auto"),
        ("transformers.from_pretrained", "dtype", None, "auto"),
        ("transformers.from_config", "dtype", "4.48.3", "float32"),
        ("transformers.from_config", "dtype", "4.57.6", "auto"),
        ("transformers.constructor", "dtype", None, "float32"),
        ("transformers.from_pretrained", "attn_implementation", "4.35.2", "eager"),
        ("transformers.from_pretrained", "attn_implementation", "4.44.2", "sdpa"),
        ("transformers.gradient_checkpointing_enable", "use_reentrant", "4.57.6", True),
        ("transformers.gradient_checkpointing_enable", "use_reentrant", "5.0.0", False),
        ("transformers.bitsandbytes_quantizer", "dtype", "4.44.0", "float16"),
        ("trl.SFTConfig", "max_seq_length", "0.14.0", None),
        ("trl.SFTConfig", "max_length", None, 1024),
        ("trl.SFTConfig", "bf16", "0.19.0", True),
        ("trl.SFTConfig", "gradient_checkpointing", "0.22.0", True),
        ("trl.DPOConfig", "loss_type", None, ["sigmoid"]),
        ("trl.GRPOConfig", "per_device_train_batch_size", "0.14.0", 1),
        ("trl.GRPOConfig", "beta", "0.14.0", 0.04),
        ("trl.string_model", "dtype", "0.26.2", "auto"),
        ("trl.string_model", "dtype", "1.16.0", "float32"),
        ("lightning.autocast", "cache_enabled", "2.5.4", True),
        ("lightning.autocast", "cache_enabled", "2.5.5", False),
        ("accelerate.fsdp1", "upcasts_trainable", "0.29.3", False),
        ("accelerate.fsdp1", "upcasts_trainable", "0.30.0", True),
        ("deepspeed.zero_optimization", "reduce_bucket_size", None, 500_000_000),
        ("peft.LoraConfig", "r", None, 8),
        ("bitsandbytes.BitsAndBytesConfig", "bnb_4bit_quant_type", None, "fp4"),
        ("torch.zero_grad", "set_to_none", "1.13.1", False),
        ("torch.zero_grad", "set_to_none", "2.0.0", True),
        ("vllm", "gpu_memory_utilization", "0.20.0", 0.9),
        ("vllm", "gpu_memory_utilization", "0.21.0", 0.92),
        ("axolotl", "sequence_len", None, 512),
    ],
)
def test_values(framework: str, field: str, version: str | None, value: object) -> None:
    """The value of a field changes at the release that changed it."""
    assert value == default(framework, field, version).value


def test_a_default_can_depend_on_another_library() -> None:
    """The fused AdamW needs torch 2.8; the newest torch is taken where none is given."""
    assert "adamw_torch" == default(ARGUMENTS, "optim", "4.54.0", {"torch": "2.7.1"}).value
    assert "adamw_torch_fused" == default(ARGUMENTS, "optim", "4.54.0", {"torch": "2.8.0"}).value


def test_a_default_can_be_another_librarys() -> None:
    """A TRL config that does not set a field has what it inherits."""
    found = default("trl.SFTConfig", "gradient_checkpointing", "0.21.0")
    assert (ARGUMENTS, None, True) == (found.inherits, found.value, found.exists)


def test_a_field_can_be_missing() -> None:
    """A field that came later does not exist before."""
    found = default(ARGUMENTS, "use_cache", "4.57.6")
    assert (False, None) == (found.exists, found.value)
    assert default(ARGUMENTS, "use_cache", "5.0.0").exists


@pytest.mark.parametrize(
    ("framework", "field", "version", "versions"),
    [
        ("transformers.from_pretrained", "dtype", "5.1.0", f"transformers >=5.0.0, {AS_OF}"),
        ("transformers.from_pretrained", "dtype", "4.44.2", "transformers 4.44.2, <5.0.0"),
        (ARGUMENTS, "optim", "4.54.1", f"transformers >=4.54.0, {AS_OF}, with torch >=2.8"),
        ("trl.SFTConfig", "packing_strategy", "0.19.1", "trl >=0.19.1 (first seen), <0.20.0"),
        (ARGUMENTS, "optim", "4.10.0", "transformers 4.18.0, the oldest examined, <4.32.1"),
        ("axolotl", "sequence_len", None, "axolotl"),
    ],
)  # fmt: skip
def test_versions(framework: str, field: str, version: str | None, versions: str) -> None:
    """A default says for which versions it holds, and how sure the first of them is."""
    assert versions == default(framework, field, version).versions


def test_a_citation_names_the_line() -> None:
    """What was read in a file says where."""
    assert "transformers 4.18.0, training_args.py:446" == default(
        ARGUMENTS, "per_device_train_batch_size", None
    ).citation  # fmt: skip


@pytest.mark.parametrize(
    ("framework", "field", "message"),
    [
        (ARGUMENTS, "optimm", "the nearest is 'TrainingArguments.optim'"),
        ("tensorflow", "x", "no defaults of 'tensorflow' are known; known are accelerate"),
        ("releases", "x", "no defaults of 'releases'"),
    ],
)
def test_unknown_names_raise(framework: str, field: str, message: str) -> None:
    """A name that nobody looked up is an error of the caller."""
    with pytest.raises(LookupError, match=message):
        default(framework, field, None)


@pytest.mark.parametrize(("library", "field"), EVERY)
def test_every_history_is_whole(library: str, field: str) -> None:
    """Each entry, asked for at every known release, has a value or says why not, and names its source."""
    for version in (None, "0.1", *(releases(library) if library in known_libraries() else ())):
        found: Any = default(library, field, version)
        assert found.citation
        assert library in found.versions
        assert found.value is None or (found.exists and found.inherits is None)


def test_releases_rise() -> None:
    """The lists of releases are in rising order, so that the last is the newest."""
    assert "transformers" in known_libraries()
    for library in known_libraries():
        keys = [release_key(version) for version in releases(library)]
        assert sorted(set(keys)) == keys
    with pytest.raises(LookupError, match="no releases of nanogpt"):
        newest("nanogpt")


@pytest.mark.parametrize(
    ("version", "comparison", "holds"),
    [
        ("2.8.0+cu121", ">=2.8", True), ("2.10.0", ">=2.8", True), ("2.7.1", ">=2.8", False),
        ("5.0.0.dev0", "<5", False), ("v4.44", "==4.44.0", True), ("1.0", ">1", False), ("1.0", "<=1", True),
    ],
)  # fmt: skip
def test_comparisons(version: str, comparison: str, holds: bool) -> None:  # noqa: FBT001  a table's column
    """Versions compare by their numbers."""
    assert holds == fulfils(version, comparison)
    with pytest.raises(ValueError, match="is no comparison"):
        fulfils(version, "about 2")

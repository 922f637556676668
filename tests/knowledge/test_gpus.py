"""Finding GPUs by what people call them."""

from __future__ import annotations

import pytest

from vramlint.knowledge import gpus
from vramlint.knowledge.gpus import AmbiguousGpu, UnknownGpu
from vramlint.knowledge.gpus.catalogue import records

MIB = 2**20


@pytest.mark.parametrize(
    ("text", "name", "mib"),
    [
        ("4090", "RTX 4090", 24217),
        ("RTX 4090", "RTX 4090", 24217),
        ("rtx4090", "RTX 4090", 24217),
        ("rtx-4090", "RTX 4090", 24217),
        ("gtx1080ti", "GTX 1080 Ti", 11178),
        ("NVIDIA GeForce RTX 4090", "RTX 4090", 24217),
        ("4090 laptop", "RTX 4090 Laptop", 15981),
        ("A100 80GB", "A100 80GB", 81038),
        ("A100 80 GB", "A100 80GB", 81038),
        ("a100-80gb", "A100 80GB", 81038),
        ("A100-SXM4-40GB", "A100 40GB", 40326),
        ("A100 40", "A100 40GB", 40326),
        ("h100 sxm", "H100 SXM", 81082),
        ("H100", "H100 SXM", 81082),
        ("h100 nvl", "H100 NVL", 95300),
        ("Tesla T4", "T4", 15102),
        ("3060", "RTX 3060 12GB", 12044),
        ("4060 Ti 16GB", "RTX 4060 Ti 16GB", 15989),
        ("H800", "H800", 81559),
    ],
)
def test_a_name_gives_the_real_memory(text: str, name: str, mib: int) -> None:
    """However a GPU is written, its bytes are those that a tool reports, not the marketed ones."""
    gpu = gpus.find(text)
    assert name == gpu.name
    assert mib * MIB == gpu.bytes


@pytest.mark.parametrize(
    ("text", "gib"),
    [("24GB", 24), ("24 GB", 24), ("24GiB", 24), ("24g", 24), ("80", 80), ("7.5", 7.5), ("16384MiB", 16)],
)
def test_a_size_is_the_marketed_one(text: str, gib: float) -> None:
    """A size means that many times 2³⁰ bytes, with or without a unit."""
    assert gib * 2**30 == gpus.find(text).bytes


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("A100", ("A100 40GB", "A100 80GB")),
        ("nvidia a100 sxm", ("A100 40GB", "A100 80GB")),
        ("V100", ("V100 16GB", "V100 32GB")),
        ("NVIDIA GeForce RTX 3080", ("RTX 3080 10GB", "RTX 3080 12GB")),
        ("4060 ti", ("RTX 4060 Ti 8GB", "RTX 4060 Ti 16GB")),
    ],
)
def test_a_name_with_several_sizes_lists_them(text: str, choices: tuple[str, ...]) -> None:
    """Where a name leaves the memory open, nothing is guessed."""
    with pytest.raises(AmbiguousGpu, match="say which: ") as caught:
        gpus.find(text)
    assert choices == caught.value.choices


def test_an_unknown_name_brings_the_nearest() -> None:
    """A slip of the finger is answered with what was meant."""
    with pytest.raises(UnknownGpu, match=r"unknown GPU 'RTX 4099'; did you mean .*RTX 4090"):
        gpus.find("RTX 4099")


@pytest.mark.parametrize("text", ["", "   ", "nvidia", "0", "99999GB", "qqqqqqqqqq"])
def test_what_is_no_gpu_is_said_to_be_none(text: str) -> None:
    """Empty text, a maker's name alone and absurd sizes are errors of one line."""
    with pytest.raises(UnknownGpu, match="unknown GPU"):
        gpus.find(text)


def test_every_name_of_the_catalogue_is_found() -> None:
    """Each name leads to its own record; each alias to it or, where sizes differ, to a choice that has it."""
    for record in records():
        assert record.gpu == gpus.find(record.name)
        for alias in record.aliases:
            assert record.name in candidates(alias)


def candidates(text: str) -> tuple[str, ...]:
    """The names of all GPUs that the text may mean."""
    try:
        found = gpus.find(text)
    except AmbiguousGpu as error:
        return error.choices
    return tuple(record.name for record in records() if record.gpu.bytes == found.bytes)


def test_every_gpu_has_a_size_and_says_who_reported_it() -> None:
    """All 155 have bytes near the marketed size and a citation."""
    assert 155 == len(gpus.all_gpus())
    for record in records():
        assert record.gpu.cited
        assert 0.9 < record.gpu.bytes / (record.marketed_gb * 10**9) < 1.1


def test_the_source_of_a_total_is_named() -> None:
    """Torch's figure where there is one, else nvidia-smi's, else the marketed size, and it says which."""
    assert "torch.cuda.get_device_properties: 24217 MiB (seen)" == gpus.find("4090").cited
    assert "nvidia-smi: 81559 MiB (recalled)" == gpus.find("H800").cited
    assert gpus.find("MI300X").cited.startswith("marketed size, 192 x 2^30 bytes")


def test_capability_is_read() -> None:
    """The compute capability is a pair, (0, 0) where CUDA does not apply."""
    assert (8, 9) == gpus.find("4090").capability
    assert (0, 0) == gpus.find("MI300X").capability


def test_common_gpus_go_from_small_to_large() -> None:
    """The list for "which common GPUs it fits" is sorted and has about a dozen."""
    sizes = [gpu.bytes for gpu in gpus.common()]
    assert sizes == sorted(sizes)
    assert 12 <= len(sizes) <= 15


def test_a_measured_gpu_is_told_apart_by_its_memory() -> None:
    """The name of nvidia-smi fits two cards; the total says which; an unknown card keeps its total."""
    assert "RTX 3080 12GB" == gpus.measured("NVIDIA GeForce RTX 3080", 12288).name
    assert 12043 * MIB == gpus.measured("NVIDIA GeForce RTX 3080", 12288).bytes
    assert 12345 * MIB == gpus.measured("NVIDIA Frobnicator", 12345).bytes

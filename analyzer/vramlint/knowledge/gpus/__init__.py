"""GPUs by name or size, with the memory that they really have."""

from __future__ import annotations

import re

from vramlint.knowledge.gpu import Gpu
from vramlint.knowledge.gpus.catalogue import Record, records
from vramlint.knowledge.gpus.errors import AmbiguousGpu, UnknownGpu

__all__ = ["AmbiguousGpu", "UnknownGpu", "all_gpus", "common", "find", "measured"]

_MIB = 2**20
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(gb|gib|g|mb|mib|m)?", re.IGNORECASE)
_SMALLEST_MODEL_NUMBER = 1000  # "80" is a size, "4090" a name
_LARGEST_SIZE = 4096  # GB
_COMMON = (
    "RTX 4060", "RTX 3060 12GB", "T4", "RTX 4080", "RTX 4090", "A10G", "RTX 5090", "A100 40GB", "L40S",
    "A100 80GB", "H100 SXM", "H200", "B200",
)  # fmt: skip
_DIFFERENCE = 0.02  # between what two tools call the total of one GPU

_SEPARATORS = str.maketrans("-_/()", "     ")

# Words that name a maker or a product line but never tell two GPUs apart.
_FILLER = frozenset(
    {"nvidia", "geforce", "rtx", "gtx", "tesla", "amd", "radeon", "instinct", "gpu", "generation", "graphics"}
)


def find(text: str) -> Gpu:
    """Return the GPU of a name ("4090", "a100-80gb", "NVIDIA H200") or of a size ("24GB", "80").

    A size means the marketed size, 2³⁰ bytes per GB; a named GPU has the total that torch reports, else
    that of nvidia-smi, and `cited` says which.

    Raises:
        UnknownGpu: if nothing has that name; it names the nearest.
        AmbiguousGpu: if the name fits GPUs of different memory; it names all of them.
    """
    size = _SIZE.fullmatch(text.strip())
    if size and (size[2] or float(size[1]) < _SMALLEST_MODEL_NUMBER):
        return _of_size(text.strip(), float(size[1]), size[2] or "gb")
    return _one(text, _matches(text))


def measured(name: str, total_mib: int) -> Gpu:
    """Return the GPU that `nvidia-smi` calls `name` and says to have `total_mib` MiB.

    The catalogue adds what torch would see of it; a GPU that it does not know keeps the reported total.
    """
    fitting = [record for record in _matches(name) if record.has_about(total_mib, _DIFFERENCE)]
    if fitting:
        return fitting[0].gpu
    return Gpu(name, total_mib * _MIB, cited=f"nvidia-smi on this machine: {total_mib} MiB")


def all_gpus() -> tuple[Gpu, ...]:
    """Return every GPU of the catalogue, in its order."""
    return tuple(record.gpu for record in records())


def common() -> tuple[Gpu, ...]:
    """Return the GPUs that people have most often, the smallest first."""
    by_name = {record.name: record.gpu for record in records()}
    return tuple(sorted((by_name[name] for name in _COMMON), key=lambda gpu: gpu.bytes))


def _of_size(text: str, number: float, unit: str) -> Gpu:
    gib = number / 1024 if unit.lower().startswith("m") else number
    if not 0 < gib <= _LARGEST_SIZE:
        raise UnknownGpu(text, ())
    return Gpu(f"{gib:g} GB", round(gib * 2**30), cited=f"the size given: {gib:g} x 2^30 bytes")


def _one(text: str, found: tuple[Record, ...]) -> Gpu:
    if not found:
        raise UnknownGpu(text, _nearest(text))
    if len({record.gpu.bytes for record in found}) > 1:
        raise AmbiguousGpu(text, tuple(record.name for record in found))
    return found[0].gpu


def _matches(text: str) -> tuple[Record, ...]:
    """Return exact names first, but all sizes of a GPU sold with several; else every word must fit."""
    words = _words(_spelled(text))
    if not words:
        return ()
    glued = "".join(words)
    sizes = tuple(record for record in records() if record.stem and glued == _glued(record.stem))
    if len(sizes) > 1:
        return sizes
    exact = tuple(record for record in records() if any(glued == _glued(name) for name in record.all_names))
    return exact or tuple(
        record for record in records() if any(_fits(words, name) for name in record.all_names)
    )


def _fits(words: tuple[str, ...], name: str) -> bool:
    """Whether each word begins a word of the name."""
    known = _words(name)
    return all(any(other.startswith(word) for other in known) for word in words)


def _spelled(text: str) -> str:
    """Return the text with its words apart as in the catalogue: `rtx4090` is two words, `80 GB` is one."""
    joined = re.sub(r"(\d)\s+(gi?b)\b", r"\1\2", text.lower()).replace("gib", "gb")
    return re.sub(r"\b(rtx|gtx)(?=\d)", r"\1 ", joined)


def _glued(text: str) -> str:
    return "".join(_words(text))


def _words(text: str) -> tuple[str, ...]:
    """Return the telling words in lower case."""
    return tuple(word for word in text.lower().translate(_SEPARATORS).split() if word not in _FILLER)


def _nearest(text: str) -> tuple[str, ...]:
    from difflib import get_close_matches  # noqa: PLC0415  only for a message

    names = {" ".join(_words(name)): record.name for record in records() for name in record.all_names}
    close = get_close_matches(" ".join(_words(_spelled(text))), sorted(names), n=3, cutoff=0.5)
    return tuple(dict.fromkeys(names[name] for name in close))

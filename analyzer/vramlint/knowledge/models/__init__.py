"""The model catalogue: architecture facts of public models, one entry read at a time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.knowledge.models.record import ImageFigures, ModelRecord, read
from vramlint.knowledge.models.table import keys, lookup

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ImageFigures", "ModelRecord", "all_ids", "all_records", "find", "nearest"]

_RECORDS = Path(__file__).with_name("records.tsv")
_ALIASES = Path(__file__).with_name("aliases.tsv")

# What people append to a name when they upload it quantized, and the kind that it says.
_SUFFIX = re.compile(
    r"[-_.](?:unsloth-)?(?P<kind>awq|gptq|bnb[-_]4bit|fp8|gguf|ggml|nvfp4|mlx|4bit|8bit|int4|int8|w4a16|w8a8)"
    r"(?:[-_](?:int[48]|dynamic|[48]bit))?$",
    re.IGNORECASE,
)
_CLOSE_ENOUGH = 2000  # names compared for a suggestion, so that a message stays quick


# What a path of a machine begins with, as no id of the hub does.
_PATH_SIGNS = ("/", "./", "../", "~", "$")


def find(model_id: str) -> ModelRecord | None:
    """Return the record of a hub id, whatever its case, or None if the catalogue has no such model.

    An alias gives its model's record, with `quant` where the name is that of a quantized upload;
    suffixes such as `-AWQ` and `-bnb-4bit` are taken off and remembered. `torchvision/…` and `timm/…`
    are vision models; what follows a dot in a timm id names weights, not a shape. A path of a machine, such as
    `/data/models/Llama-2-7b-hf`, gives the one model that is called like its last directory.
    """
    name = model_id.strip().strip("/").lower()
    if name.startswith("timm/"):
        name = name.partition(".")[0]
    found = _by_name(name)
    if found is not None:
        return found
    if model_id.strip().startswith(_PATH_SIGNS):
        return _called(name.rpartition("/")[2])
    suffix = _SUFFIX.search(name)
    if suffix is None:
        return None
    plain = find(name[: suffix.start()])
    return None if plain is None else replace(plain, quant=suffix["kind"].replace("_", "-"))


def nearest(model_id: str) -> tuple[str, ...]:
    """Return up to three known ids that look most like this one."""
    from difflib import get_close_matches  # noqa: PLC0415  only an unknown name needs it

    name = model_id.strip().lower()
    close = get_close_matches(name, _alike(name), n=3, cutoff=0.6)
    found = (_by_name(key) for key in close)
    return tuple(dict.fromkeys(record.id for record in found if record is not None))


def all_ids() -> tuple[str, ...]:
    """Return every id of the catalogue, aliases left out, sorted without regard to case."""
    return tuple(record.id for record in all_records())


def all_records() -> Iterator[ModelRecord]:
    """Yield every record; slow, for listings and tests."""
    for line in _RECORDS.read_text(encoding="utf-8").splitlines():
        yield read(line.partition("\t")[2])


def _called(base: str) -> ModelRecord | None:
    """Return the model whose id ends in a name, None where none does or several do that differ."""
    found = [_by_name(key) for key in (*keys(_RECORDS), *keys(_ALIASES)) if key.endswith(f"/{base}")]
    records = {record.id: record for record in found if record is not None}
    if len(records) != 1:
        return None
    return replace(next(iter(records.values())), same_shape_only=True)


def _by_name(name: str) -> ModelRecord | None:
    fields = lookup(_RECORDS, name)
    if fields is not None:
        return read(fields[0])
    alias = lookup(_ALIASES, name)
    if alias is None:
        return None
    canonical, quant, shape = alias
    record = read(_fields_of(canonical)[0])
    return replace(record, quant=quant or None, same_shape_only=shape == "shape")


def _fields_of(canonical: str) -> list[str]:
    fields = lookup(_RECORDS, canonical.lower())
    if fields is None:
        raise LookupError(f"an alias of the catalogue leads to {canonical}, which it does not have")
    return fields


def _alike(name: str) -> list[str]:
    """Return the names that share the owner, or the beginning of the part behind it."""
    owner, _, base = name.rpartition("/")
    start = base[:3]
    names = [*keys(_RECORDS), *keys(_ALIASES)]
    alike = [
        key
        for key in names
        if key.rpartition("/")[2].startswith(start) or (owner and key.startswith(f"{owner}/"))
    ]
    return alike[:_CLOSE_ENOUGH]

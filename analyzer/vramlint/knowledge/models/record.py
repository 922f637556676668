"""One model of the catalogue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


_DENOISERS = ("unet", "transformer", "controlnet")


@dataclass(frozen=True, slots=True)
class Component:
    """One network of a diffusion pipeline: its role, class, config and parameter count."""

    name: str
    architecture: str
    config: Mapping[str, Any]
    parameters: int


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """A vision model at one image size, per image.

    `macs` are multiply-adds, `activations` elements as timm counts them; `saved_bytes` is what
    autograd saves for backward in fp32 train mode (shapes traced without data), of which
    `saved_constant_bytes` do not grow with the batch. None where it was not counted.
    """

    image_size: int
    parameters: int
    macs: int | None
    activations: int | None
    saved_bytes: int | None
    saved_constant_bytes: int | None
    buffers: int | None


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What is known of one model.

    `config` has the keys of its config.json, with `model_type` and `architectures`, enough to build it;
    it is empty for vision models, which torchvision and timm build from their name, and for pipelines,
    whose `components` have one each. `parameters` is the count of the loaded model, tied weights once.
    `checkpoint_dtype` is the dtype that the checkpoint is stored in, certain only where
    `dtype_certain`. `quant` is the kind of quantized upload that was asked for. `counted_as` is the
    class that was counted, where it is not `architecture`: one of equal shape, or the base model of an
    encoder without its head. `shape_known_from` and `count_checked` say how far to trust shape and
    count; `source` names the public source. `same_shape_only`: the name asked for is a fine-tune whose
    shape is that of this model; its context length may differ.
    """

    id: str
    model_type: str
    architecture: str
    config: Mapping[str, Any]
    parameters: int
    checkpoint_dtype: str | None
    dtype_certain: bool
    source: str
    shape_known_from: str
    count_checked: str
    quant: str | None = None
    same_shape_only: bool = False
    remote_code: bool = False
    counted_as: str | None = None
    parameters_from_config: int | None = None
    active_parameters: int | None = None
    components: tuple[Component, ...] = ()
    images: tuple[ImageFigures, ...] = ()
    note: str | None = None

    def part(self, role: str | None = None, class_name: str | None = None) -> Component:
        """Return the network of a pipeline that has this role, else this class; else the one that denoises."""
        for wanted in (role, class_name):
            for part in self.components:
                if wanted in {part.name, part.architecture}:
                    return part
        denoisers = [part for part in self.components if part.name in _DENOISERS]
        return (denoisers or list(self.components))[0]


def read(text: str) -> ModelRecord:
    """Return the record of one line's JSON."""
    data = json.loads(text)
    return ModelRecord(
        id=data["id"],
        model_type=data["model_type"],
        architecture=data["architecture"],
        config=_config(data),
        parameters=data["parameters"],
        checkpoint_dtype=data["dtype"],
        dtype_certain=data["dtype_certain"],
        source=data["source"],
        shape_known_from=data["shape"],
        count_checked=data["count"],
        remote_code=data.get("remote_code", False),
        counted_as=data.get("counted_as"),
        parameters_from_config=data.get("parameters_from_config"),
        active_parameters=data.get("active_parameters"),
        components=tuple(_component(part) for part in data.get("components", ())),
        images=tuple(_figures(row) for row in data.get("images", ())),
        note=data.get("note"),
    )


def _config(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config; what it leaves out has the default of transformers' class, even everything."""
    if "images" in data or "components" in data:
        return {}
    return {"model_type": data["model_type"], "architectures": [data["architecture"]], **data["config"]}


def _component(part: Mapping[str, Any]) -> Component:
    return Component(part["name"], part["class"], part["config"], part["parameters"])


def _figures(row: list[float | None]) -> ImageFigures:
    size, parameters, gmacs, mega_activations, saved, constant, buffers = row
    return ImageFigures(
        int(size or 0),
        int(parameters or 0),
        _scaled(gmacs, 10**9),
        _scaled(mega_activations, 10**6),
        _scaled(saved, 1),
        _scaled(constant, 1),
        _scaled(buffers, 1),
    )


def _scaled(value: float | None, unit: int) -> int | None:
    return None if value is None else round(value * unit)

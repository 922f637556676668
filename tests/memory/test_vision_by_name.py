"""Vision models by name: parameters and saved bytes against figures counted with torchvision and timm."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import pytest

from vramlint.knowledge.models import all_records
from vramlint.memory.dtypes import BOOL
from vramlint.memory.families import family_of
from vramlint.memory.families.base import Sizes
from vramlint.memory.families.timm_vit import VisionTransformer
from vramlint.memory.families.vision_heads import ImageClassifier
from vramlint.memory.inputs import make_batch
from vramlint.memory.step import place
from vramlint.memory.tape import Tape
from vramlint.memory.vision_names import vision_config

if TYPE_CHECKING:
    from vramlint.knowledge.models import ModelRecord

_NOT_SAVED = {"weight", "buffer"}
_NO_FUSED_DROPOUT = 32  # the figures were counted off the GPU, where a dropout mask has the type of its input

COVERED = [record for record in all_records() if record.images and family_of(record.id) is not None]


def _classifier(record: ModelRecord, side: int) -> ImageClassifier:
    config = vision_config(record.id)
    config = type(config)({**config.values, "image_size": side})
    family = family_of(record.id)
    assert family is not None
    model = family.build(config, "image-classification")
    assert isinstance(model, ImageClassifier)
    return model


def _saved(record: ModelRecord, side: int, rows: int) -> int:
    """Return the bytes that are alive after a forward pass whose output only the graph holds."""
    tape, model = Tape(), _classifier(record, side)
    place(tape, model)
    tape.arena.kind = "input"
    batch = make_batch(tape, model.inputs(Sizes(rows=rows, length=1, image=(side, side))))
    tape.arena.kind = "activation"
    images = batch["pixel_values"]
    del batch
    graph = model.logits(images).node
    del images
    tape.arena.enter("backward", 1)
    tape.arena.leave()
    alive = tape.arena.alive_at_peaks()["backward"]
    del graph
    return sum(
        prod(key.shape) * (_NO_FUSED_DROPOUT if key.bits == BOOL.bits else key.bits) // 8 * count
        for key, count in alive.items()
        if key.kind not in _NOT_SAVED
    )


@pytest.mark.parametrize("record", COVERED, ids=lambda record: record.id)
def test_parameters_equal_the_library(record: ModelRecord) -> None:
    """Every network that the tape covers has exactly as many parameters as the library's."""
    for figures in record.images:
        if figures.saved_bytes is not None:
            model = _classifier(record, figures.image_size)
            assert figures.parameters == sum(p.numel * p.copies for p in model.parameters())


@pytest.mark.parametrize("record", COVERED, ids=lambda record: record.id)
def test_saved_bytes_per_image_equal_those_counted(record: ModelRecord) -> None:
    """What a further image adds to the graph is what autograd was seen to save for one, within 1 %."""
    for figures in record.images:
        if figures.saved_bytes is not None:
            one, two = (_saved(record, figures.image_size, rows) for rows in (1, 2))
            copied = _copied_heads(_classifier(record, figures.image_size))
            assert figures.saved_bytes == pytest.approx(two - one + copied, rel=0.01)


def _copied_heads(model: ImageClassifier) -> int:
    """Return what the figures count too much for timm's ViTs: copies of the attention's output.

    They were counted with an attention that writes heads before tokens; CUDA's kernels write tokens first,
    so bringing them into that order is no copy (a run on fake CUDA tensors agrees).
    """
    if not isinstance(model, VisionTransformer):
        return 0
    size = model.shape.size
    learned = 0 if model.shape.placed else sum(getattr(model, name).shape[1] for name in model.shape.before)
    return size.layers * (model.pos_embed.shape[1] + learned) * size.width * 4

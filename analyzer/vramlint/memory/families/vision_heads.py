"""What all image classifiers share: a batch of images and labels, and cross-entropy over the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import Sequential, flattened
from vramlint.memory.families.base import (
    Batch,
    Config,
    InputSpec,
    Model,
    Output,
    Regime,
    Sizes,
    UnsupportedTask,
)
from vramlint.memory.families.heads import class_loss
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.modules import Module

_IMAGENET_CLASSES = 1000


def image_inputs(sizes: Sizes) -> tuple[InputSpec, ...]:
    """Return images of shape (B, 3, H, W) and one label each."""
    rows, (height, width) = Dim(sizes.rows, "B"), sizes.image
    return (
        InputSpec(("pixel_values",), (rows, 3, Dim(height, "H"), Dim(width, "W")), sizes.dtype),
        InputSpec(("labels",), (rows,)),
    )


def classes_of(config: Config) -> Dim:
    """Return how many classes a classifier has: `num_labels`, else the length of `id2label`, else ImageNet's."""
    named = config.get("id2label")
    return config.size("C", "num_labels", default=len(named) if named else _IMAGENET_CLASSES)


def image_size_of(config: Config, default: int) -> tuple[int, int]:
    """Return height and width in pixels of the images that a model was made for."""
    size = config.get("image_size", default)
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def require_classification(task: str) -> None:
    """Raise UnsupportedTask for a task that needs another head."""
    if task != "image-classification":
        raise UnsupportedTask(task)


class ImageClassifier(Model):
    """A network from images to class logits; the script computes the loss outside of it."""

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return images and labels."""
        return image_inputs(sizes)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes); every network has its own."""
        raise NotImplementedError

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss of classification."""
        logits = self.logits(batch["pixel_values"])
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits)


class FeatureClassifier(ImageClassifier):
    """Features, a pooling and a classifier, as most torchvision networks are made."""

    def __init__(self, features: Sequential, avgpool: Module, classifier: Sequential) -> None:
        self.features = features
        self.avgpool = avgpool
        self.classifier = classifier

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self.features(images)
        x = self.avgpool(x)
        x = flattened(x)
        return self.classifier(x)  # type: ignore[no-any-return]

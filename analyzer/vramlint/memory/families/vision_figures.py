"""A stand-in for vision models that no family walks: parameters and saved bytes as they were counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families.vision_heads import ImageClassifier, classes_of, require_classification
from vramlint.memory.modules import Buffer, Parameter, parameter_tensor
from vramlint.memory.operators.matmul import autocast_half
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from vramlint.knowledge.models import ImageFigures
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Gradients, Node, Tensor

MODEL_TYPES = ("vision model known by its figures",)

# Where the saved bytes were not counted: per activation as timm counts them. The median of the 1,631 models
# where both are known; one in ten has less than 5, one in ten more than 12.6.
_BYTES_PER_ACTIVATION = 8


class CountedNetwork(ImageClassifier):
    """One operator with one tensor of parameters, that saves as many bytes as the network was seen to save."""

    def __init__(self, name: str, figures: tuple[ImageFigures, ...], classes: int) -> None:
        self.figures = figures
        self.classes = classes
        self.weight = Parameter(figures[0].parameters)
        self.statistics = Buffer(figures[0].buffers or 0)
        self.approximation = (
            f"{name} is not walked: its activations are the bytes that were counted for one image in fp32, "
            "scaled by batch, image size and element type"
        )

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        images.tape.arena.label = "network"
        weight = autocast_half(parameter_tensor(self.weight))
        rows, _, height, width = images.shape
        elements = Dim(self._saved_elements(height * width), "E")
        saved = images.tape.empty((rows, elements), weight.dtype)
        out = images.tape.empty((rows, self.classes), weight.dtype)
        return images.tape.record(out, (weight,), _backward, (saved,))

    def _saved_elements(self, pixels: int) -> int:
        nearest = min(self.figures, key=lambda row: abs(row.image_size**2 - pixels))
        counted = nearest.saved_bytes or _BYTES_PER_ACTIVATION * (nearest.activations or 0)
        return counted // 4 * pixels // nearest.image_size**2


def _backward(node: Node, grads: Gradients) -> Gradients:
    """Free what was saved before the gradient is made: layer by layer the one makes room for the other."""
    grad = grads[0]
    assert grad is not None
    node.saved = ()
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def build(config: Config, task: str) -> Model:
    """Build the stand-in for the model that the config names."""
    require_classification(task)
    return CountedNetwork(str(config.get("name")), config.get("images"), classes_of(config))

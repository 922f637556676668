"""What a batch holds: tensors that get their shape from the first operator that needs one."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from vramlint.interpret import shaping
from vramlint.interpret.layers import Convolution, Embedding, Linear
from vramlint.interpret.modules import Container, UserModule, walk_modules
from vramlint.interpret.rearrange import Rearranged
from vramlint.interpret.recurrent import Recurrent
from vramlint.interpret.transformer import Layers, MultiheadAttention
from vramlint.interpret.values import Data, NotUnderstood
from vramlint.memory.dtypes import FLOAT32, INT64, DType
from vramlint.memory.families.vision_heads import ImageClassifier
from vramlint.memory.modules import Embedding as EngineEmbedding
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.interpret.interpreter import Interpreter
    from vramlint.memory.modules import Module

_RGB = 3
_IMAGE = 4


class Materials:
    """The sizes of a batch, and what kind of input the model takes, judged by its first layer."""

    def __init__(
        self,
        model: Module,
        rows: int,
        length: int | None,
        image: tuple[int, int] | None,
        channels: int | None,
    ) -> None:
        self.rows = Dim(rows, "B")
        self.length = Dim(length, "T") if length is not None else None
        self.image = image
        self.channels = channels
        self.first = _first(model)
        layers = [one for _, one in walk_modules(model)]
        self.in_sequence = any(isinstance(one, Recurrent | Layers | MultiheadAttention) for one in layers)
        self.held: list[Data] = []
        weights = self.first.parameters() if isinstance(self.first, ImageClassifier) else iter(())
        self.first_channels = next((p.shape[1] for p in weights if len(p.shape) == _IMAGE), _RGB)

    @property
    def kind(self) -> str:
        """Return what the model reads: tokens, images or features."""
        if isinstance(self.first, Embedding | EngineEmbedding):
            return "tokens"
        if isinstance(self.first, ImageClassifier):
            return "images"
        is_image = isinstance(self.first, Convolution) and len(self.first.kernel_size) > 1
        return "images" if is_image or isinstance(self.first, Rearranged) else "features"

    def restart(self) -> None:
        """Begin another batch."""
        for data in self.held:
            data.tensor = None
        self.held.clear()

    def of_shape(self, interpreter: Interpreter, data: Data, shape: tuple[int, ...], dtype: DType) -> Tensor:
        """Let a tensor of the batch have this shape and type from here on."""
        if data.tensor is None:
            arena = interpreter.tape.arena
            kind, arena.kind = arena.kind, "input"
            data.tensor = interpreter.tape.empty(shape, dtype)
            arena.kind = kind
            self.held.append(data)
        made: Tensor = data.tensor
        return made

    def tensor(self, interpreter: Interpreter, data: Data, like: Tensor | None) -> Tensor:
        """Return a tensor of the batch: as another that it meets, else what the model's first layer reads."""
        if data.tensor is not None:
            made: Tensor = data.tensor
            return made
        if like is not None:
            return self.of_shape(interpreter, data, like.shape, like.dtype)
        return self.for_layer(interpreter, data, self.first)

    def tokens(self, interpreter: Interpreter, data: Data) -> Tensor:
        """Return token ids; in a model of images, one number for each."""
        if data.tensor is not None:
            return interpreter.tensor(data)  # type: ignore[no-any-return]
        if self.kind != "tokens":
            return self.labels(interpreter, data)
        return self.of_shape(interpreter, data, (self.rows, self._length()), INT64)

    def labels(self, interpreter: Interpreter, data: Data) -> Tensor:
        """Return one whole number for each row."""
        return self.of_shape(interpreter, data, (self.rows,), INT64)

    def of_rank(self, interpreter: Interpreter, data: Data, rank: int) -> Tensor:
        """Return what a pattern of so many axes meets."""
        if rank == _IMAGE and self.image is not None:
            return self.of_shape(interpreter, data, (self.rows, self._channels(), *self._sides()), FLOAT32)
        return interpreter.tensor(data)  # type: ignore[no-any-return]

    def for_layer(self, interpreter: Interpreter, data: Data, layer: Module | None) -> Tensor:  # noqa: PLR0911  one early return for each
        """Return what a layer reads."""
        if isinstance(layer, Embedding | EngineEmbedding):
            return self.tokens(interpreter, data)
        if isinstance(layer, ImageClassifier):
            return self.of_rank(interpreter, data, _IMAGE)
        if isinstance(layer, Rearranged):
            return self.of_rank(interpreter, data, layer.rank)
        if isinstance(layer, Convolution):
            if data.derived:
                raise NotUnderstood(f"how large the model's input is, is not known: {data.reason}")
            return self.of_shape(interpreter, data, self._for_convolution(layer), FLOAT32)
        if isinstance(layer, Recurrent):
            first = layer.batch_first
            length = self._length()
            sizes = (self.rows, length) if first else (length, self.rows)
            return self.of_shape(interpreter, data, (*sizes, layer.input_size), FLOAT32)
        if isinstance(layer, Linear):
            ahead = (self.rows, self._length()) if self.in_sequence else (self.rows,)
            return self.of_shape(interpreter, data, (*ahead, layer.inputs), FLOAT32)
        if layer is not self.first and self.first is not None:
            return self.for_layer(interpreter, data, self.first)
        raise NotUnderstood("what the model is fed is not known")

    def _for_convolution(self, layer: Convolution) -> tuple[int, ...]:
        axes = len(layer.kernel_size)
        if axes == 1:
            return (self.rows, layer.in_channels, self._length())
        if axes == 2:  # noqa: PLR2004  height and width
            return (self.rows, layer.in_channels, *self._sides())
        raise NotUnderstood("how many frames or slices the model is fed is not known")

    def viewed(self, interpreter: Interpreter, data: Data, shape: tuple[Any, ...]) -> Any:
        """Return `data.view(…)`: where only the rows are left open, the sizes that are given say the shape."""
        from vramlint.interpret import shapes  # noqa: PLC0415  these modules need each other

        sizes = shapes.flat(shape)
        if data.tensor is None and self.kind == "features" and sizes[0] == self.rows and sizes[1:] == (-1,):
            return data  # flat already, as far as the layer that it meets says
        if data.tensor is None and (self.kind != "images" or self.image is None) and sizes != (-1,):
            known = prod(size for size in sizes if size != -1)
            if sizes[0] in {-1, self.rows} and sizes.count(-1) <= 1 and known:
                self.of_shape(interpreter, data, (self.rows, *sizes[1:]), self._type())
        return shaping.view(interpreter.tensor(data), *shape)

    def _type(self) -> DType:
        return INT64 if self.kind == "tokens" else FLOAT32

    def _length(self) -> int:
        if self.length is None:
            raise NotUnderstood("the sequence length is not known; name it with --set sequence_length=…")
        return self.length

    def _channels(self) -> int:
        return self.channels or self.first_channels

    def _sides(self) -> tuple[int, int]:
        if self.image is None:
            raise NotUnderstood("the image size is not known; name it with --set image_size=…")
        return self.image


def _first(model: Module) -> Module | None:
    """Return the first layer that says what it reads."""
    for _, one in walk_modules(model):
        if isinstance(
            one, Embedding | EngineEmbedding | Convolution | Linear | Recurrent | Rearranged | ImageClassifier
        ):
            return one
        if isinstance(one, UserModule | Container):
            continue
    return None

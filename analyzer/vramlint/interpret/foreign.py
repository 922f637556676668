"""Parts of other libraries inside of a user's model: timm's blocks, and torchvision's and timm's whole models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.interpret import layered, shaping
from vramlint.interpret.layers import Convolution, LayerNorm, Linear
from vramlint.interpret.shapes import several
from vramlint.interpret.values import Native, Record
from vramlint.memory.families import family_of
from vramlint.memory.modules import Module
from vramlint.memory.operators import elementwise, views
from vramlint.memory.vision_names import vision_config

if TYPE_CHECKING:
    from vramlint.interpret.interpreter import Interpreter
    from vramlint.interpret.values import Library
    from vramlint.memory.tape import Tensor


class PatchEmbed(Module):
    """timm's patch embedding (timm/layers/patch_embed.py)."""

    def __init__(
        self, img_size: Any = 224, patch_size: Any = 16, in_chans: int = 3, embed_dim: int = 768, *_: Any,
        bias: bool = True, **__: Any,
    ) -> None:  # fmt: skip
        self.img_size, self.patch_size = several(img_size, 2), several(patch_size, 2)
        self.grid_size = tuple(a // b for a, b in zip(self.img_size, self.patch_size, strict=True))
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = Convolution(2, in_chans, embed_dim, patch_size, patch_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, patches, D)."""
        if tuple(x.shape[2:]) != self.img_size:
            raise ValueError(f"patches of images of {list(self.img_size)} meet {list(x.shape)}")
        return views.transpose(shaping.flatten(self.proj(x), 2), 1, 2)


class Attention(Module):
    """timm's self-attention with its fused kernel (timm/layers/attention.py)."""

    label = "attention"

    def __init__(self, dim: int, num_heads: int = 8, qkv_bias: bool = False, **_: Any) -> None:  # noqa: FBT001, FBT002  as in timm
        self.num_heads = num_heads
        self.qkv, self.proj = Linear(dim, 3 * dim, bias=qkv_bias), Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        rows, length, width = x.shape
        packed = shaping.reshape(self.qkv(x), rows, length, 3, self.num_heads, width // self.num_heads)
        query, key, value = views.unbind(views.permute(packed, (2, 0, 3, 1, 4)), 0)
        out = layered.attend(query, key, value)
        return self.proj(shaping.reshape(views.transpose(out, 1, 2), rows, length, width))  # type: ignore[no-any-return]


class Mlp(Module):
    """timm's two-layer perceptron (timm/layers/mlp.py); `act_layer` makes its activation, GELU if not given."""

    def __init__(
        self, in_features: int, hidden_features: Any = None, out_features: Any = None, **_: Any
    ) -> None:
        hidden = hidden_features or in_features
        self.fc1, self.fc2 = Linear(in_features, hidden), Linear(hidden, out_features or in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        return self.fc2(elementwise.unary(self.fc1(x)))  # type: ignore[no-any-return]


_BLOCKS = {"PatchEmbed": PatchEmbed, "Attention": Attention, "Mlp": Mlp, "LayerNorm2d": LayerNorm}


def call(interpreter: Interpreter, function: Library, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Make a part of another library, None where it is not known."""
    del interpreter
    package, last = function.name.partition(".")[0], function.last
    if package == "timm" and last in _BLOCKS:
        return _BLOCKS[last](*args, **kwargs)
    if function.name.startswith("torchvision.models."):
        return _vision_model(f"torchvision/{last}", kwargs)
    if function.name == "timm.create_model" and args and isinstance(args[0], str):
        return _vision_model(f"timm/{args[0]}", kwargs)
    if function.name == "collections.namedtuple":
        return _named_tuple(args[1])
    if function.name.startswith("transformers."):
        from vramlint.interpret import pretrained  # noqa: PLC0415  few models have parts of transformers

        return pretrained.call(function, args, kwargs)
    return None


def _vision_model(model_id: str, kwargs: dict[str, Any]) -> Module | None:
    """Return a whole classifier by its public name."""
    config = vision_config(model_id)
    classes = kwargs.get("num_classes")
    values = {**config.values, **({"num_labels": classes} if isinstance(classes, int) else {})}
    family = family_of(str(config.get("model_type")))
    return None if family is None else family.build(type(config)(values), "image-classification")


def _named_tuple(fields: Any) -> Native:
    """Return what makes a tuple with names."""
    names = fields.replace(",", " ").split() if isinstance(fields, str) else list(fields)
    return Native(
        "namedtuple", lambda *args, **kwargs: Record({**dict(zip(names, args, strict=False)), **kwargs})
    )

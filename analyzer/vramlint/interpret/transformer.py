"""`nn.MultiheadAttention`, `nn.TransformerEncoder`, `nn.TransformerDecoder`, `nn.Transformer` (torch/nn/modules)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from vramlint.interpret import layered, pointwise, reductions, shapes, shaping
from vramlint.interpret.layers import LayerNorm, Linear, held
from vramlint.interpret.modules import Container
from vramlint.memory.modules import Module, Parameter, parameter_tensor
from vramlint.memory.operators import elementwise, views
from vramlint.memory.operators.products import linear, matmul
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


class MultiheadAttention(Module):
    """`nn.MultiheadAttention` (torch/nn/functional.py, multi_head_attention_forward)."""

    label = "attention"

    def __init__(  # noqa: PLR0917  in torch's order
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,  # noqa: FBT001, FBT002  as in torch
        add_bias_kv: bool = False,  # noqa: FBT001, FBT002  as in torch
        add_zero_attn: bool = False,  # noqa: FBT001, FBT002  as in torch
        kdim: Any = None,
        vdim: Any = None,
        batch_first: bool = False,  # noqa: FBT001, FBT002  as in torch
    ) -> None:
        del add_bias_kv, add_zero_attn
        self.embed_dim, self.num_heads = shapes.flat((embed_dim, num_heads))
        if embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads of a width of {embed_dim}")
        self.p, self.batch_first = float(dropout), batch_first
        if (kdim or embed_dim) != embed_dim or (vdim or embed_dim) != embed_dim:
            raise ValueError("keys and values of other widths are not read")
        self.in_proj_weight = Parameter(3 * embed_dim, embed_dim)
        if bias:
            self.in_proj_bias = Parameter(3 * embed_dim)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias)

    def forward(  # noqa: PLR0917  in torch's order
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Any = None,
        need_weights: Any = True,  # noqa: FBT002  as in torch
        attn_mask: Any = None,
        average_attn_weights: Any = True,  # noqa: FBT002  as in torch
        is_causal: Any = False,  # noqa: FBT002  as in torch
    ) -> tuple[Tensor, Any]:
        """Attend from `query` to `key`; the weights are computed where they are asked for."""
        del average_attn_weights, is_causal
        shared = query is key and key is value
        if self.batch_first:
            turned = views.transpose(query, 0, 1)
            query, key, value = (
                (turned, turned, turned)
                if shared
                else (turned, views.transpose(key, 0, 1), views.transpose(value, 0, 1))
            )
        q, k, v = self._packed(query, key, value, shared=shared)
        length, rows, width = q.shape
        mask = _mask(attn_mask, key_padding_mask, rows, self.num_heads, k.shape[0])
        heads = [self._by_head(one, rows) for one in (q, k, v)]
        del q, k, v
        if need_weights:
            out, weights = self._written_out(heads, mask)
        else:
            out, weights = self._fused(heads, mask, rows), None
        out = shaping.reshape(views.contiguous(_to_tokens(out, rows)), length * rows, width)
        out = views.reshape(self.out_proj(out), (length, rows, width))
        if self.batch_first:
            out = views.transpose(out, 0, 1)
        return out, weights

    def _packed(self, query: Tensor, key: Tensor, value: Tensor, *, shared: bool) -> list[Tensor]:
        weight, bias = parameter_tensor(self.in_proj_weight), held(self, "in_proj_bias")
        if shared:
            packed = linear(query, weight, bias)
            wide = shaping.unsqueeze(shaping.unflatten(packed, -1, (3, self.embed_dim)), 0)
            wide = views.contiguous(shaping.squeeze(views.transpose(wide, 0, -2), -2))
            return [views.select(wide, 0) for _ in range(3)]
        weights = views.split(weight, (self.embed_dim,) * 3, 0)
        biases = views.split(bias, (self.embed_dim,) * 3, 0) if bias is not None else [None] * 3
        return [linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def _by_head(self, x: Tensor, rows: int) -> Tensor:
        """(T, B, D) to (B·N, T, H)."""
        size = self.embed_dim // self.num_heads
        wide = views.reshape(x, (x.shape[0], rows * self.num_heads, size))
        return views.transpose(wide, 0, 1)

    def _written_out(self, heads: list[Tensor], mask: Tensor | None) -> tuple[Tensor, Tensor]:
        query, key, value = heads
        scores = matmul(query * 1.0, views.transpose(key, -2, -1))
        if mask is not None:
            scores = scores + mask
        weights = softmax(scores)
        del scores
        dropped = elementwise.dropout(weights, self.p)
        return matmul(dropped, value), reductions.mean(
            views.reshape(
                weights, (-(-weights.shape[0] // self.num_heads), self.num_heads, *weights.shape[1:])
            ),
            1,
        )

    def _fused(self, heads: list[Tensor], mask: Tensor | None, rows: int) -> Tensor:
        query, key, value = (views.reshape(x, (rows, self.num_heads, *x.shape[1:])) for x in heads)
        return layered.attend(query, key, value, mask, self.p)


def _to_tokens(out: Tensor, rows: int) -> Tensor:
    """(B·N, T, H) to (T, B·N, H), and (B, N, T, H) to (T, B, N, H)."""
    del rows
    return views.transpose(out, 0, 1) if len(out.shape) == 3 else views.permute(out, (2, 0, 1, 3))  # noqa: PLR2004


def _mask(mask: Any, padding: Any, rows: int, heads: int, keys: int) -> Tensor | None:
    """Return the mask that is added: that of the attention and that of padding are joined into one."""
    if not isinstance(padding, Tensor):
        return mask if isinstance(mask, Tensor) else None
    tape = padding.tape
    from vramlint.memory.dtypes import FLOAT32  # noqa: PLC0415  only here

    whole = tape.empty((rows, heads, mask.shape[-2] if isinstance(mask, Tensor) else 1, keys), FLOAT32)
    return views.reshape(whole, (rows * heads, *whole.shape[2:]))


_ACTIVATIONS = {"relu": pointwise.relu, "gelu": pointwise.keeps_input}


def _activation(given: Any) -> Callable[[Tensor], Tensor]:
    last = getattr(given, "last", given)
    return _ACTIVATIONS["gelu" if last == "gelu" else "relu"]


class Layer(Module):
    """`nn.TransformerEncoderLayer`, and `nn.TransformerDecoderLayer` with `crosses`."""

    def __init__(  # noqa: PLR0917  in torch's order
        self,
        crosses: bool,  # noqa: FBT001  of ours
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,  # noqa: FBT001, FBT002  as in torch
        norm_first: bool = False,  # noqa: FBT001, FBT002  as in torch
        bias: bool = True,  # noqa: FBT001, FBT002  as in torch
    ) -> None:
        del layer_norm_eps
        self.crosses, self.norm_first, self.p = crosses, norm_first, float(dropout)
        self.activation = _activation(activation)
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias=bias, batch_first=batch_first)
        if crosses:
            self.multihead_attn = MultiheadAttention(
                d_model, nhead, dropout, bias=bias, batch_first=batch_first
            )
        self.linear1, self.linear2 = (
            Linear(d_model, dim_feedforward, bias),
            Linear(dim_feedforward, d_model, bias),
        )
        self.norm1, self.norm2 = LayerNorm(d_model, bias=bias), LayerNorm(d_model, bias=bias)
        if crosses:
            self.norm3 = LayerNorm(d_model, bias=bias)

    def forward(  # noqa: PLR0917  in torch's order
        self, x: Tensor, memory: Any = None, mask: Any = None, memory_mask: Any = None, padding: Any = None,
        memory_padding: Any = None,
    ) -> Tensor:  # fmt: skip
        """Attend, attend to the memory of a decoder, and transform."""
        norms = [self.norm1, self.norm2, *([self.norm3] if self.crosses else [])]
        x = self._around(x, norms[0], lambda y: self._attend(y, mask, padding))
        if self.crosses:
            x = self._around(x, norms[1], lambda y: self._cross(y, memory, memory_mask, memory_padding))
        return self._around(x, norms[-1], self._transform)

    def _around(self, x: Tensor, norm: Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + part(norm(x))
        return norm(x + part(x))  # type: ignore[no-any-return]

    def _attend(self, x: Tensor, mask: Any, padding: Any) -> Tensor:
        return elementwise.dropout(self.self_attn(x, x, x, padding, False, mask)[0], self.p)  # noqa: FBT003  need_weights

    def _cross(self, x: Tensor, memory: Tensor, mask: Any, padding: Any) -> Tensor:
        return elementwise.dropout(self.multihead_attn(x, memory, memory, padding, False, mask)[0], self.p)  # noqa: FBT003  need_weights

    def _transform(self, x: Tensor) -> Tensor:
        hidden = elementwise.dropout(self.activation(self.linear1(x)), self.p)
        return elementwise.dropout(self.linear2(hidden), self.p)


class Layers(Module):
    """`nn.TransformerEncoder` and `nn.TransformerDecoder`: copies of a layer, then a norm."""

    def __init__(self, layer: Layer, num_layers: int, norm: Any = None, *_: Any, **__: Any) -> None:
        self.layers = Container("ModuleList", {str(i): copy.deepcopy(layer) for i in range(num_layers)})
        if norm is not None:
            self.norm = norm

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run all layers."""
        for layer in self.layers.listed:
            x = layer(x, *self._arguments(args, kwargs))
        return vars(self)["norm"](x) if "norm" in vars(self) else x

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return a layer's arguments: memory, masks, paddings; an encoder has no memory."""
        first = self.layers.listed[0]
        if first.crosses:
            names = ("memory", "tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask")
            found = {**dict(zip(names, args, strict=False)), **kwargs}
            return tuple(found.get(name) for name in names)
        found = {**dict(zip(("mask", "src_key_padding_mask"), args, strict=False)), **kwargs}
        return (None, found.get("mask", found.get("src_mask")), None, found.get("src_key_padding_mask"), None)


class Transformer(Module):
    """`nn.Transformer`."""

    def __init__(  # noqa: PLR0917  in torch's order
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        *_: Any,
        **named: Any,
    ) -> None:
        kept = {key: value for key, value in named.items() if key in {"batch_first", "norm_first", "bias"}}
        sizes = (d_model, nhead, dim_feedforward, dropout, activation)
        self.encoder = Layers(Layer(False, *sizes, **kept), num_encoder_layers, LayerNorm(d_model))  # noqa: FBT003  crosses
        self.decoder = Layers(Layer(True, *sizes, **kept), num_decoder_layers, LayerNorm(d_model))  # noqa: FBT003  crosses
        self.d_model, self.nhead = d_model, nhead

    def forward(self, src: Tensor, tgt: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Encode `src`, and decode `tgt` with it."""
        names = ("src_mask", "tgt_mask", "memory_mask", "src_key_padding_mask", "tgt_key_padding_mask",
                 "memory_key_padding_mask")  # fmt: skip
        found = {**dict(zip(names, args, strict=False)), **kwargs}
        memory = self.encoder(src, found.get("src_mask"), found.get("src_key_padding_mask"))
        return self.decoder(  # type: ignore[no-any-return]
            tgt, memory, found.get("tgt_mask"), found.get("memory_mask"), found.get("tgt_key_padding_mask"),
            found.get("memory_key_padding_mask"),
        )  # fmt: skip


def _encoder_layer(*args: Any, **kwargs: Any) -> Layer:
    return Layer(False, *args, **kwargs)  # noqa: FBT003  crosses


def _decoder_layer(*args: Any, **kwargs: Any) -> Layer:
    return Layer(True, *args, **kwargs)  # noqa: FBT003  crosses


LAYERS: dict[str, Callable[..., Module]] = {
    "MultiheadAttention": MultiheadAttention,
    "TransformerEncoderLayer": _encoder_layer,
    "TransformerDecoderLayer": _decoder_layer,
    "TransformerEncoder": Layers,
    "TransformerDecoder": Layers,
    "Transformer": Transformer,
}

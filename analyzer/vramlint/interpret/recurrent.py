"""`nn.LSTM`, `nn.GRU`, `nn.RNN` and their cells.

On CUDA, cuDNN runs a whole layer stack as one operator, which keeps in a reserve what backward needs. Its size is
cuDNN's own (cudnnGetRNNTempSpaceSizes) and is taken to be the gates and the states of every step: an estimate, so that
the engine gives a range (memory/recurrent.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.interpret import shapes
from vramlint.memory.modules import Module, Parameter, parameter_tensor
from vramlint.memory.operators import elementwise
from vramlint.memory.operators.convolution import every_gradient
from vramlint.memory.operators.matmul import autocast_half
from vramlint.memory.operators.products import linear
from vramlint.memory.recurrent import reserve_of
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
# What a step leaves for backward beside its output, in hidden sizes: the gates and, of an LSTM, the cell.
_KEPT = {"LSTM": 5, "GRU": 4, "RNN": 1}


class Recurrent(Module):
    """A stack of recurrent layers."""

    def __init__(  # noqa: PLR0917  in torch's order
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002  as in torch
        batch_first: bool = False,  # noqa: FBT001, FBT002  as in torch
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002  as in torch
        nonlinearity: str = "tanh",
        proj_size: int = 0,
    ) -> None:
        del nonlinearity, proj_size
        self.kind, self.input_size, self.hidden_size = kind, *shapes.flat((input_size, hidden_size))
        self.num_layers, self.batch_first, self.dropout = num_layers, batch_first, float(dropout)
        self.directions = 2 if bidirectional else 1
        self.bidirectional = bidirectional
        self._make_weights(bias=bias)

    def _make_weights(self, *, bias: bool) -> None:
        rows = _GATES[self.kind] * self.hidden_size
        for layer in range(self.num_layers):
            width = self.input_size if layer == 0 else self.hidden_size * self.directions
            for suffix in ("", "_reverse")[: self.directions]:
                setattr(self, f"weight_ih_l{layer}{suffix}", Parameter(rows, width))
                setattr(self, f"weight_hh_l{layer}{suffix}", Parameter(rows, self.hidden_size))
                if bias:
                    setattr(self, f"bias_ih_l{layer}{suffix}", Parameter(rows))
                    setattr(self, f"bias_hh_l{layer}{suffix}", Parameter(rows))

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """Run over (T, B, in), or (B, T, in); return the outputs and the last state."""
        x = autocast_half(x)
        if x.shape[-1] != self.input_size:
            raise ValueError(f"a recurrent layer of {self.input_size} inputs meets {list(x.shape)}")
        rows = x.shape[0] if self.batch_first else x.shape[1]
        length = x.shape[1] if self.batch_first else x.shape[0]
        tape, wide = x.tape, self.hidden_size * self.directions
        weights = [parameter_tensor(p) for p in self.parameters()]
        given = [
            one for one in (state if isinstance(state, list | tuple) else (state,)) if isinstance(one, Tensor)
        ]
        out = tape.empty((*x.shape[:-1], wide), x.dtype)
        last_shape = (self.num_layers * self.directions, rows, self.hidden_size)
        last = tape.empty(last_shape, x.dtype)
        cell = tape.empty(last_shape, x.dtype) if self.kind == "LSTM" else None
        per_step = self.hidden_size * self.directions * self.num_layers * _KEPT[self.kind]
        reserve = reserve_of(tape, (length, rows, per_step), x.dtype)
        packed = tape.empty((sum(p.numel for p in self.parameters()),), x.dtype)
        inputs = (x, *weights, *(one for one in given if one.node is not None))
        out = tape.record(out, inputs, every_gradient, (x, *weights, *given, out.detached(), reserve, packed))
        last.node, last.slot = out.node, 0
        if cell is None:
            return out, last
        return out, (last, cell)


def _stack(kind: str) -> Callable[..., Module]:
    return lambda *args, **kwargs: Recurrent(kind, *args, **kwargs)


class Cell(Module):
    """`nn.LSTMCell`, `nn.GRUCell`, `nn.RNNCell`: two products, then one fused kernel that saves the gates."""

    def __init__(self, kind: str, input_size: int, hidden_size: int, bias: bool = True, **_: Any) -> None:  # noqa: FBT001, FBT002  as in torch
        self.kind, self.hidden_size = kind, hidden_size
        rows = _GATES[kind] * hidden_size
        self.weight_ih, self.weight_hh = Parameter(rows, input_size), Parameter(rows, hidden_size)
        if bias:
            self.bias_ih, self.bias_hh = Parameter(rows), Parameter(rows)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """One step: (B, in) and the state to the next state."""
        hidden = state[0] if isinstance(state, list | tuple) else state
        if hidden is None:
            hidden = x.tape.empty((x.shape[0], self.hidden_size), x.dtype)
        bias_ih, bias_hh = (
            parameter_tensor(p) if isinstance(p := vars(self).get(n), Parameter) else None
            for n in ("bias_ih", "bias_hh")
        )
        gates = linear(x, parameter_tensor(self.weight_ih), bias_ih)
        more = linear(hidden, parameter_tensor(self.weight_hh), bias_hh)
        out = x.tape.empty((x.shape[0], self.hidden_size), gates.dtype)
        kept = x.tape.empty((x.shape[0], _KEPT[self.kind] * self.hidden_size), gates.dtype)
        if self.kind != "LSTM":
            return x.tape.record(out, (gates, more, hidden), elementwise.every_like, (kept,))
        cell = x.tape.empty(out.shape, gates.dtype)
        x.tape.record_many((out, cell), (gates, more), elementwise.every_like, (kept,))
        return out, cell


def _cell(kind: str) -> Callable[..., Module]:
    return lambda *args, **kwargs: Cell(kind, *args, **kwargs)


LAYERS: dict[str, Callable[..., Module]] = {
    "LSTM": _stack("LSTM"),
    "GRU": _stack("GRU"),
    "RNN": _stack("RNN"),
    "LSTMCell": _cell("LSTM"),
    "GRUCell": _cell("GRU"),
    "RNNCell": _cell("RNN"),
}

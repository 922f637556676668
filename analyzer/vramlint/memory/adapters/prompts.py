"""Prompt learning: trained virtual tokens before the input, or before the keys and values of every layer.

peft 0.21: peft_model.py (get_prompt, the forward of each task), tuners/prompt_tuning, p_tuning,
multitask_prompt_tuning and prefix_tuning. The encoders are fp32 whatever the model is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.memory.arena import Key, rounded
from vramlint.memory.dtypes import INT64
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.base import Batch, InputSpec, Model, Output, Regime, Sizes
from vramlint.memory.modules import Embedding, Linear, Module, Parameter, Stack, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import (
    cast,
    concatenate,
    contiguous,
    expand,
    multiply,
    narrow,
    repeat_first,
    unary_saving_result,
)
from vramlint.memory.operators.matmul import batched
from vramlint.memory.tape import Dim, Entry, Gradients, Node, Tape, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config
    from vramlint.plan.document import Lora

PROMPTS = frozenset({"prompt", "p-tuning", "multitask-prompt"})
_LSTM_GATES, _DIRECTIONS = 4, 2
_DEFAULT_TASKS, _DEFAULT_RANKS = 1, 1


class PromptEmbedding(Module):
    """`PromptEmbedding`: the virtual tokens themselves."""

    label = "adapter"

    def __init__(self, tokens: int, width: int) -> None:
        self.embedding = Embedding(tokens, width)

    def forward(self, indices: Tensor, rows: int) -> Tensor:
        """(1, v) indices to (rows, v, D)."""
        return repeat_first(self.encode(self.embedding(indices)), rows)

    def encode(self, embeds: Tensor) -> Tensor:
        """Return what the virtual tokens become; here they stay as they are."""
        return embeds


class MLPPromptEncoder(PromptEmbedding):
    """P-tuning's encoder with three linear layers."""

    def __init__(self, tokens: int, width: int, hidden: int) -> None:
        super().__init__(tokens, width)
        sizes = [(width, hidden), (hidden, hidden), (hidden, width)]
        self.layers = [Linear(*size) for size in sizes]
        self.mlp_head = Sequence(self.layers)
        self.act = activation("relu")

    def encode(self, embeds: Tensor) -> Tensor:
        """Map the virtual tokens through the layers."""
        first, second, third = self.layers
        return third(self.act(second(self.act(first(embeds)))))  # type: ignore[no-any-return]


class LSTMPromptEncoder(PromptEmbedding):
    """P-tuning's encoder with a bidirectional LSTM and two linear layers."""

    def __init__(self, tokens: int, width: int, hidden: int, depth: int) -> None:
        super().__init__(tokens, width)
        self.lstm_head = LSTM(width, hidden, depth)
        both = _DIRECTIONS * hidden
        self.layers = [Linear(both, both), Linear(both, width)]
        self.mlp_head = Sequence(self.layers)
        self.act = activation("relu")

    def encode(self, embeds: Tensor) -> Tensor:
        """Map the virtual tokens through the LSTM and the layers."""
        first, second = self.layers
        return second(self.act(first(self.lstm_head(embeds))))  # type: ignore[no-any-return]


class MultitaskPromptEmbedding(PromptEmbedding):
    """The virtual tokens times a low-rank matrix of the row's task."""

    def __init__(self, tokens: int, width: int, tasks: int, ranks: int) -> None:
        super().__init__(tokens, width)
        self.prefix_task_cols = Parameter(tasks, tokens, ranks)
        self.prefix_task_rows = Parameter(tasks, ranks, width)

    def forward(self, indices: Tensor, rows: int) -> Tensor:
        """(1, v) indices to (rows, v, D)."""
        embeds = self.embedding(expand(indices, rows, indices.shape[1]))
        cols, lines = (
            _of_tasks(parameter_tensor(part), rows) for part in (self.prefix_task_cols, self.prefix_task_rows)
        )
        return multiply(embeds, batched(cols, lines))


def _of_tasks(table: Tensor, rows: int) -> Tensor:
    """Take the matrix of each row's task (index_select)."""
    out = table.tape.empty((rows, *table.shape[1:]), table.dtype)
    return table.tape.record(out, (table,), _spread)


def _spread(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


class Sequence(Module):
    """`nn.Sequential` by the places of its linear layers, activations between them."""

    def __init__(self, layers: list[Linear]) -> None:
        for index, layer in enumerate(layers):
            setattr(self, str(2 * index), layer)


class LSTM(Module):
    """A bidirectional `nn.LSTM`: cuDNN keeps gates and cells of all steps as its reserve."""

    def __init__(self, inputs: int, hidden: int, depth: int) -> None:
        self.hidden, self.depth = hidden, depth
        for layer in range(depth):
            size = inputs if layer == 0 else _DIRECTIONS * hidden
            for direction in ("", "_reverse"):
                end = f"l{layer}{direction}"
                setattr(self, f"weight_ih_{end}", Parameter(_LSTM_GATES * hidden, size))
                setattr(self, f"weight_hh_{end}", Parameter(_LSTM_GATES * hidden, hidden))
                setattr(self, f"bias_ih_{end}", Parameter(_LSTM_GATES * hidden))
                setattr(self, f"bias_hh_{end}", Parameter(_LSTM_GATES * hidden))

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, 2·hidden)."""
        rows, both = x.shape[:-1], _DIRECTIONS * self.hidden
        out = x.tape.empty((*rows, both), x.dtype)
        reserve = x.tape.empty((self.depth, *rows, (_LSTM_GATES + 2) * both), x.dtype)
        weights = [parameter_tensor(parameter) for parameter in self.parameters()]
        return x.tape.record(out, (x, *weights), _all_gradients, (x, out.detached(), reserve))


def _all_gradients(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [
        grad.tape.empty(shape, dtype) if source is not None else None
        for source, _, shape, dtype in node.inputs
    ]


class PromptedEmbedding(Module):
    """The token embedding with the virtual tokens before its output; it is given as many indices more."""

    def __init__(self, base: Embedding, encoder: PromptEmbedding, tokens: int) -> None:
        self.base = base
        self.weight = base.weight
        self.prompt_encoder = encoder
        self.tokens = tokens
        self.held: list[Tensor] = []  # variables of PEFT's forward, which live as long as the model's own

    def forward(self, ids: Tensor) -> Tensor:
        """(B, v + T) token ids to (B, v + T, D)."""
        rows, length = ids.shape
        embeds = self.base(ids.view(rows, length - self.tokens))
        every = self.prompt_encoder.embedding.weight.shape[0]
        prompts = self.prompt_encoder(ids.tape.empty((1, every), INT64), rows)
        prompts = cast(narrow(prompts, 1, self.tokens), embeds.dtype)
        out = concatenate([prompts, embeds], 1).view(rows, length, embeds.shape[2])
        self.held = [prompts, out]
        return out


class PromptTuned(Model):
    """A model whose texts are longer by the virtual tokens, of encoder and decoder alike where there are two."""

    def __init__(self, base: Model, embedding: PromptedEmbedding) -> None:
        self.base_model = base
        self.embeddings = [embedding]
        self.tokens = embedding.tokens
        self.approximation = base.approximation

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return what the model itself takes."""
        return self.base_model.inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Run the model on the longer texts; the labels are lengthened by a copy."""
        longer = {name: self._longer(tensor) for name, tensor in batch.tensors.items()}
        labels = [tensor.tape.empty(tensor.shape, INT64) for tensor in (longer["input_ids"],)]
        output = self.base_model(Batch(longer), regime)
        del labels
        for embedding in self.embeddings:
            embedding.held = []
        return output

    def _longer(self, tensor: Tensor) -> Tensor:
        if len(tensor.shape) != _TEXT:
            return tensor
        rows, length = tensor.shape
        return tensor.view(rows, Dim(length + self.tokens, "T+v"))


_TEXT = 2  # dimensions of a batch of texts


def _encoder(embedding: Embedding, lora: Lora, tokens: int) -> PromptEmbedding:
    """Return what makes the virtual tokens, as PEFT's config names it."""
    width = embedding.weight.shape[1]
    hidden = lora.encoder_hidden_size or width
    if lora.kind == "multitask-prompt":
        tasks, ranks = lora.num_tasks or _DEFAULT_TASKS, lora.num_ranks or _DEFAULT_RANKS
        return MultitaskPromptEmbedding(tokens, width, tasks, ranks)
    if lora.kind == "prompt":
        return PromptEmbedding(tokens, width)
    if (lora.encoder_reparameterization_type or "MLP").upper() == "LSTM":
        depth = lora.encoder_num_layers or 2
        return LSTMPromptEncoder(tokens, width, hidden, depth)
    return MLPPromptEncoder(tokens, width, hidden)


def virtual_tokens(lora: Lora) -> int:
    """Return how many virtual tokens there are.

    Raises:
        CannotEstimate: where the plan does not say; PEFT would stop with an error too.
    """
    if lora.num_virtual_tokens is None:
        raise CannotEstimate(f"lora of kind {lora.kind!r} needs num_virtual_tokens, which PEFT asks for too")
    return lora.num_virtual_tokens


class PrefixEncoder(Module):
    """Keys and values of all layers as one row per virtual token, or an MLP that makes them."""

    label = "adapter"

    def __init__(self, tokens: int, width: int, features: int, hidden: int | None) -> None:
        self.projects = hidden is not None
        self.embedding = Embedding(tokens, width if self.projects else features)
        if hidden is not None:
            self.layers = [Linear(width, hidden), Linear(hidden, features)]
            self.transform = Sequence(self.layers)

    def forward(self, indices: Tensor) -> Tensor:
        """(B, v) indices to (B, v, 2·L·K·H)."""
        embeds: Tensor = self.embedding(indices)
        if not self.projects:
            return embeds
        first, second = self.layers
        return second(unary_saving_result(first(embeds)))  # type: ignore[no-any-return]


class Prefix:
    """The virtual keys and values of one forward pass, handed to the cache layer by layer.

    The first layer is the last that backward comes to: its keys carry the gradient on to the encoder. What
    the other layers' gradients are views of is kept until then (SplitBackward wants all of them).
    """

    def __init__(self, past: Tensor, layers: int, shape: tuple[int, int, int]) -> None:
        self.tape, self.dtype = past.tape, past.dtype
        self.rows, self.tokens, _ = past.shape
        self.heads, _, self.head = shape
        self.layer = (self.rows, self.heads, self.tokens, self.head)
        self.copies = Copies(
            self.tape, Key("key-value cache", "cache", self.layer, self.dtype.bits), 2 * layers
        )
        self.kept = _Kept([], [])
        anchor = Tensor(self.layer, self.dtype, past.storage, contiguous=False)
        self.anchor: Tensor | None = self.tape.record(anchor, (past,), _gather, (), self.kept)

    def before(self, states: Tensor) -> Tensor:
        """Return keys or values with the prefix before them."""
        anchor, self.anchor = self.anchor, None
        if anchor is None or anchor.node is None:
            anchor = Tensor(self.layer, self.dtype, states.storage, contiguous=False)
            if self.tape.grad_enabled:
                anchor.node = entry = Entry()
                self.kept.entries.append(entry)
        out = concatenate([anchor, states], -2)
        self.copies.release_one()
        return out

    def hold(self, *shared: Tensor) -> None:
        """Keep what all layers use: the first, which has no gradient of its own before attention, does not save it."""
        self.kept.shared.extend(shared)


@dataclass(slots=True)
class _Kept:
    """What is alive until the gradient of the whole prefix is made."""

    entries: list[Entry]
    shared: list[Tensor]

    def let_go(self) -> None:
        """Free it."""
        for entry in self.entries:
            entry.grad = None
        self.entries, self.shared = [], []


class Copies:
    """What a new cache holds of every layer until the layer's own keys and values take its place."""

    def __init__(self, tape: Tape, key: Key, count: int) -> None:
        self.arena, self.key = tape.arena, key
        self.size = rounded(key.bytes)
        self.arena.allocate(key, self.size, count)

    def release_one(self) -> None:
        """Free those of one layer; inside of a repeated layer that is one for each copy."""
        self.arena.release(self.key, self.size)


def _gather(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    result = grad.tape.empty(node.inputs[0][2], grad.dtype)
    kept = node.extra
    assert isinstance(kept, _Kept)
    kept.let_go()
    return (result,)


class PrefixTuned(Model):
    """A decoder whose layers find the virtual tokens' keys and values in their cache."""

    def __init__(self, base: Model, encoder: PrefixEncoder, layers: int, heads: tuple[int, int]) -> None:
        self.base_model = base
        self.prompt_encoder = encoder
        self.layers, self.heads = layers, heads
        self.approximation = base.approximation

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return what the model itself takes."""
        return self.base_model.inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Make the prefix, then run the model."""
        ids = batch["input_ids"]
        tape, tokens = ids.tape, self.prompt_encoder.embedding.weight.shape[0]
        past = self.prompt_encoder(tape.empty((ids.shape[0], tokens), INT64))
        dtype = parameter_tensor(next(iter(self.base_model.parameters()))).dtype
        count, size = self.heads
        tape.prefix = Prefix(contiguous(cast(past, dtype)), self.layers, (count, tokens, size))
        del past
        output = self.base_model(batch, regime)
        tape.prefix = None
        return output


def with_prefix(model: Model, lora: Lora, config: Config) -> PrefixTuned:
    """Return a decoder with a trained prefix.

    Raises:
        CannotEstimate: for a model whose stack of layers is not one.
    """
    heads = config.size("N", "num_attention_heads", "n_head")
    groups = config.size("K", "num_key_value_heads", default=heads)
    width = config.size("D", "hidden_size", "n_embd")
    layers = config.size("L", "num_hidden_layers", "n_layer")
    size = width // heads
    hidden = (lora.encoder_hidden_size or groups * size) if lora.prefix_projection else None
    encoder = PrefixEncoder(virtual_tokens(lora), groups * size, 2 * layers * groups * size, hidden)
    return PrefixTuned(model, encoder, layers, (groups, size))


def with_prompts(model: Model, lora: Lora, task: str | None) -> PromptTuned:
    """Return a model with virtual tokens before its texts.

    Raises:
        CannotEstimate: for a model without a token embedding.
    """
    embedding = _token_embedding(model)
    if embedding is None:
        raise CannotEstimate("virtual tokens need a model that embeds tokens")
    tokens = virtual_tokens(lora)
    encoder = _encoder(embedding, lora, tokens * (2 if task == "seq2seq-lm" else 1))
    prompted = PromptedEmbedding(embedding, encoder, tokens)
    _replace(model, embedding, prompted)
    return PromptTuned(model, prompted)


def _token_embedding(module: Module) -> Embedding | None:
    """Return the model's first embedding."""
    for _, child in _parts(module):
        found = child if isinstance(child, Embedding) else _token_embedding(child)
        if found is not None:
            return found
    return None


def _replace(module: Module, embedding: Embedding, prompted: PromptedEmbedding) -> None:
    """Put the virtual tokens before an embedding, in each place that it is in."""
    for name, child in _parts(module):
        if isinstance(child, Embedding) and child.weight is embedding.weight:
            setattr(module, name, prompted)
        else:
            _replace(child, embedding, prompted)


def _parts(module: Module) -> list[tuple[str, Any]]:
    return [(name, child) for name, child in module.children() if not isinstance(child, Stack)]


__all__ = ["PROMPTS", "with_prefix", "with_prompts"]

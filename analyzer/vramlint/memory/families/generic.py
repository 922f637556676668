"""A stand-in for language models that no family walks: Llama's layer in the model's own sizes.

Parameters are exact where their number is known: what the stand-in lacks is one more tensor. Its
activations are only an order of magnitude, and the estimate says so.
"""

from __future__ import annotations

from vramlint.memory.families import llama
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
from vramlint.memory.modules import Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import total

_TEXT_TASKS = frozenset({"masked-lm", "token-classification", "question-answering", "seq2seq-lm"})
_HEAD = 128  # the usual size of a head, and here the width that one more layer goes with
_VOCABULARY = 32_000

_NAMES = {
    "hidden_size": ("hidden_size", "d_model", "n_embd", "dim", "model_dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"),
    "num_attention_heads": (
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
        "decoder_attention_heads",
    ),
    "intermediate_size": (
        "intermediate_size",
        "n_inner",
        "d_ff",
        "ffn_dim",
        "ffn_hidden_size",
        "decoder_ffn_dim",
    ),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
    "num_key_value_heads": ("num_key_value_heads", "n_head_kv", "multi_query_group_num"),
}


def build_generic(config: Config, task: str, parameters: int | None) -> Model:
    """Build the stand-in.

    Raises:
        UnsupportedTask: for a task that is not about text.
        KeyError: where neither sizes nor a count are known.
    """
    sizes = _sizes(config)
    if config.values and "vocab_size" not in sizes:
        raise UnsupportedTask(task)  # it does not read text
    if "hidden_size" not in sizes or "num_hidden_layers" not in sizes:
        if parameters is None:
            raise KeyError("hidden_size")
        sizes = _sizes_of_count(parameters)
    sizes = _completed(sizes, parameters)
    body = llama.build(Config({"model_type": "llama", **sizes}), "causal-lm" if task in _TEXT_TASKS else task)
    kind = config.get("model_type")
    what = f"models of type {kind!r} are not walked yet" if kind else "only the number of parameters is known"
    guess = f"{what}: activations are those of a Llama-like decoder of the same size, a rough guide"
    return StandIn(body, parameters, guess)


class StandIn(Model):
    """A walked model, and one more tensor for the parameters it lacks."""

    def __init__(self, body: Model, parameters: int | None, guess: str) -> None:
        self.body = body
        self.approximation = guess
        missing = (parameters or 0) - sum(p.numel * p.copies for p in body.parameters())
        self.remainder = Parameter(max(missing, 0))

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return the walked model's batch."""
        return self.body.inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Run the walked model; the remainder takes part only so that it gets a gradient."""
        output = self.body(batch, regime)
        if output.loss is not None:
            output.loss = output.loss + total(parameter_tensor(self.remainder))
        return output


def _sizes(config: Config) -> dict[str, int]:
    """Return the sizes that the config names, whatever it calls them."""
    inner = config.get("text_config")
    values = {**config.values, **(inner if isinstance(inner, dict) else {})}
    found = {}
    for name, spellings in _NAMES.items():
        given = next((values[s] for s in spellings if isinstance(values.get(s), int)), None)
        if given:
            found[name] = given
    return found


def _sizes_of_count(parameters: int) -> dict[str, int]:
    """Return the sizes of a decoder with about that many parameters: N = 12 L D² with D = 128 L."""
    layers = max(1, round((parameters / (12 * _HEAD**2)) ** (1 / 3)))
    return {"hidden_size": layers * _HEAD, "num_hidden_layers": layers}


def _completed(sizes: dict[str, int], parameters: int | None) -> dict[str, int]:
    width = sizes["hidden_size"]
    heads = sizes.get("num_attention_heads") or max(1, width // _HEAD)
    full = {
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "vocab_size": _VOCABULARY,
        "intermediate_size": 4 * width,
        **sizes,
    }
    if parameters is not None:
        _narrow(full, parameters)
    return full


def _narrow(sizes: dict[str, int], parameters: int) -> None:
    """Take away inner size, then heads, until the stand-in has no more parameters than the model."""
    width, layers = sizes["hidden_size"], sizes["num_hidden_layers"]
    head = sizes["head_dim"] = width // sizes["num_attention_heads"]
    room = parameters - (2 * sizes["vocab_size"] + 1 + 2 * layers) * width
    most = max(1, (room - 3 * width * layers) // (4 * width * head * layers))
    if most < sizes["num_attention_heads"]:
        sizes["num_attention_heads"] = sizes["num_key_value_heads"] = most
    room -= 4 * width * head * sizes["num_attention_heads"] * layers
    sizes["intermediate_size"] = max(1, min(sizes["intermediate_size"], room // (3 * width * layers)))

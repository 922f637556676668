"""Bodies of transformers inside of a user's model: `AutoModel.from_pretrained("bert-base-uncased")` and configs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.interpret.modules import CalledByName
from vramlint.interpret.values import Data, NotUnderstood, Record, Unread
from vramlint.knowledge import models
from vramlint.memory.families import family_of
from vramlint.memory.families.base import Config, Model, Regime, UnsupportedTask
from vramlint.memory.families.bert import Pooler
from vramlint.memory.families.decoder import CausalLM
from vramlint.memory.families.encoder import PooledClassifier
from vramlint.memory.families.layers import KeyValueCache
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.interpret.interpreter import Interpreter
    from vramlint.interpret.values import Library
    from vramlint.memory.modules import Buffer, Module, Parameter

# Families whose base model pools the first token, though their classifiers of tokens go without (add_pooling_layer).
_POOLED = frozenset({"roberta", "xlm-roberta", "camembert"})
_PARTS = {"Vision": "vision_config", "Text": "text_config"}
_WITHOUT_EFFECT = frozenset({
    "cache_dir", "trust_remote_code", "use_safetensors", "revision", "local_files_only", "token", "use_auth_token",
    "force_download", "proxies",
})  # fmt: skip
_TAKES_TOKENS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class Body(CalledByName):
    """A model without a head: token ids to hidden states, and a pooled one where the family has it."""

    def __init__(self, config: Config, body: Module, pooler: Module | None, kind: str) -> None:
        self.body, self.pooler, self.kind = body, pooler, kind
        self.attention = "sdpa"
        self.config = Record({"hidden_size": _width(body), **config.values})

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield the parts under the names that transformers gives them."""
        yield from self.body.children()
        if self.pooler is not None:
            yield "pooler", self.pooler

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield parameters and buffers under the names that transformers gives them."""
        yield from self.body.named_tensors(prefix)
        if self.pooler is not None:
            yield from self.pooler.named_tensors(f"{prefix}pooler.")

    def run(self, interpreter: Interpreter, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run it on token ids.

        Raises:
            NotUnderstood: for any other input.
        """
        as_record = kwargs.pop("return_dict", True)
        given = {**dict(zip(("input_ids", "attention_mask", "token_type_ids"), args, strict=False)), **kwargs}
        outputs = self._outputs(interpreter, given)
        return outputs if as_record is not False else tuple(outputs.attributes.values())

    def _outputs(self, interpreter: Interpreter, given: dict[str, Any]) -> Record:
        asked = [name for name, value in given.items() if value is not None and value is not False]
        unknown = [name for name in asked if name not in _TAKES_TOKENS]
        if "input_ids" not in given or unknown:
            raise NotUnderstood(f"a body of transformers is given `{(unknown or ['no input_ids'])[0]}`")
        ids = _tokens(interpreter, given["input_ids"])
        mask = given.get("attention_mask")
        if isinstance(mask, Data):
            _tokens(interpreter, mask)
        regime = Regime(attention=self.attention, padding_mask=mask is not None)
        if self.kind == "decoder":
            return Record({"last_hidden_state": self.body(ids, regime, KeyValueCache())})
        if self.kind == "pooled":
            hidden, pooled = self.body(ids, regime)
            return Record({"last_hidden_state": hidden, "pooler_output": pooled})
        hidden = self.body(ids, regime)
        pooled = self.pooler(hidden) if self.pooler is not None else None
        return Record({"last_hidden_state": hidden, **({} if pooled is None else {"pooler_output": pooled})})


def _tokens(interpreter: Interpreter, value: Any) -> Tensor:
    if isinstance(value, Data) and interpreter.materials is not None:
        return interpreter.materials.tokens(interpreter, value)
    found = interpreter.tensor(value)
    if not isinstance(found, Tensor):
        raise NotUnderstood("a body of transformers is given what is no tensor")
    return found


def _width(body: Module) -> int:
    """Return the width of the hidden states: that of the largest embedding."""
    embeddings = [one for one in body.parameters() if one.is_embedding]
    return max(embeddings, key=lambda one: one.numel).shape[1]


def call(function: Library, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return what `Class.from_pretrained(name)` loads, None where it is not of transformers."""
    owner, _, method = function.name.rpartition(".")
    name = owner.rpartition(".")[2]
    if method != "from_pretrained" or not owner.startswith("transformers."):
        return None
    if not args or not isinstance(args[0], str):
        return Unread(f"what `{name}.from_pretrained` loads is not known")
    if name.endswith("Config"):
        return _config(name, args[0])
    return _loaded(name, args[0], kwargs) if name.endswith("Model") else None


def _loaded(name: str, model_id: str, kwargs: dict[str, Any]) -> Any:
    other = next((key for key in kwargs if key not in _WITHOUT_EFFECT and key != "attn_implementation"), None)
    if other is not None:
        return Unread(f"what `{other}` makes of `{name}.from_pretrained` is not followed")
    made = _body(model_id)
    attention = kwargs.get("attn_implementation")
    if isinstance(made, Body) and isinstance(attention, str):
        made.attention = attention
    return made


def _config(name: str, model_id: str) -> Any:
    record = models.find(model_id)
    if record is None or record.components:
        return Unread(f"the config of {model_id!r} is not in the catalogue")
    values = {"model_type": record.model_type, **record.config}
    for part, key in _PARTS.items():
        if part in name and isinstance(values.get(key), dict):
            values = values[key]
    return Record(dict(values))


def _body(model_id: str) -> Any:
    record = models.find(model_id)
    if record is None or record.components:
        return Unread(f"the model {model_id!r} is not in the catalogue")
    config = Config({"model_type": record.model_type, **record.config})
    family = family_of(record.model_type)
    made = _headed(config, family) if family is not None else None
    prefix = getattr(made, "prefix", None)
    if made is None or not isinstance(prefix, str):
        return Unread(f"the body of models of type {record.model_type!r} is not walked by itself yet")
    kind = "decoder" if isinstance(made, CausalLM) else "pooled" if isinstance(made, PooledClassifier) else ""
    pooler = Pooler(config) if record.model_type in _POOLED else None
    return Body(config, getattr(made, prefix), pooler, kind)


def _headed(config: Config, family: Any) -> Model | None:
    """Return the model with a head that leaves the body whole."""
    for task in ("causal-lm", "sequence-classification", "token-classification"):
        try:
            made: Model = family.build(config, task)
        except (UnsupportedTask, KeyError):
            continue
        if task != "sequence-classification" or isinstance(made, PooledClassifier):
            return made
    return None

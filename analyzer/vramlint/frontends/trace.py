"""Following a model through wrappers, moves and casts back to the call that made it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.facts.inspect_values import each, identity
from vramlint.facts.setting import Known, Origin, Setting
from vramlint.facts.values import Bound, Class, Element, Function, Instance

if TYPE_CHECKING:
    from vramlint.facts.script import Script

# Methods that return the object they belong to, perhaps moved, cast or switched.
_SAME = frozenset(
    {
        "to",
        "cuda",
        "cpu",
        "half",
        "bfloat16",
        "float",
        "double",
        "train",
        "eval",
        "requires_grad_",
        "apply",
        "merge_and_unload",
        "unload",
        "to_empty",
        "module",
        "share_memory",
        "enable_input_require_grads",
        "compile",
        "type",
        "parameters",
        "named_parameters",
        "unwrap_model",
        "get_trainable_module",
    }
)
# Functions that return their first argument, wrapped.
_WRAPPERS = frozenset(
    {
        "DataParallel",
        "DistributedDataParallel",
        "FullyShardedDataParallel",
        "compile",
        "get_peft_model",
        "train_on_responses_only",
        "prepare_model_for_kbit_training",
        "prepare_model_for_int8_training",
        "fully_shard",
        "replicate",
        "convert_sync_batchnorm",
        "PeftModel",
        "LoraModel",
        "unwrap_model",
        "deepcopy",
        "prepare_model",
        "to_bettertransformer",
        "checkpoint_wrapper",
        "script",
        "filter",
        "list",
        "setup_module",
        "setup",
        "prepare",
        "prepare_ddp_model",
        "tqdm",
        "enumerate",
        "iter",
        "zip",
        "cycle",
        "MpDeviceLoader",
        "prepare_data_loader",
        "chain",
        "ComposerClassifier",
        "ClassificationTask",
        "HuggingFaceModel",
    }
)
_PREPARE = frozenset({".prepare", ".setup", ".setup_dataloaders", ".setup_optimizers"})
# TRL's helpers that return the model first, with a tokenizer.
_WITH_TOKENIZER = ("setup_chat_format", "clone_chat_template")
_MODEL_KEYWORDS = ("model", "module", "net")
DEEPEST = 12


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A value's beginning, and the calls it passed through on the way, the last one first."""

    base: Known[Any]
    through: tuple[Instance, ...]

    @property
    def key(self) -> object:
        """Return what tells the object apart from others."""
        value = self.base.value
        return (identity(value.of), value.index) if isinstance(value, Element) else identity(value)


def traced(script: Script, setting: Setting[Any] | None) -> tuple[Traced, ...]:
    """Return every beginning that a value may have; nothing where it is unknown."""
    if setting is None:
        return ()
    return tuple(_trace(script, known) for known in each(setting))


def _trace(script: Script, known: Known[Any]) -> Traced:
    through: list[Instance] = []
    for _ in range(DEEPEST):
        inner = _inner(script, known.value)
        if inner is None:
            break
        if isinstance(known.value, Instance):
            through.append(known.value)
        known = each(inner)[0]
    value = known.value.of if isinstance(known.value, Element) else known.value
    if isinstance(value, Instance) and value.call is not None:
        known = Known(known.value, script.origin(value.call, value.place))
    return Traced(known, tuple(through))


def _inner(script: Script, value: Any) -> Setting[Any] | None:
    """Return what a wrapper holds, None for a beginning."""
    if (
        isinstance(value, Bound)
        and value.attribute in {"module", "model", "base_model"}
        and value.of is not None
    ):
        return Known(value.of, Origin("source", value.attribute))
    if isinstance(value, Element):
        return _prepared(script, value)
    if not isinstance(value, Instance) or value.call is None or isinstance(value.local, Class | Function):
        return None
    method = value.method
    if method in _SAME and value.receiver is not None and method != "unwrap_model":
        return value.receiver
    last = {name.rpartition(".")[2] for name in value.names} or {_unresolved(value.call)}
    if ".prepare" in value.names or ".setup" in value.names or last & _WRAPPERS or _wraps_pretrained(value):
        return _first_argument(script, value)
    return None


def _unresolved(call: ast.Call) -> str:
    """Return the method's name where its object is a parameter that nobody gives, as Fabric's often is."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    return name if name in {"setup_module", "prepare_model"} else ""


def _wraps_pretrained(value: Instance) -> bool:
    return any(name.endswith(("PeftModel.from_pretrained", ".get_peft_model")) for name in value.names)


def _prepared(script: Script, value: Element) -> Setting[Any] | None:
    """Return the argument of `prepare(a, b)` that its result's part stands for."""
    made = value.of
    if made.call is None:
        return None
    if any(name in _PREPARE for name in made.names):
        arguments = made.call.args
        if value.index < len(arguments) and not any(isinstance(part, ast.Starred) for part in arguments):
            return script.value(arguments[value.index], made.place, made.frame)
    if value.index == 0 and any(name.endswith(_WITH_TOKENIZER) for name in made.names):
        return script.argument(made, "model", 0)
    if any(name.endswith("deepspeed.initialize") for name in made.names):
        return (
            script.argument(made, ("model", "optimizer")[value.index], value.index + 1)
            if value.index < 2  # noqa: PLR2004  counts arguments or characters
            else None
        )
    return None


def _first_argument(script: Script, value: Instance) -> Setting[Any] | None:
    assert value.call is not None
    for keyword in value.call.keywords:
        if keyword.arg in _MODEL_KEYWORDS:
            return script.value(keyword.value, value.place, value.frame)
    index = 1 if any(name == "builtins.filter" for name in value.names) else 0
    if len(value.call.args) <= index or isinstance(value.call.args[index], ast.Starred):
        return None
    return script.value(value.call.args[index], value.place, value.frame)

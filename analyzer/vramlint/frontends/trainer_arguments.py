"""What TrainingArguments and its kin say: batch, precision, optimizer, checkpointing, sharding."""

from __future__ import annotations

import ast
import re
from typing import Any

from vramlint.facts.script import lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import Instance, Items, Record, Symbol, is_scalar
from vramlint.frontends import checkpointing as checkpointing_calls
from vramlint.frontends import optimizers, peft
from vramlint.frontends.base import Context, settled


class Arguments:
    """Reads fields of a TrainingArguments object: what the call, a later assignment or a default says."""

    def __init__(self, context: Context, trainer: Instance, made: Instance | None, defaults: str) -> None:
        self.context = context
        self.trainer = trainer
        self.made = made
        self.defaults = defaults

    def given(self, *names: str) -> Setting[Any] | None:
        """Return a field that the script or the launch line sets, None if neither does."""
        for name in names:
            found = self._assigned(name)
            if found is None and self.made is not None:
                found = self.context.script.argument(self.made, name)
            if found is not None:
                return found
        return None

    def field(self, *names: str) -> Setting[Any] | None:
        """Return a field: given, else the framework's default for the version."""
        found = self.given(*names)
        if found is not None or (self.made is None and self._is_opaque()):
            return found
        return next(
            (
                default
                for owner in self._owners()
                for name in names
                if (default := self.context.default(owner, name)) is not None
            ),
            None,
        )

    def _owners(self) -> tuple[str, ...]:
        """Return whose defaults count; a trainer of TRL takes over each field of plain TrainingArguments."""
        plain = "transformers.TrainingArguments"
        is_plain = self.made is not None and set(self.made.names) == {plain}
        return (plain, self.defaults) if is_plain and self.defaults != plain else (self.defaults,)

    def _assigned(self, name: str) -> Setting[Any] | None:
        """Return what `training_args.name = …` set before the trainer was made."""
        node = self._node()
        if not isinstance(node, ast.Name):
            return None
        attribute = ast.copy_location(ast.Attribute(node, name, ast.Load()), node)
        return self.context.script.evaluator.changed(attribute, self.trainer.place, self.trainer.frame)

    def _node(self) -> ast.expr | None:
        call = self.trainer.call
        if call is None:
            return None
        named = next((keyword.value for keyword in call.keywords if keyword.arg == "args"), None)
        return named or (call.args[1] if len(call.args) > 1 else None)

    def _is_opaque(self) -> bool:
        """Return whether the trainer gets arguments that could not be followed."""
        node = self._node()
        return node is not None and not (isinstance(node, ast.Constant) and node.value is None)

    def opaque(self, what: str) -> Unknown:
        """Return the unknown of a field of arguments that could not be followed."""
        node = self._node()
        origin = self.context.script.origin(node, self.trainer.place) if node is not None else None
        shown = source(node) if node is not None else ""
        return Unknown(
            f"the training arguments `{shown}` are not followed, so {what} is not known",
            origin,
        )


def read(
    context: Context, trainer: Instance, made: Instance | None, defaults: str
) -> dict[str, Setting[Any]]:
    """Return the settings that a trainer's arguments decide."""
    arguments = Arguments(context, trainer, made, defaults)
    readers = {
        "micro_batch_size": batch_size, "gradient_accumulation_steps": accumulation,
        "mixed_precision": precision,
        "optimizer": optimizer, "gradient_checkpointing": checkpointing, "compile": compiled, "loss": loss,
        "loop": loop,
    }  # fmt: skip
    found = {key: reader(arguments) for key, reader in readers.items()}
    return {key: value for key, value in found.items() if value is not None}


def batch_size(arguments: Arguments) -> Setting[Any]:
    """Return `per_device_train_batch_size`, unless the trainer looks for one itself."""
    auto = arguments.given("auto_find_batch_size")
    found = settled(
        arguments.field("per_device_train_batch_size", "per_gpu_train_batch_size"), "micro_batch_size"
    )
    if isinstance(auto, Known) and auto.value is True and isinstance(found, Known):
        bounds = (1, found.value, found.value)
        return Unknown(f"auto_find_batch_size lowers {found.value} until it fits", auto.origin, bounds)
    return found if found is not None else arguments.opaque("the batch size")


def accumulation(arguments: Arguments) -> Setting[Any]:
    """Return `gradient_accumulation_steps`."""
    found = settled(arguments.field("gradient_accumulation_steps"), "gradient_accumulation_steps")
    return found if found is not None else arguments.opaque("gradient accumulation")


def precision(arguments: Arguments) -> Setting[Any]:
    """Return bf16, fp16 or no; TRL's `bf16=None` means bf16 unless fp16 is on."""
    half = arguments.field("fp16")
    brain = arguments.field("bf16")
    if isinstance(half, Known) and half.value is True and arguments.given("bf16") is None:
        return Known("fp16", half.origin)
    for found, name in ((brain, "bf16"), (half, "fp16")):
        if isinstance(found, Known) and found.value is True:
            return Known(name, found.origin)
    for found in (brain, half):
        if found is not None and not isinstance(found, Known):
            return (
                found
                if isinstance(found, Unknown)
                else lift(found, lambda one: Known("bf16" if one.value else "no", one.origin)) or found
            )
    if isinstance(brain, Known) and brain.value is None and arguments.defaults.startswith("trl."):
        return Known("bf16", Origin("framework-default", "TRL trains in bf16 unless fp16 is set"))
    if brain is None and half is None:
        return arguments.opaque("the precision")
    return _neither(brain, half)


def _neither(brain: Setting[Any] | None, half: Setting[Any] | None) -> Setting[Any]:
    """Return that no half precision is on, unless what switches it on is an object that was not followed."""
    unread = next((one for one in (brain, half) if isinstance(one, Known) and not is_scalar(one.value)), None)
    if unread is not None:
        why = f"`{unread.origin.detail}` is known only at run time; name it with --set mixed_precision=…"
        return Unknown(why, unread.origin)
    origin = (
        brain.origin
        if isinstance(brain, Known)
        else Origin("framework-default", "TrainingArguments without bf16 or fp16")
    )
    return Known("no", origin)


def optimizer(arguments: Arguments) -> Setting[Any]:
    """Return the optimizer: the trainer's own, else that of `optim`."""
    script = arguments.context.script
    own = script.argument(arguments.trainer, "optimizers")
    if isinstance(own, Known) and isinstance(own.value, Items) and own.value.items:
        first = script.evaluator.force(own.value.items[0])
        if not (isinstance(first, Known) and first.value is None):
            return optimizers.described(arguments.context, first)
    old = arguments.given("adafactor")
    if isinstance(old, Known) and old.value is True:
        return Known({"name": "adafactor"}, old.origin)
    found = arguments.field("optim")
    if found is None:
        return arguments.opaque("the optimizer")
    named = lift(found, _optimizer_name)
    return _projected(arguments, named) if named is not None else arguments.opaque("the optimizer")


_RANK = re.compile(r"\brank\s*=\s*(\d+)")


def _projected(arguments: Arguments, named: Setting[Any]) -> Setting[Any]:
    """Add what a low-rank optimizer projects (`optim_target_modules`) and its rank, a part of `optim_args`."""
    if not (isinstance(named, Known) and named.value["name"].startswith(("galore", "apollo"))):
        return named
    spec = dict(named.value)
    targets = peft.plain(arguments.context, arguments.given("optim_target_modules"))
    if isinstance(targets, str | list):
        spec["target_modules"] = targets
    given = arguments.given("optim_args")
    rank = _RANK.search(given.value) if isinstance(given, Known) and isinstance(given.value, str) else None
    return Known(spec | ({"rank": int(rank[1])} if rank else {}), named.origin)


def _optimizer_name(known: Known[Any]) -> Setting[Any]:
    value = known.value
    if isinstance(value, Symbol):
        value = value.name.rpartition(".")[2].lower()
    if not isinstance(value, str):
        return Unknown(f"the optimizer {known.origin.detail} is known only at run time", known.origin)
    return Known({"name": value}, known.origin)


def checkpointing(arguments: Arguments) -> Setting[Any] | None:
    """Return gradient checkpointing, with the reentrant kind where the arguments say it."""
    found = arguments.field("gradient_checkpointing", "activation_checkpointing")
    if found is None:
        return arguments.opaque("gradient checkpointing")
    return lift(found, lambda known: _checkpointing(arguments, known))


def _checkpointing(arguments: Arguments, known: Known[Any]) -> Setting[Any] | None:
    if not known.value:
        # The trainer switches it on, never off: a call on the model counts.
        is_switched = checkpointing_calls.any_of(arguments.context)
        is_default = known.origin.kind == "framework-default"
        return None if is_default or is_switched else Known(None, known.origin)
    if _is_unsloths(arguments.context):
        return None  # its own switch replaces the trainer's
    kind = arguments.given("gradient_checkpointing_kwargs")
    reentrant = False
    if isinstance(kind, Known) and isinstance(kind.value, Record) and "use_reentrant" in kind.value.items:
        inner = arguments.context.script.evaluator.force(kind.value.items["use_reentrant"])
        reentrant = isinstance(inner, Known) and inner.value is True
    elif not isinstance(kind, Known) or kind.value is None:
        default = arguments.context.default("transformers.gradient_checkpointing_enable", "use_reentrant")
        reentrant = isinstance(default, Known) and default.value is True
    return Known({"use_reentrant": reentrant}, known.origin)


def _is_unsloths(context: Context) -> bool:
    calls = context.script.calls("get_peft_model") if "unsloth" in context.script.names.imports else ()
    return any(name.startswith("unsloth.") for call in calls for name in context.script.callee(call))


def compiled(arguments: Arguments) -> Setting[Any] | None:
    """Return whether the model is compiled."""
    found = arguments.field("torch_compile")
    return lift(found, lambda known: Known(bool(known.value), known.origin)) if found is not None else None


def loss(arguments: Arguments) -> Setting[Any] | None:
    """Return "label-smoothing" where the Trainer smooths labels by itself, else "liger" where Liger's loss is on."""
    smoothing = arguments.field("label_smoothing_factor")
    if isinstance(smoothing, Known) and is_scalar(smoothing.value) and smoothing.value:
        return Known("label-smoothing", smoothing.origin)
    found = arguments.field("use_liger_kernel", "use_liger")
    if isinstance(found, Known):
        return Known("liger" if found.value else "default", found.origin)
    return found


def loop(arguments: Arguments) -> Setting[Any]:
    """Return how the Trainer's loop is written. Source: transformers 4.18 to 5.23, trainer.py."""
    found: dict[str, Any] = {"set_to_none": True, "zero_grad": "end", "keeps_outputs": False}
    norm = arguments.field("max_grad_norm")
    if isinstance(norm, Known) and is_scalar(norm.value) and norm.value:
        found["clip_grad_norm"] = float(norm.value)
    return Known(found, Origin("framework-default", "the loop of transformers.Trainer"))

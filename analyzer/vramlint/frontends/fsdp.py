"""Fully sharded data parallel: torch's FSDP wrapper and `fully_shard`, and a Trainer's `fsdp` argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts import configs
from vramlint.facts.script import is_from
from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.values import Items, Record, Symbol, is_scalar
from vramlint.frontends.dtypes import short_dtype
from vramlint.frontends.trainer_arguments import Arguments
from vramlint.frontends.world import sharded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

_KINDS = {"FullyShardedDataParallel": "fsdp", "fully_shard": "fsdp2"}
# torch's ShardingStrategy, by name and by the number that accelerate's older files give.
_STRATEGIES = {
    "full_shard": "full-shard",
    "shard_grad_op": "shard-grad-op",
    "no_shard": "no-shard",
    "hybrid_shard": "hybrid",
    "hybrid_shard_zero2": "hybrid",
    "1": "full-shard",
    "2": "shard-grad-op",
    "3": "no-shard",
    "4": "hybrid",
}
_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "no"}
# transformers' fsdp_config without a version means FSDP 2 from this release on (training_args.py).
_SECOND_BY_DEFAULT = (5, 12)


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Find the wrapper, or what the trainer is told."""
    if training.trainer is not None:
        return _trainer(context, Arguments(context, training.trainer, training.arguments, ""))
    for call in context.script.calls("FullyShardedDataParallel", "FSDP", "fully_shard"):
        names = context.script.callee(call)
        kind = next((kind for name, kind in _KINDS.items() if is_from(names, {"torch"}, {name})), None)
        if kind is not None:
            origin = context.script.origin(call.node, call.place)
            found = sharded(context, {"kind": kind, **_wrapped(context, call)}, origin)
            return {"sharding": found, **_precision(context, call)}
    return {}


def _precision(context: Context, call: Call) -> dict[str, Setting[Any]]:
    """Read the type in which gathered weights compute: `MixedPrecision(param_dtype=…)`, `MixedPrecisionPolicy(…)`."""
    for name in ("mixed_precision", "mp_policy"):
        policy = context.script.argument(call, name)
        if isinstance(policy, Unknown):
            return {"mixed_precision": Unknown(f"`{name}` of the wrapper: {policy.reason}", policy.origin)}
        if not isinstance(policy, Known) or policy.value is None or is_scalar(policy.value):
            continue
        dtype = context.script.argument(policy.value, "param_dtype", 0)
        kind = _PRECISIONS.get(short_dtype(dtype.value) or "") if isinstance(dtype, Known) else None
        if kind is not None and isinstance(dtype, Known):
            return {"mixed_precision": Known(kind, dtype.origin)}
    return {}


def _wrapped(context: Context, call: Call) -> dict[str, Any]:
    """Return the strategy and the offload that the wrapper is given."""
    found: dict[str, Any] = {}
    given = context.script.argument(call, "sharding_strategy", 2)
    if isinstance(given, Known) and isinstance(given.value, Symbol):
        strategy = _STRATEGIES.get(given.value.name.rpartition(".")[2].lower())
        found |= {"strategy": strategy} if strategy else {}
    reshards = context.script.argument(call, "reshard_after_forward")
    if isinstance(reshards, Known) and reshards.value is False:
        found["strategy"] = "shard-grad-op"
    offload = context.script.argument(call, "cpu_offload")
    inner = offload.value if isinstance(offload, Known) else None
    params = (
        None if inner is None or is_scalar(inner) else context.script.argument(inner, "offload_params", 0)
    )
    if isinstance(params, Known) and params.value is True:
        found |= {"offload_param": "cpu"}
    return found


def _trainer(context: Context, arguments: Arguments) -> Mapping[str, Setting[Any]]:
    """Read `fsdp="full_shard auto_wrap"` with its `fsdp_config`."""
    given = arguments.given("fsdp")
    if given is None or (isinstance(given, Known) and not given.value):
        return {}
    if not isinstance(given, Known):
        weak = (
            isinstance(given, Unknown)
            and given.origin is not None
            and given.origin.kind == "argument-default"
        )
        return {} if weak else {"sharding": given}
    words = _words(context, given)
    if not words:
        return {}
    version = _field(context, arguments, "fsdp_version", "version")
    second = version == 2 if version is not None else _second_by_default(context)  # noqa: PLR2004  FSDP's
    spec: dict[str, Any] = {"kind": "fsdp2" if second else "fsdp"}
    strategy = next((_STRATEGIES[word] for word in words if word in _STRATEGIES), None)
    spec |= {"strategy": strategy} if strategy and strategy != "full-shard" else {}
    spec |= {"offload_param": "cpu"} if "offload" in words else {}
    return {"sharding": sharded(context, spec, given.origin)}


def _words(context: Context, given: Known[Any]) -> list[str]:
    if given.value is True:
        return ["full_shard"]
    if isinstance(given.value, str):
        return given.value.lower().split()
    if isinstance(given.value, Items):
        parts = [context.script.evaluator.force(item) for item in given.value.items]
        return [str(part.value).rpartition(".")[2].lower() for part in parts if isinstance(part, Known)]
    return []


def _field(context: Context, arguments: Arguments, *names: str) -> Any:
    """Return a field of `fsdp_config`, a dict or a file of JSON."""
    given = arguments.given("fsdp_config")
    value = given.value if isinstance(given, Known) else None
    if isinstance(value, str):
        file = configs.find(context.script.evaluator.modules.repository, value)
        value = None if file is None else configs.record(file)
    if not isinstance(value, Record):
        return None
    found = (context.script.evaluator.force(value.items[name]) for name in names if name in value.items)
    return next((one.value for one in found if isinstance(one, Known)), None)


def _second_by_default(context: Context) -> bool:
    version = context.versions.get("transformers")
    parts = version.value.split(".")[:2] if version is not None else []
    return tuple(int(part) for part in parts if part.isdigit()) >= _SECOND_BY_DEFAULT


def launched(context: Context, flags: Mapping[str, Setting[Any]], origin_of: Known[Any]) -> Setting[Any]:
    """Return what accelerate's flags or file say of FSDP."""

    def plain(name: str) -> Any:
        found = flags.get(name)
        return found.value if isinstance(found, Known) else None

    second = plain("fsdp_version") == 2  # noqa: PLR2004  FSDP's
    spec: dict[str, Any] = {"kind": "fsdp2" if second else "fsdp"}
    strategy = _STRATEGIES.get(str(plain("fsdp_sharding_strategy")).lower())
    if plain("fsdp_reshard_after_forward") is False:
        strategy = "shard-grad-op"
    spec |= {"strategy": strategy} if strategy and strategy != "full-shard" else {}
    spec |= {"offload_param": "cpu"} if plain("fsdp_offload_params") is True else {}
    return sharded(context, spec, origin_of.origin)

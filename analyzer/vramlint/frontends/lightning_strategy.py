"""Lightning's strategies: how many GPUs a trainer uses and how they share the states.

Source: lightning 2.6.6, `trainer/connectors/accelerator_connector.py`, `strategies/deepspeed.py`, `strategies/fsdp.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.values import Instance, Items
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from vramlint.frontends.base import Context

_DEEPSPEED = re.compile(r"deepspeed(?:_stage_([123]))?(_offload)?$")
_FSDP = {"FULL_SHARD": "full-shard", "SHARD_GRAD_OP": "shard-grad-op", "NO_SHARD": "no-shard",
         "HYBRID_SHARD": "hybrid"}  # fmt: skip
_SAY = "describe it with --set sharding=…"


def read(context: Context, trainer: Instance) -> dict[str, Setting[Any]]:
    """Return the sharding of a Trainer or Fabric; nothing where one GPU is all it says."""
    given = context.script.argument(trainer, "strategy")
    size = _gpus(context, trainer)
    if given is None or (isinstance(given, Known) and given.value in {"auto", None}):
        if size is None or size.value == 1:
            return {}
        return {"sharding": Known({"kind": "ddp", "world_size": size.value}, size.origin)}
    found = _named(context, given, size)
    return {} if found is None else {"sharding": found}


def _named(context: Context, given: Setting[Any], size: Known[int] | None) -> Setting[Any] | None:
    """Return the sharding of a strategy that is given, None for one GPU."""
    if not isinstance(given, Known):
        differs = Unknown(f"the strategy differs between branches; {_SAY}")
        return given if isinstance(given, Unknown) else differs
    spec = _spec(context, given)
    if spec is None or isinstance(spec, Unknown):
        return spec
    if size is not None or spec["kind"] == "ddp":
        return Known({**spec, "world_size": size.value if size else 2}, given.origin)
    why = f"{spec['kind']} divides the states over the GPUs; say how many with --world-size"
    return Unknown(why, given.origin)


def _gpus(context: Context, trainer: Instance) -> Known[int] | None:
    """Return how many GPUs there are: the options' word, else devices times nodes where both are written."""
    if context.world_size is not None:
        return context.world_size
    devices = context.script.argument(trainer, "devices")
    devices = context.script.argument(trainer, "gpus") if devices is None else devices
    nodes = context.script.argument(trainer, "num_nodes")
    if not isinstance(devices, Known):
        return None
    count = len(devices.value.items) if isinstance(devices.value, Items) else devices.value
    count = int(count) if isinstance(count, str) and count.isdigit() else count
    factor = nodes.value if isinstance(nodes, Known) else 1
    if not isinstance(count, int) or isinstance(count, bool) or not isinstance(factor, int) or count < 1:
        return None
    return Known(count * factor, devices.origin)


def _spec(context: Context, given: Known[Any]) -> dict[str, Any] | Unknown | None:
    """Return the kind of sharding that a strategy's name or object says; None for one GPU."""
    if isinstance(given.value, str):
        return _by_name(given)
    for one in traced(context.script, given):
        made = one.base.value
        if isinstance(made, Instance):
            return _by_object(context, made, given)
    return Unknown(f"the strategy `{given.origin.detail}` is known only at run time; {_SAY}", given.origin)


def _by_name(given: Known[Any]) -> dict[str, Any] | Unknown | None:
    name = given.value.lower()
    if name.startswith("ddp"):
        return {"kind": "ddp"}
    if name in {"dp", "single_device"}:
        return {"kind": "dp"} if name == "dp" else None
    if name in {"fsdp", "fsdp_native", "fsdp_cpu_offload"}:
        offload = {"offload_param": "cpu", "offload_optimizer": "cpu"} if "offload" in name else {}
        return {"kind": "fsdp", "strategy": "full-shard", **offload}
    match = _DEEPSPEED.match(name)
    if match is None:
        return Unknown(f"the strategy {given.value!r} is not known; {_SAY}", given.origin)
    stage = match[1] or "2"
    offload = {"offload_optimizer": "cpu"} if match[2] else {}
    return {
        "kind": f"zero{stage}",
        **offload,
        **({"offload_param": "cpu"} if match[2] and stage == "3" else {}),
    }


def _by_object(context: Context, made: Instance, given: Known[Any]) -> dict[str, Any] | Unknown:
    last = {name.rpartition(".")[2] for name in made.names}
    if last & {"DDPStrategy", "DDPPlugin"}:
        return {"kind": "ddp"}
    if last & {"DeepSpeedStrategy", "DeepSpeedPlugin"}:
        stage = context.script.argument(made, "stage")
        number = stage.value if isinstance(stage, Known) and stage.value in {1, 2, 3} else 2
        config = context.script.argument(made, "config")
        if config is not None and stage is None:
            return Unknown(f"DeepSpeedStrategy(config=…) says the stage; {_SAY}", given.origin)
        spec: dict[str, Any] = {"kind": f"zero{number}"}
        for switch, key in (
            ("offload_optimizer", "offload_optimizer"),
            ("offload_parameters", "offload_param"),
        ):
            on = context.script.argument(made, switch)
            if isinstance(on, Known) and on.value is True:
                spec[key] = "cpu"
        return spec
    if last & {"FSDPStrategy", "DDPFullyShardedNativeStrategy"}:
        how = context.script.argument(made, "sharding_strategy")
        name = _FSDP.get(str(how.value)) if isinstance(how, Known) else "full-shard"
        return {"kind": "fsdp", "strategy": name or "full-shard"}
    return Unknown(f"the strategy `{given.origin.detail}` is not known; {_SAY}", given.origin)

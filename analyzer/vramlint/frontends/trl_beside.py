"""What TRL's trainers keep beside the trained model: reference, reward and value models, and generation.

Sources: `dpo_trainer.py`, `grpo_trainer.py`, `rloo_trainer.py` and `experimental/ppo/ppo_trainer.py` of trl
0.11.4, 0.15.2, 0.24.0 and 1.16.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.frontends import beside

if TYPE_CHECKING:
    from vramlint.frontends.base import Context
    from vramlint.frontends.trainer_arguments import Arguments

_REFERENCE = {"DPOTrainer", "KTOTrainer", "BCOTrainer"}
_REFERENCE_IS_SECOND = {"DPOTrainer", "KTOTrainer", "BCOTrainer", "OnlineDPOTrainer"}
_BY_BETA = {"GRPOTrainer", "RLOOTrainer"}
_ALONE = {"SFTTrainer", "RewardTrainer", "PRMTrainer", "ORPOTrainer", "CPOTrainer", "IterativeSFTTrainer"}
_ROLES = {
    "reward_model": "reward",
    "value_model": "value",
    "teacher_model": "teacher",
    "ref_model": "reference",
    "judge": "judge",
}
_NAME_IT = "name them with --set extra_models=…"


def models(
    context: Context, arguments: Arguments, name: str, *, adapted: bool | None
) -> dict[str, Setting[Any]]:
    """Return the further models in memory; `adapted` tells whether the trained one has adapters."""
    if name in _ALONE:
        return {}
    origin = _origin(context, arguments, name)
    given = _given(context, arguments, name, adapted=adapted)
    if isinstance(given, Unknown):
        return {"extra_models": given}
    needs = _needs_reference(arguments, name)
    if isinstance(needs, Unknown):
        return {"extra_models": needs}
    has_own = any(one["role"] == "reference" for one in given)
    if needs and not has_own and adapted is None:
        why = "whether the base model serves as the reference depends on the adapters"
        return {"extra_models": Unknown(f"{why}; {_NAME_IT}", origin)}
    if needs and not has_own and not adapted:
        given = [{"role": "reference", "model": None, "device": "cuda"}, *given]
    detail = name if given else _why_none(name, adapted=adapted)
    return {"extra_models": Known(given, Origin("source", detail, origin.span))}


def _why_none(name: str, *, adapted: bool | None) -> str:
    return f"{name}: with adapters the base model is the reference" if adapted else f"{name} keeps no other"


def _origin(context: Context, arguments: Arguments, name: str) -> Origin:
    call = arguments.trainer.call
    if call is None:
        return Origin("source", name)
    return context.script.origin(call, arguments.trainer.place, name)


def _given(
    context: Context, arguments: Arguments, name: str, *, adapted: bool | None
) -> list[dict[str, Any]] | Unknown:
    """Return the models that the trainer's call gives, each with its role."""
    found: list[dict[str, Any]] = []
    for field, role in _ROLES.items():
        position = 1 if role == "reference" and name in _REFERENCE_IS_SECOND else None
        setting = context.script.argument(arguments.trainer, field, position)
        setting = _chosen(setting, adapted=adapted) if role == "reference" else setting
        if setting is None or (isinstance(setting, Known) and setting.value is None):
            continue
        described = beside.described(context, setting, role)
        if isinstance(described, Unknown):
            return described
        found.append(described)
    return found


def _chosen(setting: Setting[Any] | None, *, adapted: bool | None) -> Setting[Any] | None:
    """Return the one reference of `None if peft_config else load()` that the adapters decide for."""
    if not isinstance(setting, OneOf) or adapted is None:
        return setting
    fitting = [one for one in setting.alternatives if (one.value is None) == adapted]
    return fitting[0] if len(fitting) == 1 else setting


def _needs_reference(arguments: Arguments, name: str) -> bool | Unknown:
    """Return whether a trainer makes a reference where it is given none."""
    if name in _BY_BETA:
        return _by_beta(arguments, name)
    if name not in _REFERENCE and name not in {"PPOTrainer", "PPOv2Trainer", "OnlineDPOTrainer"}:
        return False
    for switch in ("precompute_ref_log_probs", "reference_free"):
        off = arguments.field(switch)
        if isinstance(off, Known) and off.value is True:
            return False
    return True


def _by_beta(arguments: Arguments, name: str) -> bool | Unknown:
    beta = arguments.field("beta")
    if isinstance(beta, Known) and isinstance(beta.value, int | float):
        return beta.value != 0
    why = f"{name} keeps a reference model unless beta is 0, and beta is not known"
    return Unknown(f"{why}; {_NAME_IT}", beta.origin if isinstance(beta, Unknown) else None)


def generation(
    context: Context, arguments: Arguments, name: str, rows: Setting[Any] | None
) -> dict[str, Setting[Any]]:
    """Return how completions are sampled inside the step; nothing where another process does that."""
    field = {"PPOTrainer": "response_length", "PPOv2Trainer": "response_length"}.get(
        name, "max_completion_length"
    )
    if name not in _BY_BETA and field != "response_length":
        return {}
    completion = arguments.field(field)
    if not (isinstance(completion, Known) and isinstance(completion.value, int)):
        return {}
    engine = _engine(arguments)
    if engine is None:
        return {}
    spec: dict[str, Any] = {"new_tokens": completion.value, **engine}
    prompt = arguments.field("max_prompt_length")
    if isinstance(prompt, Known) and isinstance(prompt.value, int) and prompt.value > 0:
        spec["prompt_length"] = prompt.value
    batch = _batch(arguments, name, rows)
    if batch is not None:
        spec["batch"] = batch
    origin = _origin(context, arguments, f"{name} samples completions")
    asked = arguments.given("use_vllm") is not None
    return {
        "generation": Known(
            spec, Origin("source" if asked else "framework-default", origin.detail, origin.span)
        )
    }


def _engine(arguments: Arguments) -> dict[str, Any] | None:
    """Return the engine that samples on the training GPU, None where a server does on another."""
    use = arguments.field("use_vllm")
    if not (isinstance(use, Known) and use.value is True):
        return {"engine": "transformers"}
    mode = arguments.field("vllm_mode")
    if not (isinstance(mode, Known) and mode.value == "colocate"):
        return None
    share = arguments.field("vllm_gpu_memory_utilization")
    known = isinstance(share, Known) and isinstance(share.value, int | float)
    return {"engine": "vllm", **({"gpu_memory_utilization": float(share.value)} if known else {})}  # type: ignore[union-attr]


def _batch(arguments: Arguments, name: str, rows: Setting[Any] | None) -> int | None:
    """Return the rows sampled at once: PPO's rollout batch, or GRPO's step times the steps per generation."""
    if name not in _BY_BETA:
        rollout = arguments.field("local_rollout_forward_batch_size")
        return rollout.value if isinstance(rollout, Known) and isinstance(rollout.value, int) else None
    if not (isinstance(rows, Known) and isinstance(rows.value, int)):
        return None
    steps = arguments.field("steps_per_generation")
    if steps is None:  # before 0.18 every step sampled its own rows; before 0.15 a batch counted prompts
        return rows.value * _completions_of_a_row(arguments)
    if isinstance(steps, Known) and steps.value is None:
        steps = arguments.field("gradient_accumulation_steps")
    known = isinstance(steps, Known) and isinstance(steps.value, int)
    return rows.value * steps.value if known else None  # type: ignore[union-attr]


def _completions_of_a_row(arguments: Arguments) -> int:
    default = arguments.context.default(arguments.defaults, "per_device_train_batch_size")
    count = arguments.field("num_generations")
    counts_prompts = isinstance(default, Known) and default.value == 1
    return count.value if counts_prompts and isinstance(count, Known) and isinstance(count.value, int) else 1

"""Who is to blame: the settings that cause a term, and so the lines where they were read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.facts.setting import Known, OneOf, Unknown
from vramlint.memory.ledger import Ledger

if TYPE_CHECKING:
    from vramlint.facts.setting import Origin
    from vramlint.memory.estimate import Estimate
    from vramlint.memory.ledger import Group, Term
    from vramlint.plan.run import Run

# The first setting is the one that a reader looks at first.
_CAUSES: dict[Group, tuple[str, ...]] = {
    "weights": ("model", "param_dtype", "quantization"),
    "gradients": ("model", "param_dtype", "trainable", "lora"),
    "optimizer": ("optimizer",),
    "activations": ("micro_batch_size", "sequence_length", "image_size", "gradient_checkpointing"),
    "loss": ("micro_batch_size", "sequence_length", "loss"),
    "inputs": ("micro_batch_size", "sequence_length", "image_size"),
    "extra-models": ("extra_models",),
}
_NO_CAUSE = {"framework-default", "assumed", "catalogue"}


def with_causes(estimate: Estimate, run: Run) -> Estimate:
    """Return the estimate with each term's origins: the places where the settings behind it were written."""
    terms = tuple(_with_origins(term, run) for term in estimate.ledger.terms)
    return replace(estimate, ledger=Ledger(terms))


def _with_origins(term: Term, run: Run) -> Term:
    if term.origins:
        return term
    found = (origin for name in settings_behind(term) if (origin := written(run, name)) is not None)
    return replace(term, origins=tuple(dict.fromkeys(found)))


def settings_behind(term: Term) -> tuple[str, ...]:
    """Return the settings behind a term, the first cause first."""
    if term.group == "temporaries":
        return ("optimizer",) if "optimizer_step" in term.phases else ("micro_batch_size", "sequence_length")
    if term.name == "autocast weight copies":
        return ("mixed_precision", "model")
    return _CAUSES.get(term.group, ())


def written(run: Run, name: str) -> Origin | None:
    """Return where someone wrote the setting, the likeliest place of several; None for a mere default."""
    setting = run.settings.get(name)
    if isinstance(setting, Known):
        origin: Origin | None = setting.origin
    elif isinstance(setting, OneOf):
        origin = setting.alternatives[0].origin
    else:
        origin = setting.origin if isinstance(setting, Unknown) else None
    if origin is None or (origin.kind in _NO_CAUSE and origin.span is None):
        return None
    return origin

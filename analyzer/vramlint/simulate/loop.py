"""The training loop of a plan, with torch's own operators."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from vramlint.simulate.batch import Batches
from vramlint.simulate.model import dtype_named
from vramlint.simulate.optimizers import make_optimizer

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from vramlint.memory.frameworks import Behaviour
    from vramlint.plan.document import Plan
    from vramlint.simulate.recorder import Recorder

_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


class Loop:
    """Trains a model for some steps; its attributes are the variables of a training script."""

    def __init__(self, plan: Plan, model: Any, recorder: Recorder, behaviour: Behaviour) -> None:
        self.plan, self.model, self.recorder, self.behaviour = plan, model, recorder, behaviour
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.batches = Batches(plan, getattr(model, "config", None), recorder.device)
        self.optimizer: torch.optim.Optimizer | None = None
        self.batch: dict[str, torch.Tensor] = {}
        self.loss: torch.Tensor | None = None
        self.outputs: Any = None
        for parameter in self.parameters:
            parameter.register_post_accumulate_grad_hook(
                lambda owner: recorder.mark([owner.grad], "gradients")
            )

    def run(self, steps: int, progress: Callable[[int], None]) -> None:
        """Run the loop; `progress` is told each step that begins, from 1.

        A step that begins with what the one before began with, and leaves the same, would only be repeated.
        """
        self.recorder.enter("forward", 1)
        if self.plan.optimizer is not None:
            self.optimizer = make_optimizer(self.plan.optimizer, self._groups())
        before: Counter[int] | None = None
        for step in range(1, steps + 1):
            progress(step)
            self._micro_batches(step)
            self._update(step)
            self.batch = {}
            after = self.recorder.alive()
            if after == before:
                break
            before = after

    def _groups(self) -> Any:
        """Return the parameters, as the Trainer does in two groups: with weight decay and without."""
        if not self.behaviour.splits_groups:
            return self.parameters
        decayed = [p for name, p in self.model.named_parameters() if p.requires_grad and _decays(name)]
        others = [p for name, p in self.model.named_parameters() if p.requires_grad and not _decays(name)]
        return [{"params": decayed}, {"params": others}]

    def _micro_batches(self, step: int) -> None:
        loop, count = self.plan.loop, self.plan.gradient_accumulation_steps
        for micro in range(count):
            if loop.zero_grad == "start" and micro == 0:
                self._zero_grad()
            self.recorder.enter("forward", step)
            self.batch = self.batches.make()
            self.recorder.mark(self.batch.values(), "inputs")
            self._forward(count)
            if loop.zero_grad == "before_backward" and micro == 0:
                self._zero_grad()
            self.recorder.enter("backward", step)
            assert self.loss is not None
            self.loss.backward()  # type: ignore[no-untyped-call]
            if not self.behaviour.keeps_loss:
                self.loss = None

    def _forward(self, count: int) -> None:
        """Set the loss; the last one, and with it what is left of its graph, lives until then."""
        with self._autocast():
            loss, outputs = self._loss()
        if self.plan.loop.keeps_outputs:
            self.outputs = outputs
        del outputs
        self.loss = loss / count if count > 1 else loss

    def _loss(self) -> tuple[torch.Tensor, Any]:
        if not hasattr(self.model, "config"):
            logits = self.model(self.batch["pixel_values"])
            return functional.cross_entropy(logits, self.batch["labels"]), logits
        further: dict[str, Any] = {"return_loss": True} if self.plan.task == "contrastive" else {}
        outputs = self.model(**self.batch, **further)
        return outputs.loss, outputs

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _DTYPES.get(self.plan.mixed_precision)
        if dtype is None:
            return nullcontext()
        return torch.autocast(
            self.recorder.device, dtype=dtype_named(dtype), cache_enabled=self.behaviour.caches_casts
        )

    def _update(self, step: int) -> None:
        self.recorder.enter("optimizer_step", step)
        if self.plan.loop.clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.plan.loop.clip_grad_norm, foreach=True)
        if self.optimizer is None:
            self._zero_grad()
            return
        self.optimizer.step()
        for state in self.optimizer.state.values():
            self.recorder.mark(state.values(), "optimizer")
        if self.plan.loop.zero_grad == "end":
            self._zero_grad()

    def _zero_grad(self) -> None:
        if self.optimizer is not None:
            self.optimizer.zero_grad(set_to_none=self.plan.loop.set_to_none)
        elif self.plan.loop.set_to_none:
            for parameter in self.parameters:
                parameter.grad = None


def _decays(name: str) -> bool:
    """Return whether the Trainer decays a parameter (trainer.py, get_decay_parameter_names)."""
    return not name.endswith("bias") and "norm" not in name.lower() and "ln_" not in name

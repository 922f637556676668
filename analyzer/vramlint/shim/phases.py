"""Notices the phases of a training step by torch's own hooks, whatever loop or trainer runs it.

Forward begins with the first call of a module, backward is the call of `torch.autograd.backward`, to which
`Tensor.backward` and every trainer come, and what follows belongs to the optimizer's step, clipping included.
Recomputation of checkpointed layers calls modules inside backward and stays there.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORWARD, BACKWARD, AFTER, STEP = "forward", "backward", "after backward", "optimizer_step"


@contextmanager
def noticed(enter: Callable[[str], None]) -> Iterator[None]:
    """Call `enter` with each phase that begins; everything is taken off again at the end."""
    from torch import autograd  # noqa: PLC0415  the user's own, and only where a recording begins
    from torch.nn.modules.module import register_module_forward_pre_hook  # noqa: PLC0415
    from torch.optim.optimizer import register_optimizer_step_pre_hook  # noqa: PLC0415

    with ExitStack() as hooks:
        for register, phase in (
            (register_module_forward_pre_hook, FORWARD),
            (register_optimizer_step_pre_hook, STEP),
        ):
            hooks.callback(register(lambda *_, phase=phase: enter(phase)).remove)
        hooks.enter_context(_replaced(autograd, "backward", enter))
        yield


@contextmanager
def _replaced(module: Any, name: str, enter: Callable[[str], None]) -> Iterator[None]:
    original = getattr(module, name)

    def backward(*arguments: Any, **named: Any) -> Any:
        enter(BACKWARD)
        try:
            return original(*arguments, **named)
        finally:
            enter(AFTER)

    setattr(module, name, backward)
    try:
        yield
    finally:
        setattr(module, name, original)

"""The textbook's shares of ZeRO."""

from __future__ import annotations

from enum import IntEnum

from vramlint.knowledge.textbook.figure import TextbookFigure, exactly

_CITATION = "Rajbhandari et al. 2020, ZeRO, figure 1: 2 + 2 + 12 bytes per parameter with Adam"
_STATES, _HALF = 12, 2


class Zero(IntEnum):
    """What is divided among the GPUs: nothing, states, also gradients, also parameters."""

    NONE = 0
    STATES = 1
    GRADIENTS = 2
    PARAMETERS = 3


def zero_states(parameters: int, gpus: int, stage: Zero) -> TextbookFigure:
    """Return bytes per GPU of weights, gradients and AdamW states that `stage` has divided among `gpus`.

    Only what is divided is counted, as the rule is usually quoted: 12·N/d, 14·N/d, 16·N/d; without
    ZeRO the states alone, 12·N.
    """
    divided = _STATES + _HALF * max(0, stage - Zero.STATES)
    share = 1 if stage == Zero.NONE else gpus
    return exactly(
        f"ZeRO-{stage.value} share" if stage else "AdamW states",
        -(-parameters * divided // share),
        f"N × {divided} B / d" if stage else f"N × {divided} B",
        _CITATION,
        "what is not divided comes on top (2 B weights up to stage 2, 2 B gradients up to stage 1), and so "
        "do fp32 gradients of the share at the step and the communication buckets",
    )


def zero3_offloaded(parameters: int, gpus: int) -> TextbookFigure:
    """Return 2·N/d bytes per GPU: 16-bit weights divided, everything else in host memory."""
    return exactly(
        "ZeRO-3 share with offload to the host",
        -(-parameters * _HALF // gpus),
        f"N × {_HALF} B / d",
        _CITATION,
        "the layers in use are gathered whole, gradient buckets and activations stay on the GPU",
    )

"""The textbook's bytes per parameter: weights, gradients and optimizer states."""

from __future__ import annotations

from vramlint.knowledge.textbook.figure import TextbookFigure, exactly

_PLAYBOOK = "The Ultra-Scale Playbook (Hugging Face), memory for weights, gradients and optimizer states"
_ZERO = "Rajbhandari et al. 2020, ZeRO, section 3.1"
_EIGHT_BIT = "Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization"
_STATE_TABLE = "states of the update rules in their papers, 4 bytes each"

_NO_MASTER = (
    "autocast keeps fp32 weights, gradients and states (16 B), a pure 16-bit model 16-bit ones (8 B); "
    "DeepSpeed, Megatron and apex keep a master copy"
)
_DTYPE = (
    "a framework's states have the dtype of the parameters, "
    "and the step adds temporaries (foreach AdamW: one copy)"
)

# Bytes of states per fp32 parameter.
_STATE_BYTES = {"sgd": 0, "momentum": 4, "adagrad": 4, "rmsprop": 4, "lion": 4, "adam": 8, "adamw": 8}


def weights(parameters: int, item_bytes: int) -> TextbookFigure:
    """Return N times the bytes of the weights' dtype."""
    return exactly(
        "weights",
        parameters * item_bytes,
        f"N × {item_bytes} B",
        _PLAYBOOK,
        "mixed precision does not shrink the weights: a model loaded in fp32 stays in fp32 under autocast",
    )


def gradients(parameters: int, item_bytes: int) -> TextbookFigure:
    """Return N times the bytes of the gradients' dtype."""
    return exactly(
        "gradients",
        parameters * item_bytes,
        f"N × {item_bytes} B",
        _PLAYBOOK,
        "gradients have the dtype of the parameters, whatever the precision of the computation",
    )


def optimizer_states(optimizer: str, parameters: int) -> TextbookFigure:
    """Return the states of fp32 parameters under sgd, momentum, adagrad, rmsprop, lion, adam or adamw.

    Raises:
        KeyError: if the textbook has no row for the optimizer.
    """
    item_bytes = _STATE_BYTES[optimizer]
    return exactly(
        f"{optimizer} states", parameters * item_bytes, f"N × {item_bytes} B", _STATE_TABLE, _DTYPE
    )


def adam_states_with_master_copy(parameters: int) -> TextbookFigure:
    """Return 12 bytes per parameter: fp32 weights, momentum and variance."""
    return exactly("AdamW with fp32 master copy", parameters * 12, "N × 12 B", _ZERO, _NO_MASTER)


def momentum_states_with_master_copy(parameters: int) -> TextbookFigure:
    """Return 8 bytes per parameter: fp32 weights and a momentum."""
    return exactly("momentum with fp32 master copy", parameters * 8, "N × 8 B", _ZERO, _NO_MASTER)


def adafactor_states_with_master_copy(parameters: int) -> TextbookFigure:
    """Return 4 to 8 bytes per parameter: fp32 weights, and a first moment or none."""
    return TextbookFigure(
        "Adafactor with fp32 master copy",
        parameters * 4,
        parameters * 8,
        "N × 4 … 8 B",
        "Shazeer and Stern 2018, Adafactor",
        "row and column factors are next to nothing, and no framework but a master-copy one adds the 4 B",
    )


def eight_bit_states_with_master_copy(parameters: int) -> TextbookFigure:
    """Return 6 bytes per parameter: fp32 weights and both moments in 8 bits, half of the usual 12."""
    return exactly(
        "8-bit AdamW with fp32 master copy", parameters * 6, "N × (4 + 2) B", _EIGHT_BIT, _NO_MASTER
    )


def eight_bit_states(parameters: int) -> TextbookFigure:
    """Return 2 bytes per parameter: both moments in 8 bits."""
    return exactly(
        "8-bit AdamW states",
        parameters * 2,
        "N × 2 B",
        _EIGHT_BIT,
        "each block of 256 adds an fp32 maximum; small tensors stay fp32, embeddings too in the Trainer",
    )


def full_precision_training(parameters: int) -> TextbookFigure:
    """Return 16 bytes per parameter: fp32 weights, gradients and two moments."""
    return exactly(
        "fp32 training with Adam",
        parameters * 16,
        "N × (4 + 4 + 8) B",
        _PLAYBOOK,
        "the step of a foreach Adam needs one more copy for a moment: 20 B per parameter",
    )


def mixed_precision_training(parameters: int) -> TextbookFigure:
    """Return 16 bytes per parameter: 16-bit weights and gradients, fp32 master copy and two moments."""
    return exactly(
        "mixed-precision training with Adam", parameters * 16, "N × (2 + 2 + 4 + 8) B", _PLAYBOOK, _NO_MASTER
    )


def mixed_precision_training_fp32_gradients(parameters: int) -> TextbookFigure:
    """Return 20 bytes per parameter: the same with a further fp32 copy of the gradients."""
    return exactly(
        "mixed-precision training with Adam and fp32 gradients",
        parameters * 20,
        "N × (2 + 2 + 4 + 4 + 8) B",
        _PLAYBOOK,
        _NO_MASTER,
    )

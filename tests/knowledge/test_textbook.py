"""The numbers that people know by heart, as the textbook functions give them."""

from __future__ import annotations

import pytest

from vramlint.knowledge import models, textbook
from vramlint.knowledge.textbook import TextbookFigure, Zero

B = 10**9
GB = 10**9
PHI_3 = 3_800_000_000  # as the rule of thumb rounds it


@pytest.mark.parametrize(
    ("figure", "gigabytes"),
    [
        (textbook.optimizer_states("sgd", B), 0),
        (textbook.optimizer_states("momentum", B), 4),
        (textbook.optimizer_states("adam", B), 8),
        (textbook.optimizer_states("adamw", B), 8),
        (textbook.optimizer_states("lion", B), 4),
        (textbook.adam_states_with_master_copy(175 * B), 2100),
        (textbook.adam_states_with_master_copy(70 * B), 840),
        (textbook.momentum_states_with_master_copy(B), 8),
        (textbook.eight_bit_states_with_master_copy(70 * B), 420),
        (textbook.zero_states(70 * B, 8, Zero.NONE), 840),
        (textbook.zero_states(70 * B, 8, Zero.STATES), 105),
        (textbook.zero_states(70 * B, 8, Zero.GRADIENTS), 122.5),
        (textbook.zero_states(70 * B, 8, Zero.PARAMETERS), 140),
        (textbook.zero3_offloaded(70 * B, 8), 17.5),
        (textbook.weights(PHI_3, 2), 7.6),
        (textbook.gradients(PHI_3, 2), 7.6),
        (textbook.optimizer_states("adamw", PHI_3), 30.4),
        (textbook.eight_bit_states(PHI_3), 7.6),
        (textbook.full_precision_training(B), 16),
        (textbook.mixed_precision_training(B), 16),
        (textbook.mixed_precision_training_fp32_gradients(B), 20),
    ],
    ids=lambda value: value.name if isinstance(value, TextbookFigure) else "",
)
def test_the_known_figures(figure: TextbookFigure, gigabytes: float) -> None:
    """Each rule gives the figure that is quoted for it, to the byte."""
    assert round(gigabytes * GB) == figure.bytes
    assert figure.low == figure.high


def test_the_exact_count_of_phi_3_gives_a_little_more() -> None:
    """With 3,821,079,552 parameters the states are 30.6 GB and not 30.4."""
    phi = models.find("microsoft/Phi-3-mini-4k-instruct")
    assert phi is not None
    assert 30_568_636_416 == textbook.optimizer_states("adamw", phi.parameters).bytes


def test_the_parameter_count_of_a_transformer() -> None:
    """N = hv + L(12h² + 13h) + 2h is GPT-2 without its position embeddings."""
    gpt2 = models.find("gpt2")
    assert gpt2 is not None
    assert gpt2.parameters - 1024 * 768 == textbook.transformer_parameters(h=768, v=50257, L=12)


def test_activations() -> None:
    """L·s·b·h·(34 + 5·a·s/h), in whole bytes."""
    assert (
        32 * 256 * 2 * (34 * 3072 + 5 * 32 * 256)
        == textbook.activations(s=256, b=2, h=3072, L=32, a=32).bytes
    )


def test_hidden_states_and_attention_matrices_of_phi_3() -> None:
    """3.1 MB a layer and 100 MB in all; 8.4 MB a layer and 270 MB in all."""
    assert 3_145_728 == textbook.hidden_states(s=256, b=2, h=3072, L=1, item_bytes=2).bytes
    assert 100_663_296 == textbook.hidden_states(s=256, b=2, h=3072, L=32, item_bytes=2).bytes
    assert 8_388_608 == textbook.attention_scores(s=256, b=2, L=1, a=32, item_bytes=2).bytes
    assert 268_435_456 == textbook.attention_scores(s=256, b=2, L=32, a=32, item_bytes=2).bytes


def test_ranges() -> None:
    """Inference is 1.5 to 2.5 times the weights; Adafactor 4 to 8 bytes per parameter."""
    inference = textbook.inference_peak(10 * GB)
    assert (15 * GB, 20 * GB, 25 * GB) == (inference.low, inference.bytes, inference.high)
    adafactor = textbook.adafactor_states_with_master_copy(B)
    assert (4 * GB, 8 * GB) == (adafactor.low, adafactor.high)


def test_every_figure_says_where_it_is_from_and_why_it_differs() -> None:
    """A rule without a source, a formula or a reason to differ would be a claim."""
    figures = [
        textbook.weights(B, 2),
        textbook.gradients(B, 2),
        *(
            textbook.optimizer_states(name, B)
            for name in ("sgd", "momentum", "adagrad", "rmsprop", "lion", "adam")
        ),
        textbook.adam_states_with_master_copy(B),
        textbook.momentum_states_with_master_copy(B),
        textbook.adafactor_states_with_master_copy(B),
        textbook.eight_bit_states(B),
        textbook.eight_bit_states_with_master_copy(B),
        textbook.full_precision_training(B),
        textbook.mixed_precision_training(B),
        textbook.mixed_precision_training_fp32_gradients(B),
        textbook.activations(1, 1, 1, 1, 1),
        textbook.hidden_states(1, 1, 1, 1, 1),
        textbook.attention_scores(1, 1, 1, 1, 1),
        textbook.zero3_offloaded(B, 8),
        *(textbook.zero_states(B, 8, stage) for stage in Zero),
        textbook.inference_peak(B),
    ]
    for figure in figures:
        assert figure.formula
        assert figure.citation
        assert figure.differs_because
        assert "\n" not in figure.differs_because


def test_shares_are_rounded_up() -> None:
    """A share that does not divide evenly is rounded up to a whole byte."""
    assert 5 == textbook.zero_states(1, 3, Zero.GRADIENTS).bytes

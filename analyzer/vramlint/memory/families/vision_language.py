"""What vision-language models share: a language model of another family whose embeddings take in image features."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from vramlint.memory.dtypes import BOOL
from vramlint.memory.families import family_of
from vramlint.memory.families.base import (
    Batch,
    Config,
    InputSpec,
    Model,
    Output,
    Regime,
    Sizes,
    UnsupportedTask,
)
from vramlint.memory.families.decoder import CausalLM, Decoder
from vramlint.memory.families.heads import LANGUAGE_MODELLING, language_modelling
from vramlint.memory.families.layers import KeyValueCache
from vramlint.memory.modules import Module
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.tape import Gradients, Node

# what people and the names of classes (…ForConditionalGeneration) call it
_TASKS = LANGUAGE_MODELLING | {"image-text-to-text", "seq2seq-lm"}


def language_model(config: Config) -> CausalLM:
    """Build the language model of a nested config.

    Raises:
        UnsupportedTask: where its family is not walked as a decoder.
    """
    family = family_of(str(config.get("model_type")))
    model = family.build(config, "causal-lm") if family else None
    if not isinstance(model, CausalLM) or not isinstance(getattr(model, model.prefix), Decoder):
        raise UnsupportedTask("causal-lm")
    return model


def tied(text: Config, together: bool) -> Config:  # noqa: FBT001  it is the value of a key
    """Return the decoder's config with the outer one's word on whether embedding and head are one."""
    return Config({**text.values, "tie_word_embeddings": together})


def require_text(task: str) -> None:
    """Raise UnsupportedTask for a task that is not about text."""
    if task not in _TASKS:
        raise UnsupportedTask(task)


def scattered(embeds: Tensor, features: Tensor) -> Tensor:
    """`embeds.masked_scatter(mask, features)`: a new tensor; saves the mask."""
    mask = embeds.tape.empty((*embeds.shape[:-1], 1), BOOL)
    out = embeds.tape.empty(embeds.shape, embeds.dtype)
    return embeds.tape.record(out, (embeds, features), _scattered_backward, (mask,))


def _scattered_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [
        grad.tape.empty(shape, grad.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]


class Body(Module):
    """An image encoder and a decoder; a family says how images become features of the decoder's width."""

    def __init__(self, language: CausalLM) -> None:
        self.language_model = cast("Decoder", getattr(language, language.prefix))

    def features(self, batch: Batch, regime: Regime) -> tuple[Tensor, list[Tensor]]:
        """Return the image features (n, D), and what else is alive until the end of the forward pass."""
        raise NotImplementedError

    def text_regime(self, regime: Regime) -> Regime:
        """Return how the decoder is run."""
        return regime

    def forward(
        self, ids: Tensor, batch: Batch, regime: Regime, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor]:
        """(B, T) token ids and images to hidden states (B, T, D) and image features (n, D)."""
        embeds = self.language_model.embed(ids)
        features, outputs = self.features(batch, regime)
        embeds = scattered(embeds, features)
        hidden = self.language_model.run(embeds, self.text_regime(regime), cache)
        del outputs
        return hidden, features


class VisionLanguageModel(Model):
    """The body and the language model's head.

    `image`: the size that all images are brought to, if any. `marked`: the batch says which tokens are an image's.
    """

    image: tuple[int, int] | None = None
    marked = False

    def __init__(self, body: Body, language: CausalLM) -> None:
        self.model = body
        self.lm_head = language.lm_head
        self.adjust = language.adjust

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids that hold the places of the images, one image per row, and perhaps what each token is."""
        (height, width), rows = self.image or sizes.image, Dim(sizes.rows, "B")
        pixels, tokens = (rows, 3, Dim(height, "H"), Dim(width, "W")), (rows, Dim(sizes.length, "T"))
        return (
            InputSpec(("input_ids", "labels"), tokens),
            InputSpec(("pixel_values",), pixels, sizes.dtype),
            *((InputSpec(("token_type_ids",), tokens),) if self.marked else ()),
        )

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss of next-token prediction."""
        cache = KeyValueCache() if regime.use_cache else None
        hidden, features = self.model(batch["input_ids"], batch, regime, cache)
        output = language_modelling(hidden, self.lm_head, regime, cache, self.adjust)
        output.held.append(features)
        return output

"""The tensors of one micro batch, as a training script hands them to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vramlint.simulate.errors import CannotSimulate
from vramlint.simulate.model import dtype_named

if TYPE_CHECKING:
    from vramlint.plan.document import Plan

_IGNORED = 100  # token ids below it exist in every vocabulary; their values never matter


class Batches:
    """Makes micro batches of a plan on a device."""

    def __init__(self, plan: Plan, config: Any, device: str) -> None:
        self.plan = plan
        self.config = config
        self.device = device
        self.rows = plan.micro_batch_size or 1
        self.length = plan.sequence_length or 1

    def make(self) -> dict[str, torch.Tensor]:
        """Return one micro batch, by the names of the model's arguments.

        Raises:
            CannotSimulate: for a task whose inputs are not known.
        """
        maker = getattr(self, f"_{(self.plan.task or '').replace('-', '_')}", None)
        if maker is None:
            raise CannotSimulate(f"the inputs of the task {self.plan.task!r} are not known")
        batch: dict[str, torch.Tensor] = maker()
        if self.plan.loop.padding_mask and "input_ids" in batch:
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        return batch

    def _causal_lm(self) -> dict[str, torch.Tensor]:
        tokens = self._tokens(self.length)
        return {"input_ids": tokens, "labels": tokens}

    _masked_lm = _causal_lm

    def _sequence_classification(self) -> dict[str, torch.Tensor]:
        return {"input_ids": self._tokens(self.length), "labels": self._classes()}

    def _token_classification(self) -> dict[str, torch.Tensor]:
        return {"input_ids": self._tokens(self.length), "labels": self._tokens(self.length)}

    def _question_answering(self) -> dict[str, torch.Tensor]:
        ends = {"start_positions": self._classes(), "end_positions": self._classes()}
        return {"input_ids": self._tokens(self.length), **ends}

    def _seq2seq_lm(self) -> dict[str, torch.Tensor]:
        labels = self._tokens(self.plan.target_length or self.length)
        return {"input_ids": self._tokens(self.length), "labels": labels}

    def _image_classification(self) -> dict[str, torch.Tensor]:
        return {"pixel_values": self._images(), "labels": self._classes()}

    def _contrastive(self) -> dict[str, torch.Tensor]:
        return {"input_ids": self._tokens(self.length), "pixel_values": self._images()}

    def _audio_classification(self) -> dict[str, torch.Tensor]:
        return {"input_values": self._empty(self.rows, self.length), "labels": self._classes()}

    def _speech_seq2seq(self) -> dict[str, torch.Tensor]:
        frames = (
            2 * self.config.max_source_positions
        )  # the second convolution halves them (modeling_whisper.py)
        labels = self._tokens(self.plan.target_length or self.length)
        return {"input_features": self._empty(self.rows, self.config.num_mel_bins, frames), "labels": labels}

    def _images(self) -> torch.Tensor:
        size = self.plan.image_size or 224
        height, width = (size, size) if isinstance(size, int) else size
        return self._empty(self.rows, 3, height, width)

    def _tokens(self, length: int) -> torch.Tensor:
        return torch.randint(0, _IGNORED, (self.rows, length), device=self.device)

    def _classes(self) -> torch.Tensor:
        return torch.randint(0, 2, (self.rows,), device=self.device)

    def _empty(self, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype_named(self.plan.param_dtype), device=self.device)

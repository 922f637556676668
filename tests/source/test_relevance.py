"""The cheap test lets every training file through, and most others not."""

from __future__ import annotations

import pytest

from vramlint.source.read import document
from vramlint.source.relevance import is_relevant, may_train


@pytest.mark.parametrize(
    "text",
    [
        "loss.backward()",
        "from transformers import Trainer",
        "from trl import SFTTrainer",
        "import lightning as L",
        "import pytorch_lightning as pl",
        "from accelerate import Accelerator",
        "import deepspeed",
        "from peft import LoraConfig",
        "from unsloth import FastLanguageModel",
        "from diffusers import UNet2DConditionModel",
        "import timm",
        "import torchvision",
        "from axolotl.cli import main",
        "from llamafactory.launcher import launch",
        "from litgpt import LLM",
        "from torchtune import config",
        "from megatron.core import parallel_state",
        "from fastai.vision.all import *",
        "from sentence_transformers import SentenceTransformer",
        "model.fit(data)",
        "from mylab.finetune import main\nmain()",
        "base_model: gpt2\nadapter: lora",
        "torchrun --nproc-per-node 8 main.py",
        "from vllm import LLM",
        "pipeline('text-generation')",
    ],
)
def test_training_passes(text: str) -> None:
    """One line of each framework is enough."""
    assert may_train(text)


@pytest.mark.parametrize("text", ["", "import os\nprint(os.name)", "def add(a, b):\n    return a + b\n"])
def test_other_code_does_not(text: str) -> None:
    """Plain code is not parsed."""
    assert not may_train(text)


def test_outputs_have_no_part() -> None:
    """A notebook is judged by its cells."""
    text = '{"cells": [{"cell_type": "code", "source": "x = 1", "outputs": [{"text": "import torch"}]}]}'
    assert not is_relevant(document("a.ipynb", text)[0])
    assert is_relevant(document("a.ipynb", text.replace("x = 1", "import torch"))[0])

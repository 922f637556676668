"""A script in an editor: findings, hover, hints and lenses, of the newest text and in its places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsprotocol import types
from tests.lsp.scripts import (
    GPT2,
    LLAMA,
    hints,
    hover,
    lenses,
    line_of,
    open_text,
    pull,
    replace_line,
    request,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lsp import LanguageClient

pytestmark = pytest.mark.asyncio


async def test_a_finding_stands_at_its_line(client: LanguageClient, tmp_path: Path) -> None:
    """It has a severity, a code with a page, and the lines that cause it with their bytes."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    (found,) = await pull(client, document)
    assert (found.severity, found.code) == (types.DiagnosticSeverity.Error, "out-of-memory")
    assert found.range.start == types.Position(line=line_of(LLAMA, "trainer.train()"), character=0)
    assert found.code_description is not None
    assert found.code_description.href.endswith("docs/rules.md#out-of-memory")
    related = {one.location.range.start.line: one.message for one in found.related_information or ()}
    assert (
        related[line_of(LLAMA, "meta-llama")]
        == "weights and gradients: 27.0 GB allocated at the worst moment"
    )


async def test_typing_renews_the_findings(client: LanguageClient, tmp_path: Path) -> None:
    """An edit that makes the training fit takes the finding away."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    assert await pull(client, document)
    replace_line(client, document, 2, line_of(LLAMA, "model_id ="), 'model_id = "gpt2"')
    replace_line(client, document, 3, line_of(LLAMA, "max_length ="), "max_length = 128")
    assert () == tuple(await pull(client, document))


async def test_a_comment_silences(client: LanguageClient, tmp_path: Path) -> None:
    """`# vramlint: ignore` on the line of a finding takes it away."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    line = line_of(LLAMA, "trainer.train()")
    replace_line(client, document, 2, line, "trainer.train()  # vramlint: ignore[out-of-memory]")
    assert () == tuple(await pull(client, document))


async def test_a_file_without_training_stays_silent(client: LanguageClient, tmp_path: Path) -> None:
    """Nothing is shown in a script that trains nothing."""
    document = open_text(client, tmp_path / "hello.py", 'print("hello")\n')
    assert () == tuple(await pull(client, document))
    assert [] == await lenses(client, document)
    assert {} == await hints(client, document)


async def test_hover_over_the_optimizer(client: LanguageClient, tmp_path: Path) -> None:
    """It says which states there are, and what they take of the peak."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    text = await hover(client, document, LLAMA, 'optim="adamw_torch"')
    assert text is not None
    assert "exp_avg + exp_avg_sq: 2 × 6.74 B × 2 B = 27.0 GB" in text
    assert "27.0 GB of a peak of 106.2 GB" in text


async def test_hover_over_the_model(client: LanguageClient, tmp_path: Path) -> None:
    """It says how many parameters there are, their shape, and where the facts come from."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    text = await hover(client, document, LLAMA, '"meta-llama')
    assert text is not None
    assert "6.74 B parameters" in text
    assert "32 layers, 4,096 wide" in text
    assert "facts: " in text


async def test_hover_over_the_batch(client: LanguageClient, tmp_path: Path) -> None:
    """It says what one more sample costs, and how many fit; the keyword is as good as its value."""
    document = open_text(client, tmp_path / "train.py", GPT2)
    text = await hover(client, document, GPT2, "8\nEPOCHS")
    assert text is not None
    assert "1 sample more: 1.5 GB allocated" in text
    assert "largest that fits the RTX 4090: **12 samples**" in text


async def test_hover_over_the_training_call(client: LanguageClient, tmp_path: Path) -> None:
    """It shows the whole breakdown, with bars, phases and the textbook's figures."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    text = await hover(client, document, LLAMA, "trainer.train()")
    assert text is not None
    assert text.startswith("**Peak 106.2 GB allocated** in the backward pass")
    assert "mlp activations              23.1 GB ████▍" in text
    assert "| backward (worst) |" in text
    assert "| adamw states | 53.9 GB | 27.0 GB |" in text


async def test_hover_elsewhere_is_silent(client: LanguageClient, tmp_path: Path) -> None:
    """Imports, and lines that cause nothing, have no hover."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    assert await hover(client, document, LLAMA, "import torch") is None
    assert await hover(client, document, LLAMA, "AutoModelForCausalLM,") is None
    assert await hover(client, document, LLAMA, "tokenizer.pad_token") is None


async def test_lens_and_hints(client: LanguageClient, tmp_path: Path) -> None:
    """The lens tells peak and largest batch over the call, the hints the bytes behind their lines."""
    document = open_text(client, tmp_path / "train.py", GPT2)
    titles = await lenses(client, document)
    assert (
        titles[0] == "peak 13.5 GB in the backward pass · fits RTX 4090 · max batch 12 on this GPU · explain"
    )
    found = await hints(client, document)
    assert found[line_of(GPT2, "optimizer =")] == "995.5 MB"
    assert found[line_of(GPT2, "MODEL_NAME =")] == "497.8 MB"


async def test_report_for_a_panel(client: LanguageClient, tmp_path: Path) -> None:
    """It is the report of `check --format json` with a timeline, also under settings that are only assumed."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    plain = await request(client, "vramlint/report", {"uri": document.uri})
    (run,) = plain.files[0].runs
    assert run.memory.allocated == run.memory.peak.expected
    assert run.memory.timeline
    changed = await request(
        client,
        "vramlint/report",
        {"uri": document.uri, "gpu": "H200", "overrides": {"micro_batch_size": 1, "sharding.world_size": 2}},
    )
    (other,) = changed.files[0].runs
    assert (other.gpu.name, other.gpu.fits) == ("H200", "yes")
    assert other.settings.sharding.value.world_size == 2
    assert other.memory.allocated < run.memory.allocated
    assert tuple(await pull(client, document)), "what is assumed for one request changes nothing else"


async def test_report_of_a_wrong_setting(client: LanguageClient, tmp_path: Path) -> None:
    """A setting that does not exist is one line that names the nearest."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    answer = await request(client, "vramlint/report", {"uri": document.uri, "overrides": {"micro_batch": 1}})
    assert "micro_batch_size" in answer.errors[0].message
    shapeless = await request(client, "vramlint/report", {"uri": document.uri, "overrides": ["micro_batch"]})
    assert shapeless.errors[0].message == "overrides: should be an object of settings and values"


async def test_explain_is_a_command(client: LanguageClient, tmp_path: Path) -> None:
    """An editor without an extension of its own runs the lens's command."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    story = await client.workspace_execute_command_async(
        types.ExecuteCommandParams(
            command="vramlint.explain", arguments=[{"uri": document.uri, "run": 0, "show": False}]
        )
    )
    assert "# train at line 48" in str(story)


async def test_picking_a_gpu(client: LanguageClient, tmp_path: Path) -> None:
    """A GPU that is picked counts at once."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    assert await pull(client, document)
    await client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="vramlint.pickGpu", arguments=["B200"])
    )
    assert () == tuple(await pull(client, document))

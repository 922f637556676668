"""Positions in every encoding, and findings whose place is in another file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsprotocol import types
from tests.lsp.conftest import parameters
from tests.lsp.scripts import LLAMA, hints, hover, line_of, open_text, pull, replace_line

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lsp import LanguageClient

pytestmark = pytest.mark.asyncio

# The smile is one code point, two units of UTF-16, four bytes of UTF-8.
SMILE = "x = '😀é'; trainer.train()"
COLUMNS = {
    types.PositionEncodingKind.Utf8: 14,
    types.PositionEncodingKind.Utf16: 11,
    types.PositionEncodingKind.Utf32: 10,
}


@pytest.mark.parametrize("encoding", list(COLUMNS), ids=lambda one: str(one.value))
async def test_a_finding_behind_an_emoji(
    bare_client: LanguageClient, tmp_path: Path, encoding: types.PositionEncodingKind
) -> None:
    """Columns are those of the encoding that the client asks for, in both directions."""
    asked = parameters(tmp_path, gpu="RTX 4090")
    asked.capabilities.general = types.GeneralClientCapabilities(position_encodings=[encoding])
    result = await bare_client.initialize_session(asked)
    assert result.capabilities.position_encoding == encoding
    text = LLAMA.replace("trainer.train()", SMILE)
    document = open_text(bare_client, tmp_path / "train.py", text)
    (found,) = await pull(bare_client, document)
    line, column = line_of(text, SMILE), COLUMNS[encoding]
    assert found.range.start == types.Position(line=line, character=column)
    place = types.Range(
        start=types.Position(line=line, character=column),
        end=types.Position(line=line, character=column + 15),
    )
    change = types.TextDocumentContentChangePartial(range=place, text="None")
    bare_client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            text_document=types.VersionedTextDocumentIdentifier(uri=document.uri, version=2),
            content_changes=[change],
        )
    )
    assert () == tuple(await pull(bare_client, document)), "the edit took the call away, and nothing else"


async def test_other_line_ends(client: LanguageClient, tmp_path: Path) -> None:
    """Windows' line ends and form feeds, which end no line in an editor, keep lines in place."""
    text = LLAMA.replace("tokenizer.pad_token", "# \x0c \u2028 a form feed\ntokenizer.pad_token", 1)
    document = open_text(client, tmp_path / "train.py", text.replace("\n", "\r\n"))
    (found,) = await pull(client, document)
    assert found.range.start.line == line_of(text, "trainer.train()")
    replace_line(client, document, 2, line_of(text, "model_id ="), 'model_id = "gpt2"')
    replace_line(client, document, 3, line_of(text, "max_length ="), "max_length = 128")
    assert () == tuple(await pull(client, document))


async def test_a_launch_script_is_no_place_in_the_open_text(client: LanguageClient, tmp_path: Path) -> None:
    """What a launch line sets is read from it; its place is never a range of the script."""
    script = LLAMA.replace("per_device_train_batch_size=4", "per_device_train_batch_size=args.batch").replace(
        "model_id =",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--batch', type=int)\n"
        "args = p.parse_args()\nmodel_id =",
    )
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "run.sh").write_text("#!/bin/bash\n" * 80 + "python train.py --batch 16\n")
    document = open_text(client, tmp_path / "train.py", script)
    (found,) = await pull(client, document)
    lines = script.count("\n")
    assert found.range.start.line < lines
    batch = [one for one in found.related_information or () if "activations" in one.message]
    assert [one.location.uri for one in batch] == [(tmp_path / "run.sh").as_uri()]
    assert batch[0].location.range.start.line == 80
    assert all(line < lines for line in await hints(client, document))


async def test_a_model_in_an_imported_module(client: LanguageClient, tmp_path: Path) -> None:
    """A value out of a module that is open and unsaved counts; editing it renews the script."""
    script = LLAMA.replace('model_id = "meta-llama/Llama-2-7b-hf"', "from names import model_id").replace(
        "max_length = 2048", "max_length = 128"
    )
    (tmp_path / "names.py").write_text('model_id = "meta-llama/Llama-2-7b-hf"\n')
    (tmp_path / "train.py").write_text(script)
    document = open_text(client, tmp_path / "train.py", script)
    assert await pull(client, document)
    module = open_text(client, tmp_path / "names.py", 'model_id = "meta-llama/Llama-2-7b-hf"\n')
    replace_line(client, module, 2, 0, 'model_id = "gpt2"')
    assert () == tuple(await pull(client, document))
    assert await hover(client, module, 'model_id = "gpt2"', "gpt2") is None

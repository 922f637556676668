"""The server itself: a bug in one feature, the ways to start it, and what it never imports."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from vramlint import cli
from vramlint_lsp.server import Server, create

if TYPE_CHECKING:
    from lsprotocol import types

SECONDS = 20


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return a server whose messages are kept in a list."""
    made = create()
    made.messages = []  # type: ignore[attr-defined]

    def keep(params: types.ShowMessageParams) -> None:
        made.messages.append(params.message)  # type: ignore[attr-defined]

    monkeypatch.setattr(made, "window_show_message", keep)
    return made


def test_a_bug_is_told_once(server: Server) -> None:
    """A handler that fails answers with its default; the person hears of it once, and the others go on."""

    def broken(_: object) -> str:
        raise ValueError("a bug")

    async def broken_later(_: object) -> str:
        raise KeyError("another")

    guarded = server._guard(broken, "hints", "nothing")
    assert ["nothing", "nothing"] == [guarded(None), guarded(None)]
    assert asyncio.run(server._guard(broken_later, "hover", None)(None)) is None
    assert server._guard(lambda params: params, "lenses", None)("fine") == "fine"
    assert ["hints failed" in one for one in server.messages] == [True, False]  # type: ignore[attr-defined]
    assert "hover failed (KeyError" in server.messages[1]  # type: ignore[attr-defined]


def test_tcp() -> None:
    """With `--tcp` the server waits on a port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "vramlint", "lsp", "--tcp", f"127.0.0.1:{port}"])
    try:
        connection = _connected(port)
        params = {"capabilities": {}, "processId": None, "rootUri": None}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
        connection.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        assert b'"hoverProvider"' in connection.recv(65_536)
        connection.close()
    finally:
        process.kill()
        process.wait()


def _connected(port: int) -> socket.socket:
    until = time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("address", ["8080", "host:port", "host:99999"])
def test_a_wrong_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An address that is none is one line, and status 2."""
    assert 2 == cli.main(["lsp", "--tcp", address])
    assert "HOST:PORT" in capsys.readouterr().err


def test_what_is_imported() -> None:
    """Neither torch nor transformers is imported, and libcst only where an edit is made."""
    code = (
        "import sys; from vramlint_lsp.server import create; create(); "
        "print([name for name in ('torch', 'transformers', 'libcst') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()

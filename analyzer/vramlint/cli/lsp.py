"""lsp starts the language server: an editor speaks with it over stdin and stdout, or over TCP."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from vramlint.cli.usage import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint lsp`."""
    parser.add_argument("--tcp", metavar="HOST:PORT", help="listen there for one client, not on stdin")
    parser.add_argument("--stdio", action="store_true", help="the default; editors that say so may")
    parser.add_argument("--log-file", metavar="PATH", help="write a log there")


def run(arguments: Namespace) -> int:
    """Serve one client until it is done."""
    if find_spec("pygls") is None:
        raise UsageError("the language server needs pygls: pip install 'vramlint[lsp]'")
    from vramlint_lsp import serve  # noqa: PLC0415  pygls is slow to import, and an extra

    address = None if arguments.tcp is None else _address(arguments.tcp)
    return serve.serve(address, arguments.log_file)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004  the largest port
        raise UsageError(f"--tcp {text}: write it as HOST:PORT, such as 127.0.0.1:8765")
    return host or "127.0.0.1", int(port)

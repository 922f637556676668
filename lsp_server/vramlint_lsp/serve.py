"""Starts the server on stdin and stdout, or on a TCP port."""

from __future__ import annotations

import gc
import logging
import sys
import threading

from vramlint_lsp.server import create

# The evaluator follows deep expressions; some systems give threads half a megabyte of stack.
_STACK = 16 * 2**20


def serve(address: tuple[str, int] | None, log_file: str | None) -> int:
    """Serve one client: over stdio, or on the address where one is given; nothing but the protocol is on stdout."""
    _log(log_file)
    threading.stack_size(_STACK)
    server = create()
    # An analysis makes many small values and few cycles: scanning them costs a fifth of its time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    if address is None:
        output = sys.stdout.buffer
        sys.stdout = sys.stderr  # a stray print must not break the protocol
        server.start_io(sys.stdin.buffer, output)
    else:
        server.start_tcp(*address)
    server.session.close()
    return 0


def _log(log_file: str | None) -> None:
    handler = logging.FileHandler(log_file, encoding="utf-8") if log_file else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if log_file else logging.WARNING, handlers=[handler])
    logging.getLogger("pygls").setLevel(logging.ERROR)

"""A client on a server's pipes, as small as it can be, so that the server's time is what is measured."""

from __future__ import annotations

import json
import subprocess
import threading
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SECONDS = 60.0


class Client:
    """One session with a server process; it asks for nothing in return and answers what it is asked with null."""

    def __init__(self, command: Sequence[str], root: Path, options: dict[str, Any] | None = None) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root
        )
        assert self.process.stdout is not None
        self._messages: Queue[dict[str, Any]] = Queue()
        self._number = 0
        self._kept: list[dict[str, Any]] = []
        self.shown: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        uri = root.as_uri()
        capabilities = {"textDocument": {"publishDiagnostics": {"versionSupport": True}}}
        self.request(
            "initialize",
            {
                "processId": None, "rootUri": uri, "capabilities": capabilities, "initializationOptions": options,
                "workspaceFolders": [{"uri": uri, "name": root.name}],
            },
        )  # fmt: skip
        self.notify("initialized", {})

    def request(self, method: str, params: object) -> Any:
        """Send a request and return its result."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        answer = self._next(lambda message: message.get("id") == self._number and "method" not in message)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer.get("result")

    def notify(self, method: str, params: object) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def diagnostics(self, uri: str, version: int) -> list[dict[str, Any]]:
        """Wait for the diagnostics of a version, or for the next ones of a server that names none."""
        found = self._next(
            lambda message: (
                message.get("method") == "textDocument/publishDiagnostics"
                and message["params"]["uri"] == uri
                and message["params"].get("version") in {None, version}
            )
        )
        items: list[dict[str, Any]] = found["params"]["diagnostics"]
        return items

    def open(self, uri: str, text: str, language: str = "python") -> None:
        """Open a text."""
        item = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, uri: str, version: int, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        """Replace a range of a text."""
        there = {
            "start": {"line": start[0], "character": start[1]},
            "end": {"line": end[0], "character": end[1]},
        }
        self.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": uri, "version": version},
                "contentChanges": [{"range": there, "text": text}],
            },
        )

    def close(self) -> None:
        """End the session."""
        try:
            self.request("shutdown", None)
            self.notify("exit", None)
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()

    def _next(self, wanted: Any) -> dict[str, Any]:
        for index, message in enumerate(self._kept):
            if wanted(message):
                return self._kept.pop(index)
        while True:
            try:
                message = self._messages.get(timeout=_SECONDS)
            except Empty:
                raise TimeoutError(f"no answer for {_SECONDS:.0f} s") from None
            if wanted(message):
                return message
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message and "id" in message:
            self._send({"id": message["id"], "result": None})
        elif message.get("method") == "window/showMessage":
            self.shown.append(message["params"]["message"])
        elif message.get("method") != "textDocument/publishDiagnostics":
            self._kept.append(message)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()

    def _read(self, stream: BinaryIO) -> None:
        while line := stream.readline():
            length = 0
            while line.strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                line = stream.readline()
            self._messages.put(json.loads(stream.read(length)))

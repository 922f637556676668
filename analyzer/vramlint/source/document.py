"""A document: the text of one file, cut into cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DocumentKind = Literal["script", "notebook", "percent-script", "shell", "yaml", "json", "toml", "markdown"]
CellKind = Literal["code", "markdown", "raw"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a document; a script is a single cell whose `index` is None."""

    index: int | None
    text: str
    kind: CellKind = "code"


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one file as its caller handed it in; `path` is kept exactly as given."""

    path: str
    kind: DocumentKind
    cells: tuple[Cell, ...]

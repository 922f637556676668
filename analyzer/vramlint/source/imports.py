"""Imports inside a repository: from a dotted name to the file that Python would load, parsed within bounds."""

from __future__ import annotations

import posixpath
import sys
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vramlint.source.parse import parse
from vramlint.source.read import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program

# Parsing takes about 0.5 s for each megabyte, so the bytes bound the time.
MOST_FILES = 60
MOST_BYTES = 1_500_000
# How far above a script its package roots may lie, where no `.git` says.
_LEVELS = 4
# Libraries whose own repositories hold scripts that import them: their code is not the script's.
_LIBRARIES = frozenset(
    {
        "torch", "torchvision", "torchaudio", "torchtext", "torchdata", "torchao", "transformers", "trl", "peft",
        "accelerate", "datasets", "diffusers", "evaluate", "tokenizers", "huggingface_hub", "deepspeed", "lightning",
        "pytorch_lightning", "lightning_fabric", "torchmetrics", "bitsandbytes", "timm", "unsloth", "unsloth_zoo",
        "sentence_transformers", "composer", "streaming", "llmfoundry", "torchtune", "torchtitan", "litgpt", "fastai",
        "fastcore", "axolotl", "llamafactory", "swift", "megatron", "nemo", "apex", "xformers", "flash_attn", "vllm",
        "optimum", "hydra", "omegaconf", "numpy", "pandas", "scipy", "sklearn", "tensorflow", "jax", "flax", "keras",
        "wandb", "tqdm", "yaml", "PIL", "cv2", "matplotlib", "requests", "click", "typer", "fire", "tyro", "absl",
        "pydantic", "rich", "einops", "ray", "liger_kernel", "setfit", "open_clip",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A module of the repository: its file, None for a directory without `__init__.py`, and its directory."""

    path: str | None
    directory: str
    is_package: bool


@dataclass(slots=True)
class Repository:
    """The modules that the script at `path` can import from files around it.

    Nothing is read before it is asked for; every file is read once, and at most `MOST_FILES` files of
    `MOST_BYTES` together are parsed: what lies beyond them is not found. `notes` are what a reader keeps of
    a file, by its path, so that a script that is read for several commands is followed once.
    """

    path: str
    neighbours: Neighbours
    notes: dict[str, Any] = field(default_factory=dict)
    _names: dict[str, frozenset[str]] = field(default_factory=dict)
    _programs: dict[str, Program | None] = field(default_factory=dict)
    _bytes: int = 0
    _roots: tuple[str, ...] | None = None

    def top(self, name: str) -> Found | None:
        """Return the module that an absolute import of a first name loads, None for a library's."""
        if name in sys.stdlib_module_names:
            return None
        home = self.directory
        if name in _LIBRARIES:
            found = self._in(home, name)
            return found if found is not None and found.path is not None else None
        every = [found for root in self.roots() if (found := self._in(root, name)) is not None]
        # A directory without `__init__.py` counts only where no module of that name stands elsewhere.
        return next((found for found in every if found.path is not None), every[0] if every else None)

    def below(self, package: Found, name: str) -> Found | None:
        """Return a package's module of that name."""
        return self._in(package.directory, name) if package.is_package else None

    def relative(self, importer: Found | None, level: int) -> Found | None:
        """Return the package that `level` dots before an import stand for."""
        directory = self.directory if importer is None else importer.directory
        for _ in range(level - 1):
            directory = posixpath.normpath(posixpath.join(directory, ".."))
        return self._package(directory)

    def program(self, found: Found) -> Program | None:
        """Return a module's code; None where it cannot be read or lies beyond the bounds."""
        if found.path is None:
            return None
        if found.path not in self._programs:
            self._programs[found.path] = self._parsed(found.path)
        return self._programs[found.path]

    def source(self, first: str, rest: Sequence[str] = ()) -> str | None:
        """Return the text of the file of `first.rest`, as far as that is a module; None without one."""
        found = self.top(first)
        for name in rest:
            inner = None if found is None else self.below(found, name)
            found = inner or found
        content = self.neighbours.read(found.path) if found is not None and found.path is not None else None
        return None if content is None else content[:MOST_BYTES].decode(errors="replace")

    @property
    def directory(self) -> str:
        """Return the directory of the script."""
        return posixpath.dirname(PurePath(self.path).as_posix())

    def roots(self) -> tuple[str, ...]:
        """Return the directories that absolute imports are searched in, the script's own first."""
        if self._roots is None:
            self._roots = tuple(dict.fromkeys(self._search()))
        return self._roots

    def _search(self) -> Iterator[str]:
        yield self.directory
        for directory in above(self.neighbours, self.directory, self.listing):
            yield directory
            if "src" in self.listing(directory):
                yield posixpath.join(directory, "src")

    def _parsed(self, path: str) -> Program | None:
        if len(self._programs) >= MOST_FILES:
            return None
        content = self.neighbours.read(path)
        if content is None or self._bytes + len(content) > MOST_BYTES:
            return None
        self._bytes += len(content)
        read, _ = document(path, content)
        return parse(read)

    def _in(self, directory: str, name: str) -> Found | None:
        names = self.listing(directory)
        if name in names:
            package = self._package(posixpath.join(directory, name))
            if package is not None:
                return package
        if f"{name}.py" in names:
            return Found(posixpath.join(directory, f"{name}.py"), directory, is_package=False)
        return None

    def _package(self, directory: str) -> Found | None:
        names = self.listing(directory)
        if "__init__.py" in names:
            return Found(posixpath.join(directory, "__init__.py"), directory, is_package=True)
        if any(name.endswith(".py") or "." not in name for name in names):
            return Found(None, directory, is_package=True)
        return None

    def listing(self, directory: str) -> frozenset[str]:
        """Return the names in a directory."""
        if directory not in self._names:
            self._names[directory] = frozenset(self.neighbours.listing(directory))
        return self._names[directory]


def above(neighbours: Neighbours, directory: str, listing: object = None) -> Sequence[str]:
    """Return a directory and those above it, up to the one that holds `.git`, a few levels at most."""
    names = listing if callable(listing) else neighbours.listing
    found = [directory]
    for _ in range(_LEVELS):
        if ".git" in names(directory):
            break
        upper = posixpath.normpath(posixpath.join(directory, ".."))
        upper = "" if upper == "." else upper  # the current one, as paths in it are written
        if upper == directory:
            break
        directory = upper
        found.append(directory)
    return found

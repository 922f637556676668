"""Modules of the repository: what a name that the script imports from a file beside it is worth."""

from __future__ import annotations

import posixpath
import sys
from typing import TYPE_CHECKING, Any

from vramlint.facts.names import Names, Place, Scope, collect
from vramlint.facts.setting import Known, Origin, Setting
from vramlint.facts.values import Module
from vramlint.source.imports import Found, above

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.source.imports import Repository

# Ranks of statements go on from module to module, so that those of two never mix.
_RANKS = 1_000_000
# Libraries whose names the frontends know: inside their own repositories they are not followed either.
_KNOWN_BY_NAME = frozenset(
    {"accelerate", "bitsandbytes", "deepspeed", "diffusers", "peft", "sentence_transformers", "timm"}
    | {"torch", "torchvision", "transformers", "trl", "unsloth"}
)


class Modules:
    """Reads a module when one of its names is asked for, once, and hands its scopes to the evaluator."""

    def __init__(self, evaluator: Evaluator, repository: Repository | None) -> None:
        self.evaluator = evaluator
        self.repository = repository
        self.loaded: dict[Scope, Names] = {}
        self._scopes: dict[str, Scope | None] = {}
        self._modules: dict[Scope, Module] = {}
        self._active: set[tuple[Found, str]] = set()
        self._missed: set[tuple[Found, str]] = set()

    def imported(self, target: str, importer: Scope) -> Setting[Any] | None:
        """Return what an import binds, None where the repository has no such module."""
        if self.repository is None:
            return None
        names = target.lstrip(".")
        level = len(target) - len(names)
        parts = names.split(".")
        if not level and parts[0] in _KNOWN_BY_NAME:
            return None
        if level:
            module = self._relative(level, importer)
        else:
            found = self.repository.top(parts.pop(0))
            module = None if found is None else self._module(target.partition(".")[0], found)
        setting: Setting[Any] | None = None if module is None else self._known(module)
        for part in parts:
            if not (isinstance(setting, Known) and isinstance(setting.value, Module)):
                return None
            setting = self.member(setting.value, part)
        return setting

    def member(self, module: Module, name: str) -> Setting[Any] | None:
        """Return what a module binds in the end, a module below it, or what it imports by a star."""
        key = (module.found, name)
        if key in self._active or key in self._missed or self.repository is None:
            return None
        self._active.add(key)
        try:
            found = self._searched(module, name)
        finally:
            self._active.discard(key)
        # Packages that import each other by stars are searched once for a name, not along every path.
        if found is None:
            self._missed.add(key)
        if not self._active:
            self._missed.clear()
        return found

    def _searched(self, module: Module, name: str) -> Setting[Any] | None:
        assert self.repository is not None
        if module.scope is not None and name in module.scope.bindings:
            end = Place(module.scope, sys.maxsize, (), None)
            return self.evaluator.name(name, end, None)
        below = self.repository.below(module.found, name)
        if below is not None:
            return self._known(self._module(f"{module.name}.{name}", below))
        return None if module.scope is None else self.starred(name, module.scope)

    def starred(self, name: str, importer: Scope) -> Setting[Any] | None:
        """Return a name that a module has from `from other import *`."""
        for star in reversed(importer.stars):
            inner = self.imported(star.rstrip(".") or star, importer) if star.strip(".") else None
            if isinstance(inner, Known) and isinstance(inner.value, Module):
                found = self.member(inner.value, name)
                if found is not None:
                    return found
        return None

    def by_path(self, path: str) -> Module | None:
        """Return the module in a file that the script names, from its own directory or one above."""
        place = self._place(path)
        if place is None:
            return None
        return self._module(path, Found(place, posixpath.dirname(place), is_package=False))

    def text(self, path: str) -> str | None:
        """Return the text of a file that the script names."""
        place = self._place(path)
        content = None if place is None or self.repository is None else self.repository.neighbours.read(place)
        return None if content is None else content.decode(errors="replace")

    def _place(self, path: str) -> str | None:
        if self.repository is None or not path or "\0" in path:
            return None
        neighbours = self.repository.neighbours
        directories = above(neighbours, self.repository.directory, self.repository.listing)
        places = (posixpath.normpath(posixpath.join(directory, path)) for directory in directories)
        return next((place for place in places if neighbours.read(place) is not None), None)

    def path(self, scope: Scope) -> str:
        """Return the path of the file that a module's scope is of."""
        module = self._modules.get(scope)
        own = self.repository.path if self.repository is not None else ""
        return own if module is None or module.found.path is None else module.found.path

    def _relative(self, level: int, importer: Scope) -> Module | None:
        assert self.repository is not None
        owner = self._modules.get(importer)
        found = self.repository.relative(owner.found if owner else None, level)
        return None if found is None else self._module("." * level, found)

    def _module(self, name: str, found: Found) -> Module:
        scope = self._scope(found)
        if scope is None:
            return Module(name, found, None)
        return self._modules.setdefault(scope, Module(name, found, scope))

    def _scope(self, found: Found) -> Scope | None:
        assert self.repository is not None
        if found.path is None:
            return None
        if posixpath.normpath(found.path) == posixpath.normpath(self.repository.path):
            return self.evaluator.names.module
        if found.path not in self._scopes:
            self._scopes[found.path] = None
            self._scopes[found.path] = self._read(found)
        return self._scopes[found.path]

    def _read(self, found: Found) -> Scope | None:
        assert self.repository is not None
        program = self.repository.program(found)
        cells = enumerate(program.cells) if program else ()
        trees = [(index, cell.tree) for index, cell in cells if cell.tree is not None]
        if program is None or not trees:
            return None
        notes = self.repository.notes
        names: Names = notes.get(program.document.path) or collect(trees, _RANKS * (len(notes) + 1))
        notes[program.document.path] = names
        self.loaded[names.module] = names
        self.evaluator.adopt(names, lambda node, cell: program.span(node, cell or 0))  # type: ignore[arg-type]
        return names.module

    @staticmethod
    def _known(module: Module) -> Known[Any]:
        return Known(module, Origin("source", module.name))

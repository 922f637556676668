"""The source tree keeps the promises of `analyzer/ARCHITECTURE.md`: mostly things that are absent."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
SOURCE_ROOTS = (ROOT / "analyzer", ROOT / "lsp_server")

# From the bottom up: a module may import what stands on its own line or on an earlier one.
LAYERS = (
    ("vramlint.units", "vramlint.settings"),
    ("vramlint.source",),
    ("vramlint.facts",),
    ("vramlint.frontends",),
    ("vramlint.plan",),
    ("vramlint.memory",),
    ("vramlint.interpret",),
    ("vramlint.wording", "vramlint.rules", "vramlint.fixes"),
    ("vramlint.report",),
    ("vramlint.render",),
    ("vramlint.pipeline", "vramlint.mend"),
    ("vramlint.cli", "vramlint_lsp", "vramlint.notebook"),
)

# `__init__` and `__main__` only pass on; the catalogues have a rule of their own.
UNLAYERED = {
    "vramlint.__init__",
    "vramlint.__main__",
    "vramlint.knowledge",
    "vramlint.hub",
    "vramlint.simulate",
    "vramlint.shim",
}

# What the catalogues may see of the rest: values, no behaviour. Everyone may import the catalogues.
VALUE_TYPES = (
    "vramlint.facts.setting",
    "vramlint.source.spans",
)

# Packages that stand beside the chain: nobody imports them, but for those named.
OUTSIDE = {
    "vramlint.hub": ("vramlint.cli",),
    "vramlint.simulate": ("vramlint.cli",),
    "vramlint.shim": ("vramlint.cli", "vramlint.notebook"),
}

# Who alone may import a library (or a part of the standard library) that costs time or reaches out.
RESERVED = {
    "torch": ("vramlint.simulate", "vramlint.shim"),
    "transformers": ("vramlint.hub", "vramlint.simulate", "vramlint.shim"),
    "peft": ("vramlint.simulate",),
    "pygls": ("vramlint_lsp",),
    "lsprotocol": ("vramlint_lsp",),
    "libcst": ("vramlint.fixes",),
    "rich": ("vramlint.render", "vramlint.cli"),
    "ast": ("vramlint.source", "vramlint.facts", "vramlint.frontends", "vramlint.interpret"),
    "subprocess": ("vramlint.cli", "vramlint.simulate", "vramlint_lsp.session"),
    "socket": (),
    "urllib": ("vramlint.cli",),
    "runpy": ("vramlint.shim",),
    "pickle": (),
}

# Longer than one idea should be, each with the reason.
LONG_FILES: dict[str, str] = {}
MOST_LINES = 600


class Import(NamedTuple):
    """One import statement, by the dotted names of both sides."""

    importer: str
    imported: str
    place: str


def test_imports_point_down_the_chain() -> None:
    """A module imports from its own layer and from those below, never from above."""
    assert [] == list(violations(SOURCE_ROOTS))


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("source/reader.py", "from vramlint.memory import engine", "stands above"),
        ("facts/walk.py", "import vramlint.frontends.peft", "stands above"),
        ("facts/walk.py", "def late():\n    from vramlint.plan import resolve", "stands above"),
        ("knowledge/gpus/table.py", "from vramlint.plan.document import Plan", "only value types"),
        ("memory/families/llama.py", "from vramlint.rules.subject import Subject", "stands above"),
        ("rules/guess.py", "import ast", "may not import ast"),
        ("render/text.py", "import torch", "may not import torch"),
        ("pipeline.py", "import vramlint.cli", "stands above"),
        ("pipeline.py", "from vramlint import simulate", "beside the chain"),
        ("shim/hook.py", "from vramlint.memory.ledger import Ledger", "beside the chain"),
    ],
)
def test_a_wrong_import_is_noticed(tmp_path: Path, path: str, text: str, complaint: str) -> None:
    """The check above can fail: each of these made-up modules breaks one rule of the chain."""
    module = tmp_path / "vramlint" / path
    module.parent.mkdir(parents=True)
    module.write_text(text)
    found = list(violations([tmp_path]))
    assert 1 == len(found)
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("facts/walk.py", "from vramlint.source import spans\nimport ast"),
        (
            "memory/families/llama.py",
            "from vramlint.memory import tape\nfrom vramlint.knowledge import models",
        ),
        ("knowledge/optimizers/adamw.py", "from vramlint.knowledge.optimizer import State"),
        ("knowledge/defaults.py", "from vramlint.facts.setting import Origin"),
        ("cli/check.py", "from vramlint.pipeline import analyze\nimport subprocess"),
        ("plan/resolve.py", "from vramlint import __version__"),
    ],
)
def test_a_right_import_passes(tmp_path: Path, path: str, text: str) -> None:
    """The check above stays silent on what the chain allows."""
    module = tmp_path / "vramlint" / path
    module.parent.mkdir(parents=True)
    module.write_text(text)
    assert [] == list(violations([tmp_path]))


def test_every_part_has_a_place() -> None:
    """A new module or package at the top gets a line in the chain, or the chain would not bind it."""
    parts = {
        f"vramlint.{path.stem}" for path in (ROOT / "analyzer" / "vramlint").iterdir() if _is_module(path)
    }
    assert [] == sorted(part for part in parts - UNLAYERED if _layer(part) is None)


def test_source_roots_are_no_packages() -> None:
    """`analyzer` and `lsp_server` hold packages and are none: imports must not depend on the folder."""
    assert [] == [root.name for root in SOURCE_ROOTS if (root / "__init__.py").exists()]


def test_files_are_short() -> None:
    """No file grows beyond one idea without a reason in `LONG_FILES`, and no reason outlives its need."""
    lengths = {
        _relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in _sources("*.py")
    }
    assert sorted(LONG_FILES) == sorted(name for name, length in lengths.items() if length > MOST_LINES)


def test_every_module_says_what_it_is() -> None:
    """Each module starts with a docstring whose first line is a sentence."""
    assert [] == [_relative(path) for path in _sources("*.py") if not _starts_with_sentence(path)]


def test_only_the_edge_knows_utf16() -> None:
    """Positions are code points everywhere but in the module that talks to editors."""
    knowing = [
        path for path in _modules() if re.search(r"utf.?16", path.read_text(encoding="utf-8"), re.IGNORECASE)
    ]
    allowed = {
        "lsp_server/vramlint_lsp/__init__.py",
        "lsp_server/vramlint_lsp/convert.py",
        "analyzer/vramlint/source/read.py",  # names it as an encoding of files, which it refuses
    }
    assert [] == sorted(set(map(_relative, knowing)) - allowed)


def test_the_project_speaks_only_of_itself() -> None:
    """No committed text names a path of the machine it was written on, or a package registry's host."""
    # Spelt in pieces, so that this file passes its own test.
    foreign = re.compile(
        "|".join(["/wo" + "rk/", "/tm" + "p/", r"/ro" + r"ot/", r"files\.pythonhosted" + r"\.org"])
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    assert [] == [
        f"{name}:{number}: {match[0]}"
        for name in listed.split("\0")
        if name and not name.startswith("benchmarks/data/")
        for number, line in enumerate((ROOT / name).read_text("utf-8", "replace").splitlines(), start=1)
        if (match := foreign.search(line))
    ]


def violations(roots: Sequence[Path]) -> Iterator[str]:
    """Yield one line for every import that the chain forbids."""
    for found in _imports(roots):
        if complaint := _complaint(found):
            yield f"{found.place}: {found.importer} imports {found.imported}: {complaint}"


def _complaint(found: Import) -> str | None:
    library = found.imported.split(".")[0]
    if library in {"vramlint", "vramlint_lsp"}:
        return _beside(found) or _above(found)
    if library in RESERVED and not _is_below(found.importer, RESERVED[library]):
        return f"{_package(found.importer)} may not import {library}"
    return None


def _beside(found: Import) -> str | None:
    for beside, users in OUTSIDE.items():
        if _is_below(found.imported, (beside,)) and not _is_below(found.importer, (beside, *users)):
            return f"{beside} stands beside the chain"
    if _is_below(found.importer, ("vramlint.shim",)) and not _is_below(found.imported, ("vramlint.shim",)):
        return "vramlint.shim stands beside the chain, and knows only the ledger's JSON"
    return None


def _above(found: Import) -> str | None:
    if _is_below(found.importer, ("vramlint.knowledge",)):
        allowed = ("vramlint.knowledge", *VALUE_TYPES)
        return None if _is_below(found.imported, allowed) else "knowledge imports only value types"
    lower, upper = _layer(found.imported), _layer(found.importer)
    if lower is not None and upper is not None and lower > upper:
        return f"{_package(found.imported)} stands above {_package(found.importer)}"
    return None


def _layer(module: str) -> int | None:
    """Return the height in the chain, None for what stands outside (the catalogues, settings, `__init__`)."""
    return next((height for height, packages in enumerate(LAYERS) if _is_below(module, packages)), None)


def _is_below(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _package(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _imports(roots: Sequence[Path]) -> Iterator[Import]:
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            yield from _imports_of(path, ".".join(path.relative_to(root).with_suffix("").parts))


def _imports_of(path: Path, module: str) -> Iterator[Import]:
    importer = module.removesuffix(".__init__")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        place = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(importer, alias.name, place) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name`: the name may be a module, so it is what counts.
            yield from (Import(importer, f"{node.module}.{alias.name}", place) for alias in node.names)


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or any(path.glob("*.py"))


def _modules() -> list[Path]:
    return [path for root in SOURCE_ROOTS for path in sorted(root.rglob("*.py"))]


def _sources(pattern: str) -> list[Path]:
    folders = (*SOURCE_ROOTS, ROOT / "tests", ROOT / "benchmarks")
    return [path for folder in folders for path in sorted(folder.rglob(pattern))]


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _starts_with_sentence(path: Path) -> bool:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n\n")[0].rstrip().endswith((".", "?", "!", ":"))

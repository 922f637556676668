"""The pytest side: each Markdown page below `cases` is a file of tests; `--update` rewrites its outputs."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import pytest
from tests.mdtest.check import check
from tests.mdtest.outputs import updated
from tests.mdtest.page import Block, Case, PageError, cases

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update`."""
    parser.addoption("--update", action="store_true", help="rewrite output blocks of test pages in place")


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.Collector | None:
    """Collect the pages below a folder `cases`; a README explains and is no test."""
    if file_path.suffix != ".md" or file_path.name == "README.md" or "cases" not in file_path.parts:
        return None
    page: Page = Page.from_parent(parent, path=file_path)
    return page


class Page(pytest.File):
    """A page; the blocks to be rewritten gather here until all its cases have run."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stale: list[tuple[Block, str]] = []

    def collect(self) -> Iterable[pytest.Item]:
        """Yield a test for each case."""
        try:
            found = list(cases(self.path.read_text(encoding="utf-8")))
        except PageError as error:
            raise self.CollectError(f"{self.path.name}: {error}") from None
        for case in found:
            yield Item.from_parent(self, name=case.name, case=case)

    def teardown(self) -> None:
        """Rewrite the blocks that `--update` found stale."""
        if self.stale:
            text = self.path.read_text(encoding="utf-8")
            self.path.write_text(updated(text, self.stale), encoding="utf-8")
            self.stale.clear()


class DifferenceError(Exception):
    """What differs, a line each."""


class Item(pytest.Item):
    """One case of a page."""

    def __init__(self, *, case: Case, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self.funcargs: dict[str, object] = {}  # pytest-lsp 1.0.1 forgets to yield for an item without them

    def runtest(self) -> None:
        """Fail with every difference at once."""
        outcome = check(self.case)
        lines = list(outcome.failures)
        if self.config.getoption("--update"):
            page = self.parent
            assert isinstance(page, Page)
            page.stale.extend(outcome.stale)
        else:
            for block, text in outcome.stale:
                lines.append(f"line {block.line}: the {block.language} block differs (rewrite with --update)")
                lines.extend(difflib.ndiff(block.text.splitlines(), text.splitlines()))
        if lines:
            raise DifferenceError("\n".join(lines))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show differences as they are, and anything else as a traceback."""
        if isinstance(excinfo.value, (DifferenceError, PageError)):
            return f"{self.path}:{self.case.line}: {self.name}\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where the case stands."""
        return self.path, self.case.line - 1, self.name

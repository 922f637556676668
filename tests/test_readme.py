"""The README shows what the tool says today, and its links lead somewhere."""

from __future__ import annotations

import re

import pytest

from tools.readme import README, ROOT, rendered


def test_the_console_blocks_are_real() -> None:
    """Every `$ vramlint …` in the README prints what stands below it; `make readme` renews all blocks."""
    text = README.read_text(encoding="utf-8")
    assert "```console\n$ vramlint check examples/" in text
    assert rendered(text, programs=("vramlint",)) == text


@pytest.mark.parametrize(
    "page", ["README.md", "analyzer/ARCHITECTURE.md", "CHANGELOG.md", "docs/plan.md", "docs/json.md"]
)
def test_links_lead_to_files(page: str) -> None:
    """A relative link of a page names a file of the repository."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]

"""The rules' page is what their docstrings say, and every finding links to a heading of it."""

from __future__ import annotations

from tools.rules_page import PAGE, page
from vramlint.rules.catalogue import rules


def test_the_page_is_up_to_date() -> None:
    """`python -m tools.rules_page` renews it."""
    text = PAGE.read_text(encoding="utf-8")
    assert page() == text
    assert [f"## {name}" for name in rules()] == [
        line for line in text.splitlines() if line.startswith("## ")
    ]

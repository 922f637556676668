"""Write docs/rules.md out of the rules' own docstrings, for the links in editors and reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.rules.catalogue import rules

if TYPE_CHECKING:
    from types import ModuleType

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"

_HEAD = """\
# Rules

`vramlint rule NAME` prints the same. A finding's name is the rule's; `# vramlint: ignore[NAME]` on its line
silences it, and `select` and `ignore` in `[tool.vramlint]` choose for a project.
"""


def page() -> str:
    """Return the page: a heading for each rule, in the order of the alphabet."""
    return "\n".join([_HEAD, *(_section(name, rule) for name, rule in rules().items())])


def _section(name: str, rule: ModuleType) -> str:
    text = (rule.__doc__ or "").strip().replace("\n## ", "\n### ")
    return f"## {name}\n\n{text}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

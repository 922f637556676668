"""The collector of pages fails where a page is wrong, and only there."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from tests.mdtest.check import check
from tests.mdtest.expect import is_equal
from tests.mdtest.outputs import updated
from tests.mdtest.page import Case, PageError, cases

from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.memory.estimate import Estimate, PhasePeak, Range
from vramlint.memory.ledger import Dimension, Ledger, Line, Phase, Term
from vramlint.plan.run import Run
from vramlint.report import FileReport
from vramlint.rules.finding import Edit, Finding, Fix
from vramlint.rules.subject import Subject
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vramlint.source.document import Document
    from vramlint.source.issue import Issue
    from vramlint.source.neighbours import InMemory

pytest_plugins = ["pytester"]

GB = 10**9


def page(text: str) -> list[Case]:
    """Return the cases of a page; ~~~ stands for the fence."""
    return list(cases(dedent(text).replace("~~~", "```")))


def script(text: str, after: str = "") -> Case:
    """Return the case of one script, which holds `text`."""
    return page(f"# Case\n~~~py\n{text}\n~~~\n{after}")[0]


def at(line: int, cell: int | None = None, path: str = "train.py") -> Span:
    """Return a place on a line."""
    return Span(path, Position(line, 4), Position(line, 8), cell)


def known(value: object, line: int, cell: int | None = None, path: str = "train.py") -> Known[Any]:
    """Return a setting read on a line."""
    return Known(value, Origin("source", "as written", at(line, cell, path)))


def finding(line: int, message: str = "does not fit", *fixes: Fix) -> Finding:
    """Return an error on a line."""
    return Finding("out-of-memory", "error", "high", message, at(line), fixes=fixes)


def failures(
    case: Case, settings: Mapping[str, Setting[Any]] | None = None, findings: Sequence[Finding] = ()
) -> tuple[str, ...]:
    """Check a case against a made-up report."""

    def analyzer(
        document: Document, issues: Sequence[Issue], options: Mapping[str, Any], files: InMemory
    ) -> FileReport:
        assert (0, case.files, case.options) == (len(issues), files.files, options)
        path = document.path
        return FileReport(path, (subject(settings or {}, path),), tuple(findings))

    outcome = check(case, analyzer)
    return (*outcome.failures, *(f"{block.language}\n{text}" for block, text in outcome.stale))


def subject(settings: Mapping[str, Setting[Any]], path: str) -> Subject:
    """Return a run of 8 GB."""
    weights = Line((Dimension("P", 2 * GB),), 32)
    always: frozenset[Phase] = frozenset({"forward", "backward"})
    terms = (
        Term("weights", "weights", (weights,), always, at_peak=True, citation="made up"),
        Term("logits", "loss", (weights,), always, at_peak=False, citation="made up"),
    )
    figures = Range(7 * GB, 8 * GB, 9 * GB)
    estimate = Estimate(
        figures, figures, figures, "backward", 1, {"backward": PhasePeak(8 * GB, 8 * GB)},
        Ledger(terms), (), (), 2 * GB, 2 * GB,
    )  # fmt: skip
    return Subject(Run("train", ("torch",), at(1, None, path), settings), estimate, None, None, "unknown")


def test_headings_are_tests() -> None:
    """A heading with a script is a test; groups around it lend their name and options."""
    found = page(
        """
        # Rules
        Prose.
        ~~~toml
        gpu = "24GB"
        ignore = ["a"]
        ~~~
        ## First
        ~~~toml
        gpu = "8GB"
        ~~~
        ~~~py
        x = 1
        ~~~
        ~~~yaml file=ds.yaml
        a: 1
        ~~~
        ## Group
        ### Inner
        ~~~py
        # Not a heading
        ~~~
        """
    )
    assert ["Rules > First", "Rules > Group > Inner"] == [case.name for case in found]
    assert {"gpu": "8GB", "ignore": ["a"]} == found[0].options
    assert {"gpu": "24GB", "ignore": ["a"]} == found[1].options
    assert ({"ds.yaml": "a: 1\n"}, "train.py", "x = 1\n") == (
        found[0].files,
        found[0].path,
        found[0].text,
    )


def test_cells_make_a_notebook() -> None:
    """Cells of code and Markdown are one notebook, and markers stand in their cells."""
    case = page(
        "# N\n~~~py cell\nx = 1  # fact: a = 1\n~~~\n~~~md cell\n# T\n~~~\n~~~py cell\ny  # fact: b = 2\n~~~"
    )[0]
    assert "train.ipynb" == case.path
    settings = {"a": known(1, 1, 0, "train.ipynb"), "b": known(2, 1, 2, "train.ipynb")}
    assert () == failures(case, settings)
    wrong = {**settings, "b": known(2, 1, 1, "train.ipynb")}
    assert [
        "line 9: expected fact b 2 on line 1, found 2 (source: as written; train.ipynb, cell 1, line 1)"
    ] == list(failures(case, wrong))


def test_a_main_block_of_another_kind() -> None:
    """A launch script or a config can be what is checked."""
    case = page("# N\n~~~sh file=run.sh main\npython train.py\n~~~\n~~~py file=train.py\nx\n~~~")[0]
    assert ("run.sh", {"train.py": "x\n"}) == (case.path, case.files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# N\n~~~py\nx", "line 2: a block without its end"),
        ("# N\n~~~py\nx\n~~~\n~~~py\ny\n~~~", "line 6: a second script"),
        ("# N\n~~~pyy\nx\n~~~", "line 2: unknown block 'pyy'"),
        ("# N\n~~~ledger\n~~~", "line 1: 'N' expects something of no script"),
        ("# N\n~~~py\n~~~\n~~~toml\na = \n~~~", "line 5: Invalid value"),
    ],
)
def test_bad_pages(text: str, message: str) -> None:
    """A page that is not well-formed fails as a whole, with the line."""
    with pytest.raises(PageError, match=message):
        page(text)


@pytest.mark.parametrize(
    "marker",
    ["fact: a", "unknown: ", "error: out-of-memory", "one-of: = 3", 'warning: [x] "y', 'unknown: a "b'],
)
def test_bad_markers(marker: str) -> None:
    """A marker that is not well-formed is never passed over."""
    with pytest.raises(PageError, match=r"line 3: .* is not written as the README says"):
        failures(script(f"x = 1  # {marker}"))


@pytest.mark.parametrize(
    ("marker", "setting"),
    [
        ("fact: a = 8", known(8, 1)),
        ("fact: a = torch.optim.AdamW", known({"name": "torch.optim.AdamW", "fused": None}, 1)),
        ('fact: a = {"kind": "zero3"}', known({"kind": "zero3", "world_size": 8}, 1)),
        ("fact: a.world_size = 8", known({"kind": "zero3", "world_size": 8}, 1)),
        ('fact: a = ["q", "v"]', known(("q", "v"), 1)),
        ("fact: a = null", known(None, 1)),
        ("one-of: a = [16, 8]", OneOf((known(8, 1), known(16, 2)), "a flag decides")),
        ('unknown: a "environment"', Unknown("the environment decides")),
        ("unknown: a", Unknown("who knows", Origin("source", "input()", at(1)))),
    ],
)
def test_settings_that_agree(marker: str, setting: Setting[Any]) -> None:
    """A marker is met by a value whose origin stands on its line."""
    assert () == failures(script(f"x = 1  # {marker}"), {"a": setting})


@pytest.mark.parametrize(
    ("marker", "setting", "found"),
    [
        ("fact: a = 8", known(16, 1), "found 16 (source: as written; train.py, line 1)"),
        ("fact: a = 8", known(8, 2), "found 8 (source: as written; train.py, line 2)"),
        ("fact: a = 8", known(8, 1, path="other.py"), "found 8 (source: as written; other.py, line 1)"),
        ("fact: a = 8", Known(8, Origin("assumed", "a guess")), "found 8 (assumed: a guess)"),
        ("fact: a = 1", known(value=True, line=1), "found True (source: as written; train.py, line 1)"),
        ("fact: a.r = 1", known({"s": 1}, 1), "found <object"),
        ("fact: a = 8", Unknown("who knows"), "found unknown: who knows"),
        ("fact: b = 8", known(8, 1), "but no run has that setting"),
        ("one-of: a = [8]", OneOf((known(8, 1), known(16, 2)), "x"), "found one of 8 (source"),
        ("one-of: a = [8]", known(8, 1), "found 8 (source"),
        ('unknown: a "environment"', Unknown("the data decide"), "found unknown: the data decide"),
        ("unknown: a", Unknown("x", Origin("source", "input()", at(3))), "found unknown: x"),
    ],
)  # fmt: skip
def test_settings_that_differ(marker: str, setting: Setting[Any], found: str) -> None:
    """A wrong value, place or kind fails, and the line says what was found."""
    result = failures(script(f"x = 1  # {marker}"), {"a": setting})
    assert 1 == len(result)
    assert result[0].startswith("line 3: expected ")
    assert found in result[0]


def test_several_markers_on_a_line() -> None:
    """Each marker ends where the next begins."""
    case = script("x = 1  # fact: a = one  # fact: b = 2  # error: [out-of-memory]")
    assert () == failures(case, {"a": known("one", 1), "b": known(2, 1)}, [finding(1)])


@pytest.mark.parametrize(
    ("text", "findings", "expected"),
    [
        ('x  # error: [out-of-memory] "not fit"', [finding(1)], []),
        ("x", [finding(1)], ['line 3: unexpected error: [out-of-memory] "does not fit"']),
        ("x  # error: [out-of-memory]", [], ['expected error: [out-of-memory] "", which nobody found here']),
        ("x  # warning: [out-of-memory]", [finding(1)], ["expected warning", "unexpected error"]),
        ("x\ny  # error: [out-of-memory]", [finding(1)], ["line 4: expected", "line 3: unexpected"]),
        ('x  # error: [out-of-memory] "fits"', [finding(1)], ["expected error", "unexpected error"]),
        ("x  # error: [out-of-memory]", [finding(1), finding(1, "twice")], ['[out-of-memory] "twice"']),
    ],
)  # fmt: skip
def test_findings(text: str, findings: list[Finding], expected: list[str]) -> None:
    """Every marker needs its finding, and every finding its marker."""
    result = failures(script(text), {}, findings)
    assert len(expected) == len(result)
    assert all(part in line for part, line in zip(expected, result, strict=True))


def test_facts_without_a_line() -> None:
    """A `facts` block holds what no line says, with the kind of its origin."""
    default = Known("sdpa", Origin("framework-default", "transformers"))
    block = "~~~facts\nattention = sdpa from framework-default\n\nattention = sdpa\n~~~"
    assert () == failures(script("x", block), {"attention": default})
    wrong = "~~~facts\nattention = sdpa from source\nattention = eager\n~~~"
    assert ["line 6", "line 7"] == [line[:6] for line in failures(script("x", wrong), {"attention": default})]
    with pytest.raises(PageError, match="line 6: 'attention' is no `key = value`"):
        failures(script("x", "~~~facts\nattention\n~~~"))


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ("allocated = 8.1 GB ± 2 %\nsource = a paper", False),
        ("allocated = 7.45 GiB +/- 1 %\nsource = a paper", False),
        ("allocated = 8.5 GB ± 2 %\nsource = a paper", True),
        ("device = 8_000_000_000 B ± 0 %\nreserved = 9 GB ± 1 %\nsource = a paper", True),
    ],
)
def test_measured(text: str, differs: bool) -> None:  # noqa: FBT001  a table's column
    """A measured figure is met within its tolerance."""
    result = failures(script("x", f"~~~measured\n{text}\n~~~"))
    assert ([True] if differs else []) == ["estimated 8,000,000,000 B" in line for line in result]


@pytest.mark.parametrize(
    "text", ["", "allocated = 8 GB ± 2 %", "source = a paper", "allocated = 8 GB\nsource = x"]
)
def test_measured_needs_a_figure_and_a_source(text: str) -> None:
    """Evidence without a number, a tolerance or a source is none."""
    with pytest.raises(PageError, match="line 6: a measured block needs"):
        failures(script("x", f"~~~measured\n{text}\n~~~"))


def test_outputs() -> None:
    """The ledger's terms and a fix's edit are compared, and the right text comes with the difference."""
    ledger = "     8,000,000,000 B  weights: P × 4 B\n     8,000,000,000 B  at the peak, backward\n"
    assert () == failures(script("x", f"~~~ledger\n{ledger}~~~"))
    assert (f"ledger\n{ledger}",) == failures(script("x", "~~~ledger\nold\n~~~"))
    fix = Fix("halve it", GB, "safe", (Edit(Span("train.py", Position(2, 4), Position(2, 5)), "4"),))
    case = script("a\nb = 8  # error: [out-of-memory]", "~~~edit\n~~~")
    edited = "# halve it (safe)\n-b = 8  # error: [out-of-memory]\n+b = 4  # error: [out-of-memory]\n"
    assert (f"edit\n{edited}",) == failures(case, {}, [finding(2, "x", fix)])


def test_a_format_that_nothing_renders() -> None:
    """A page cannot expect what does not exist."""
    with pytest.raises(PageError, match="line 6: nothing renders 'hover'"):
        failures(script("x", "~~~hover\n~~~"))


def test_update_replaces_blocks_alone() -> None:
    """New text takes the place of the old, whatever its length, and the prose stays."""
    text = "# A\n```py\nx\n```\n```ledger\nold\nold\n```\nprose\n# B\n```py\ny\n```\n```ledger\n```\nend\n"
    blocks = [block for case in cases(text) for block in case.outputs]
    new = updated(text, list(zip(blocks, ["new\n", "1\n2\n"], strict=True)))
    assert text.replace("old\nold\n", "new\n").replace("ledger\n```\nend", "ledger\n1\n2\n```\nend") == new


@pytest.mark.parametrize(
    ("expected", "actual", "equal"),
    [
        (0, 0.0, True), (1, True, False), ("8", 8, False),
        ([1], (1,), True), ([1], "1", False), ([1], [1, 2], False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True), ({"a": 1}, {}, False), ({"a": 1}, None, False),
    ],
)  # fmt: skip
def test_equality(expected: object, actual: object, equal: bool) -> None:  # noqa: FBT001  a table's column
    """Numbers compare as numbers, booleans and words as themselves, tables by the expected keys."""
    assert equal == is_equal(expected, actual)


CONFTEST = """
from tests.mdtest.plugin import pytest_addoption, pytest_collect_file
"""
PAGE = """# Plain code
Nothing to say.

```py
x = 1{marker}
```

```text
{text}```
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with the plugin and a folder of pages."""
    pytester.makeconftest(CONFTEST)
    pytester.mkdir("cases")
    return pytester


def test_a_right_page_passes_and_a_wrong_one_fails(project: pytest.Pytester) -> None:
    """The whole way through pytest: headings are tests, a README is none, differences are shown."""
    folder = project.path / "cases"
    (folder / "right.md").write_text("# Silent\n```py\nx = 1\n```\n")
    (folder / "wrong.md").write_text("# Wrong\n```py\nx = 1  # error: [out-of-memory]\n```\n")
    (folder / "broken.md").write_text("# Broken\n```py\n")
    (folder / "README.md").write_text("# Read me\n```py\nx  # error: [out-of-memory]\n```\n")
    result = project.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=0, failed=0, errors=1)
    (folder / "broken.md").unlink()
    result = project.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*line 3: expected error: *out-of-memory* which nobody found here"])


def test_update_writes_outputs_and_no_expectations(project: pytest.Pytester) -> None:
    """`--update` makes a stale block right, and leaves a wrong marker and a measured figure to fail."""
    path = project.path / "cases" / "page.md"
    path.write_text(PAGE.format(marker="", text="stale\n"))
    project.runpytest("-p", "no:cacheprovider").assert_outcomes(failed=1)
    project.runpytest("-p", "no:cacheprovider", "--update").assert_outcomes(passed=1)
    assert "stale" not in path.read_text()
    project.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)
    path.write_text(PAGE.format(marker="  # fact: a = 1", text=""))
    project.runpytest("-p", "no:cacheprovider", "--update").assert_outcomes(failed=1)
    assert "# fact: a = 1" in path.read_text()

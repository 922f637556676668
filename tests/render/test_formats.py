"""The formats for code review: places, escapes and shapes as their consumers read them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tools import json_schema
from vramlint.render import catalogue, github, gitlab, junit, markdown, rdjson, sarif
from vramlint.render import json as contract
from vramlint.render._sources import Sources, fingerprints
from vramlint.render.style import Style
from vramlint.report import FileReport, Report
from vramlint.rules.finding import Edit, Finding, Fix, Related
from vramlint.source.spans import Position, Span

jsonschema = pytest.importorskip("jsonschema")

STYLE = Style()
SCRIPT = 'import torch\r\n\tname = "🙂é"; fit(model)\r\n'
FIT = Span("a b/train,1.py", Position(2, 14), Position(2, 24))
SOURCES = {FIT.path: SCRIPT.encode()}


def finding(span: Span = FIT, **changes: Any) -> Finding:
    """Return an error at a place."""
    return replace(Finding("out-of-memory", "error", "high", "peak 30 GB: 100%\nof it", span), **changes)


def reported(*findings: Finding, sources: dict[str, bytes] | None = None) -> Report:
    """Return a report of one file with these findings."""
    return Report((FileReport(FIT.path, (), findings, SOURCES if sources is None else sources),))


def notebook(indent: int | None) -> str:
    """Return a notebook as JSON whose second cell has an emoji, a tab, quotes and CR LF."""
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# about", "source"]},
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [{"text": ['"source": ["x"]']}],
            "source": ["import torch\r\n", '\tname = "🙂é"; fit(model)\r\n'],
        },
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}, indent=indent)


CELL = Span("n.ipynb", Position(2, 14), Position(2, 24), 1)


def test_a_workflow_command_is_escaped_as_the_runner_reads_it() -> None:
    """Percent and line ends in the message, colons and commas in properties; properties in the toolkit's order."""
    expected = (
        "::error title=vramlint%3A out-of-memory,file=a b/train%2C1.py,line=2,endLine=2,col=15,endColumn=25"
        "::peak 30 GB: 100%25%0Aof it"
    )
    assert expected == github.render(reported(finding()), (), STYLE)


def test_a_workflow_command_over_lines_has_no_columns() -> None:
    """The runner drops an annotation with columns whose lines differ."""
    span = Span("t.py", Position(1, 0), Position(3, 4))
    line = github.render(reported(finding(span, message="m", severity="hint")), ("wrong:\r\n",), STYLE)
    assert [
        "::error title=vramlint::wrong:%0D%0A",
        "::notice title=vramlint%3A out-of-memory,file=t.py,line=1,endLine=3::m",
    ] == line.split("\n")


@pytest.mark.parametrize("indent", [1, 4, None])
def test_a_cell_is_found_in_the_notebooks_json(indent: int | None) -> None:
    """The stretch of the file that writes the words, escapes and all; on one line where all JSON is."""
    text = notebook(indent)
    region = Sources({"n.ipynb": text.encode()}).region(CELL)
    line = text.split("\n")[region.line - 1]
    assert "fit(model)" == line[region.column - 1 : region.end_column - 1]
    assert region.line == region.end_line


def test_a_broken_notebook_stands_at_its_top() -> None:
    """A cell that cannot be found does not raise."""
    for text in ("", "{", '{"cells": 1}', '{"cells": [{}]}', '{"cells": [{"source": "a'):
        region = Sources({"n.ipynb": text.encode()}).region(CELL)
        assert (1, 1) == (region.line, region.column)


def test_a_message_about_a_notebook_names_the_cell() -> None:
    """The reviewer sees JSON, and the words say which cell and line of it is meant."""
    report = reported(finding(CELL, message="m"), sources={"n.ipynb": notebook(1).encode()})
    assert "::cell 1, line 2: m" in github.render(report, (), STYLE)


def test_a_fingerprint_stays_when_lines_come_above_it() -> None:
    """It changes with the line's own words; equal lines are told apart."""

    def names(text: str, *lines: int) -> list[str]:
        spans = [Span("t.py", Position(line, 0), Position(line, 3)) for line in lines]
        file = FileReport("t.py", (), tuple(finding(span) for span in spans), {"t.py": text.encode()})
        return [name for _, name in fingerprints(file, Sources(file.sources))]

    assert names("fit()\n", 1) == names("# new\r\n\r\n  fit()\r\n", 3)
    assert names("fit()\n", 1) != names("fit(2)\n", 1)
    first, second = names("fit()\nfit()\n", 1, 2)
    assert first != second


def test_sarif() -> None:
    """Rules with help, relative addresses, columns of code points, fixes, related places, errors as notices."""
    edit = Edit(FIT, "fit(small)")
    fixes = (Fix("Use less", 10**9, "safe", (edit,)), Fix("Think", 1, "display"))
    found = finding(fixes=fixes, related=(Related(FIT, "the cause"),))
    log = json.loads(sarif.render(reported(found), ("missing.py: no such file",), STYLE))
    (run,) = log["runs"]
    (result,) = run["results"]
    assert ("2.1.0", "unicodeCodePoints") == (log["version"], run["columnKind"])
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert result["ruleId"] == rule["id"]
    assert rule["help"]["text"]
    assert rule["helpUri"].endswith("#out-of-memory")
    place = result["locations"][0]["physicalLocation"]
    assert {"uri": "a%20b/train%2C1.py", "uriBaseId": "SRCROOT"} == place["artifactLocation"]
    expected = {"startLine": 2, "startColumn": 15, "endLine": 2, "endColumn": 25}
    assert expected == {key: place["region"][key] for key in expected}
    assert ["vramlintLine/v1"] == list(result["partialFingerprints"])
    (fix,) = result["fixes"]
    assert "Use less (saves 1.0 GB)" == fix["description"]["text"]
    assert [{"deletedRegion": expected, "insertedContent": {"text": "fit(small)"}}] == fix["artifactChanges"][
        0
    ]["replacements"]
    assert "the cause" == result["relatedLocations"][0]["message"]["text"]
    assert not run["invocations"][0]["executionSuccessful"]


def test_an_edit_in_a_notebook_is_written_as_json() -> None:
    """Applied to the file's text it gives a notebook whose cell is edited."""
    text = notebook(1)
    fix = Fix("Use less", 1, "safe", (Edit(CELL, 'fit("a",\n b)'),))
    log = json.loads(
        sarif.render(reported(finding(CELL, fixes=(fix,)), sources={"n.ipynb": text.encode()}), (), STYLE)
    )
    change = log["runs"][0]["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"][0]
    region = change["deletedRegion"]
    lines = text.split("\n")
    line = lines[region["startLine"] - 1]
    lines[region["startLine"] - 1] = (
        line[: region["startColumn"] - 1]
        + change["insertedContent"]["text"]
        + line[region["endColumn"] - 1 :]
    )
    cell = json.loads("\n".join(lines))["cells"][1]
    assert '\tname = "🙂é"; fit("a",\n b)\r\n' == cell["source"][1]


def test_gitlab() -> None:
    """The five keys that GitLab asks for."""
    issues = json.loads(gitlab.render(reported(finding(), finding(severity="info")), (), STYLE))
    assert ["critical", "minor"] == [issue["severity"] for issue in issues]
    assert {"path": "a b/train,1.py", "lines": {"begin": 2, "end": 2}} == issues[0]["location"]
    assert {"description", "check_name", "fingerprint", "severity", "location"} == set(issues[0])
    assert 2 == len({issue["fingerprint"] for issue in issues})


def test_rdjson_counts_bytes() -> None:
    """The emoji has four bytes and the letter two; only a fix of one edit is a suggestion."""
    edit = Edit(FIT, "fit(small)")
    fixes = (Fix("one", 1, "safe", (edit,)), Fix("two", 1, "safe", (edit, edit)))
    whole = json.loads(rdjson.render(reported(finding(fixes=fixes)), (), STYLE))
    (diagnostic,) = whole["diagnostics"]
    expected = {"start": {"line": 2, "column": 19}, "end": {"line": 2, "column": 29}}
    assert expected == diagnostic["location"]["range"]
    assert [{"range": expected, "text": "fit(small)"}] == diagnostic["suggestions"]
    assert "ERROR" == diagnostic["severity"]
    assert "out-of-memory" == diagnostic["code"]["value"]


def test_junit() -> None:
    """Well-formed whatever a message holds; a hint is no failure; a file without one is a case that passes."""
    odd = finding(message='<&"\x00\ud800 ]]>')
    text = junit.render(reported(odd, finding(severity="hint")), ("a <b>",), STYLE)
    root = ET.fromstring(text.encode())
    assert ("2", "1", "1") == (root.get("tests"), root.get("failures"), root.get("errors"))
    failure = root.find(".//failure")
    assert failure is not None
    assert '<&"\ufffd\ufffd ]]>' == failure.get("message")
    passing = ET.fromstring(junit.render(reported(), (), STYLE).encode())
    assert "0" == passing.get("failures")
    assert "memory" == passing[0][0].get("name")


def test_markdown(report: Report) -> None:
    """A row for the run, a chart in text, the finding; what a message says is not taken for Markdown."""
    page = markdown.render(report, (), STYLE)
    assert "| `train.py:30` | meta-llama/Llama-2-7b-hf | " in page
    assert "RTX 4090: ❌ does not fit |" in page
    assert "optimizer states" in page
    assert "█" in page
    marked = markdown.render(reported(finding(message="<b>*a* | b</b>")), (), STYLE)
    assert "&lt;b&gt;\\*a\\* \\| b&lt;/b&gt;" in marked


def test_markdown_fits_a_comment() -> None:
    """GitHub takes 65,536 characters; what is left out is counted."""
    page = markdown.render(reported(*[finding(message="m" * 900)] * 100), (), STYLE)
    assert len(page) < 65_536
    assert "more parts are left out." in page


@pytest.mark.parametrize("name", catalogue.formats())
def test_every_format_joins_pieces(name: str, report: Report) -> None:
    """A report is the frame around the pieces of its files, which are plain JSON."""
    module = catalogue.load(name)
    assert module is not None
    pieces = [module.piece(file, STYLE) for file in report.files]
    plain = json.loads(json.dumps(pieces, default=str))
    whole = module.render(report, ("e",), STYLE)
    assert whole == module.frame(pieces, ("e",), STYLE)
    assert name == "json" or whole == module.frame(plain, ("e",), STYLE)


def test_the_schemas_are_current() -> None:
    """`python -m tools.json_schema` writes them."""
    for name, text in json_schema.texts().items():
        assert text == (json_schema.FOLDER / name).read_text(encoding="utf-8")


def test_the_report_keeps_its_schema(report: Report) -> None:
    """With and without a timeline, with errors, with findings and edits; a wrong key is noticed."""
    schema = jsonschema.Draft202012Validator(json_schema.report())
    for style in (STYLE, replace(STYLE, timeline=True)):
        schema.validate(json.loads(contract.render(report, ("e",), style)))
    wrong = json.loads(contract.render(report, (), STYLE))
    wrong["files"][0]["runs"][0]["memory"]["pek"] = 1
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(wrong)


def test_the_example_plan_keeps_its_schema() -> None:
    """And a misspelt key does not."""
    schema = jsonschema.Draft202012Validator(json_schema.plan())
    root = Path(__file__).parent.parent.parent
    plan = json.loads((root / "examples" / "phi3_dpo_plan.json").read_text(encoding="utf-8"))
    schema.validate(plan)
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(plan | {"micro_batchsize": 1})

"""tell what a change does to memory: each run before and after, what moved and which lines moved it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vramlint.cli import options, output
from vramlint.cli.revisions import Moved, Repository, WorkingTree, repository, revision
from vramlint.cli.usage import UsageError
from vramlint.cli.workspace import Workspace, workspace
from vramlint.pipeline import analyze
from vramlint.render import _changes
from vramlint.settings import parse_size
from vramlint.source.read import document

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

    from vramlint.render._changes import Change
    from vramlint.rules.subject import Subject
    from vramlint.source.neighbours import Neighbours

_FORMS = {"text": _changes.as_text, "markdown": _changes.as_markdown}
_SCRIPTS = (".py", ".ipynb")
_READ = (*_SCRIPTS, ".sh", ".yaml", ".yml", ".json", ".toml")


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint diff`."""
    parser.add_argument("base", metavar="BASE", help="the revision before the change, such as origin/main")
    parser.add_argument(
        "head", metavar="HEAD", nargs="?", help="the revision after it (default: the files now)"
    )
    parser.add_argument(
        "--max-increase",
        metavar="LIMIT",
        help='how much a peak may grow, such as "5%%" or "1GB"; else exit 1',
    )
    parser.add_argument(
        "--format",
        choices=("text", "markdown", "json"),
        default="text",
        help="text (default), markdown, json",
    )
    options.add_run_options(parser)
    options.add_script_options(parser)


def run(arguments: Namespace) -> int:
    """Print the runs whose memory changed; 1 where one grew beyond the limit."""
    limit = arguments.max_increase
    _exceeds(1, 0, limit)  # a limit that is none is told before the work
    place = repository()
    base = revision(place, arguments.base)
    head: Neighbours = WorkingTree(place)
    if arguments.head is not None:
        found = revision(place, arguments.head)
        head, name = found, found.name
    moved = place.changed(base.name, None if arguments.head is None else name)
    settings = workspace(arguments)
    changes = [
        change
        for pair in _pairs(moved, base.names, head, base)
        for change in _compared(pair, base, head, settings, place)
        if _is_worth(change)
    ]
    output.say(_rendered(changes, arguments.format))
    return int(any(change.increase is not None and _grew(change, limit) for change in changes))


def _pairs(moved: Sequence[Moved], folders: Any, head: Neighbours, base: Neighbours) -> Iterator[Moved]:
    """Yield the changed files that can hold runs, and the scripts that speak of a changed file by its name."""
    readable = [pair for pair in moved if (pair.after or pair.before or "").endswith(_READ)]
    yield from readable
    own = {path for pair in moved for path in (pair.before, pair.after) if path}
    words = {_word(path).encode() for path in own}
    for folder, names in sorted(folders.items()):
        for name in names:
            path = f"{folder}/{name}" if folder else name
            if name.endswith(_SCRIPTS) and path not in own and _speaks(path, words, own, base, head):
                yield Moved(path, path)


def _word(path: str) -> str:
    """Return the word by which scripts speak of a file: a module's name, or a file's with its suffix."""
    pure = Path(path)
    return (pure.parent.name if pure.stem == "__init__" else pure.stem) if pure.suffix == ".py" else pure.name


def _speaks(path: str, words: set[bytes], own: set[str], base: Neighbours, head: Neighbours) -> bool:
    """Say whether a script names a changed file, or a changed file names the script, as launch lines do."""
    content = (base.read(path) or b"") + (head.read(path) or b"")
    if any(word in content for word in words):
        return True
    name = Path(path).name.encode()
    others = (one for one in own if not one.endswith(_SCRIPTS))
    return any(name in (base.read(one) or b"") + (head.read(one) or b"") for one in others)


def _compared(
    pair: Moved, base: Neighbours, head: Neighbours, settings: Workspace, place: Repository
) -> Iterator[Change]:
    before = _runs(pair.before, base, settings, place)
    after = _runs(pair.after, head, settings, place)
    return _changes.paired(before, after)


def _runs(path: str | None, files: Neighbours, settings: Workspace, place: Repository) -> Sequence[Subject]:
    content = None if path is None else files.read(path)
    if path is None or content is None:
        return ()
    read, issues = document(path, content)
    # A change is judged by the configuration of the files now, for both sides.
    return analyze(read, settings.settings(str(place.top / path)), files, issues).runs


def _is_worth(change: Change) -> bool:
    """Say whether anything of a run changed that is worth telling."""
    if change.increase is None:
        return change.sizes != (None, None)
    return change.increase != 0 or any(_changes.moved_settings(change))


def _rendered(changes: Sequence[Change], form: str) -> str:
    if form in _FORMS:
        return _FORMS[form](changes)
    return json.dumps({"version": 1, "runs": _changes.as_document(changes)}, indent=2, ensure_ascii=False)


def _grew(change: Change, limit: str | None) -> bool:
    before, after = change.sizes
    return before is not None and after is not None and _exceeds(before, after, limit)


def _exceeds(before: int, after: int, limit: str | None) -> bool:
    """Say whether a peak grew by more than the limit: a part of what it was, or bytes."""
    if limit is None:
        return False
    if not limit.endswith("%"):
        return after - before > parse_size(limit, "--max-increase")
    try:
        part = float(limit[:-1]) / 100
    except ValueError:
        raise UsageError(f"--max-increase {limit}: write it as 5% or 1GB") from None
    return after > before * (1 + part)

"""Requirements: which versions of libraries the files and commands around a script ask for."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ALIASES = {"pytorch-lightning": "lightning", "pytorch": "torch", "llama-factory": "llamafactory"}
_NAME = re.compile(r"\s*(?:[\w-]+::)?(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?P<rest>.*)")
_SPECIFIER = re.compile(r"\(?\s*((?:(?:===|==|~=|!=|<=|>=|<|>)\s*[\w.*+!-]+\s*,?\s*)+)\)?")
_GIT = re.compile(r"git\+\S+?/(?P<name>[\w.-]+?)(?:\.git)?(?:@v?(?P<tag>\d+\.\d[\w.]*))?(?:[#\s].*)?$")
_LOCKED = re.compile(r'^name = "(?P<name>[^"]+)"\nversion = "(?P<version>[^"]+)"', re.MULTILINE)
_INLINE = re.compile(r"^# /// script\s*\n(?P<content>(?:#(?: .*)?\n)+?)# ///\s*$", re.MULTILINE)
_CONDA = re.compile(r"(?P<name>[\w.:-]+?)\s*=(?P<version>\d[\w.]*)(?:=[\w.*]+)?$")
# Options of pip and conda that take the next word with them.
_TAKES_WORD = {
    "-r", "--requirement", "-c", "--constraint", "-f", "--find-links", "-i", "--index-url",
    "--extra-index-url", "-t", "--target", "-n", "--name", "-p", "--prefix", "--channel", "--platform",
    "--python", "--cache-dir",
}  # fmt: skip
_OPERATORS = {"&&", "||", "|", "&", ";"}
_CONDA_TOOLS = {"conda", "mamba", "micromamba"}


@dataclass(frozen=True, slots=True)
class Pin:
    """What some text asks of one library; `specifier` is PEP 440's, `text` as written, `line` from 1."""

    library: str
    specifier: str
    text: str
    line: int


def from_command(command: str) -> Iterator[Pin]:
    """Yield what a shell line installs in a version it names; bare names ask for nothing."""
    for words in _simple_commands(command):
        if "install" not in words:
            continue
        tools = {word.rsplit("/", maxsplit=1)[-1] for word in words[: words.index("install")]}
        for word in _arguments(words[words.index("install") + 1 :]):
            yield from _pin(word, 1, is_conda=bool(tools & _CONDA_TOOLS))


def from_inline_metadata(text: str) -> Iterator[Pin]:
    """Yield the dependencies in a script's `# /// script` block (PEP 723)."""
    block = _INLINE.search(text)
    if block is None:
        return
    content = "".join(line[2:] + "\n" for line in block["content"].splitlines())
    first_line = text.count("\n", 0, block.start("content"))
    for pin in _requirements(_strings(_toml(content).get("dependencies")), content):
        yield Pin(pin.library, pin.specifier, pin.text, pin.line + first_line)


def from_file(name: str, text: str) -> tuple[Pin, ...]:
    """Return what a file of a known name asks for; broken files ask for nothing."""
    if name in {"uv.lock", "poetry.lock"}:
        return tuple(_locked(text))
    if name == "Pipfile.lock":
        return tuple(_pipfile(text))
    if name == "pyproject.toml":
        return tuple(_pyproject(text))
    is_conda = name.startswith("environment")
    lines = enumerate(text.splitlines(), 1)
    return tuple(pin for number, line in lines for pin in _line_pins(line, number, is_conda=is_conda))


def file_order(names: Iterable[str]) -> list[str]:
    """Return those of `names` that may ask for versions, the most exact kind first."""
    fixed = ("uv.lock", "poetry.lock", "Pipfile.lock", "requirements.txt")
    last = ("pyproject.toml", "environment.yml", "environment.yaml", "setup.cfg")
    present = set(names)
    further = sorted(name for name in present if re.fullmatch(r"requirements[\w.-]+\.txt", name))
    return [name for name in (*fixed, *further, *last) if name in present]


def _line_pins(line: str, number: int, *, is_conda: bool) -> Iterator[Pin]:
    """Yield the pin of one line of a requirements file, a conda environment or setup.cfg."""
    stripped = re.split(r"(?:^|\s)#|;", line, maxsplit=1)[0].strip()
    item = stripped.removeprefix("- ").strip("'\" ")
    if item and not item.startswith("-"):
        yield from _pin(item, number, is_conda=is_conda)


def _pin(item: str, line: int, *, is_conda: bool = False) -> Iterator[Pin]:
    """Yield the pin in one requirement, nothing where it names no version."""
    if git := _GIT.search(item):
        if git["tag"]:
            yield Pin(_canonical(git["name"]), f"=={git['tag']}", item, line)
        return
    if is_conda and (conda := _CONDA.fullmatch(item)):
        name = conda["name"].rsplit(":", maxsplit=1)[-1]
        yield Pin(_canonical(name), f"=={conda['version']}.*", item, line)
        return
    named = _NAME.match(item)
    specifier = _SPECIFIER.match(named["rest"]) if named else None
    if named and specifier:
        yield Pin(_canonical(named["name"]), re.sub(r"\s|,\s*$", "", specifier[1]), item, line)


def _simple_commands(command: str) -> Iterator[list[str]]:
    """Cut a shell line at its operators; the words lose their quotes."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # an unclosed quote
        words = command.split()
    part: list[str] = []
    for word in words:
        if word not in _OPERATORS:
            part.append(word.rstrip(";"))
        if word in _OPERATORS or word.endswith(";"):
            yield part
            part = []
    yield part


def _arguments(words: list[str]) -> Iterator[str]:
    skip = False
    for word in words:
        if not skip and not word.startswith("-"):
            yield word
        skip = word in _TAKES_WORD


def _locked(text: str) -> Iterator[Pin]:
    for match in _LOCKED.finditer(text):
        line = text.count("\n", 0, match.start("version")) + 1
        specifier = f"=={match['version']}"
        yield Pin(_canonical(match["name"]), specifier, match["name"] + specifier, line)


def _pipfile(text: str) -> Iterator[Pin]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return
    packages = _table(_table(content).get("default"))
    for name, package in packages.items():
        version = _table(package).get("version")
        if isinstance(version, str):
            yield from _pin(name + version, _line_of(text, f'"{name}"'))


def _pyproject(text: str) -> Iterator[Pin]:
    content = _toml(text)
    project = _table(content.get("project"))
    yield from _requirements(_strings(project.get("dependencies")), text)
    groups = {**_table(project.get("optional-dependencies")), **_table(content.get("dependency-groups"))}
    for group in groups.values():
        yield from _requirements(_strings(group), text)
    poetry = _table(_table(content.get("tool")).get("poetry"))
    for name, wanted in _table(poetry.get("dependencies")).items():
        version = wanted if isinstance(wanted, str) else _table(wanted).get("version")
        if isinstance(version, str) and (specifier := _poetry_specifier(version)):
            yield Pin(_canonical(name), specifier, f"{name} {version}", _line_of(text, name))


def _poetry_specifier(version: str) -> str:
    """Translate Poetry's caret and tilde; other forms are PEP 440's, a bare version is exact."""
    match = re.fullmatch(r"(?P<sign>[\^~]?)(?P<numbers>\d+(?:\.\d+)*)", version.strip())
    if match is None:
        return version.strip().lstrip("*")
    if not match["sign"]:
        return f"=={match['numbers']}"
    numbers = [int(number) for number in match["numbers"].split(".")]
    leading = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
    kept = leading if match["sign"] == "^" else min(1, len(numbers) - 1)
    upper = [*numbers[:kept], numbers[kept] + 1]
    return f">={match['numbers']},<{'.'.join(map(str, upper))}"


def _requirements(items: Iterable[str], text: str) -> Iterator[Pin]:
    for item in items:
        yield from _pin(item.split(";", maxsplit=1)[0].strip(), _line_of(text, item))


def _canonical(name: str) -> str:
    normal = re.sub(r"[-_.]+", "-", name).lower()
    return _ALIASES.get(normal, normal)


def _line_of(text: str, word: str) -> int:
    return text.count("\n", 0, max(0, text.find(word))) + 1


def _toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

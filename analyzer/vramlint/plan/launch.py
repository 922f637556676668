"""The launch line: the flags that a command gives a script, and how many GPUs its launcher starts."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.facts.launch import Flag, Launch, Launcher
from vramlint.facts.parsers import declared_texts
from vramlint.plan.tools import Tool, tool_at
from vramlint.source.shell import Command, Word, commands
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vramlint.source.config_file import ConfigFile, Entry
    from vramlint.source.parse import Program

_PROCESSES = ("nproc_per_node", "num_processes", "num_gpus", "gpus_per_node", "nproc", "n")
# hydra's and OmegaConf's `model.name=gpt2`, `+new=1`.
_OVERRIDE = re.compile(r"\+{0,2}[A-Za-z_][\w./@]*=")
_NODES = ("nnodes", "num_nodes")
_PYTHONS = ("python", "python3", "python3.10", "python3.11", "python3.12", "ipython", "uv", "poetry")
_LAUNCHERS: Mapping[str, Launcher] = {
    "torchrun": "torchrun",
    "accelerate": "accelerate",
    "accelerate-launch": "accelerate",
    "deepspeed": "deepspeed",
    "composer": "composer",
    "colossalai": "composer",
    **dict.fromkeys(_PYTHONS, "python"),
}
# What `python -m` starts scripts with.
_MODULES: Mapping[str, Launcher] = {
    "torch.distributed.launch": "torchrun",
    "torch.distributed.run": "torchrun",
    "accelerate.commands.launch": "accelerate",
    "deepspeed.launcher.runner": "deepspeed",
    "composer.cli.launcher": "composer",
}
# Launchers that start a process for every GPU they see.
_ONE_FOR_EACH_GPU = frozenset({"deepspeed", "accelerate", "composer"})


def read_launch(command: str | None) -> Launch:
    """Return what a command says, the last one that starts something; flags alone are flags of the script."""
    given = commands(command or "")
    found = [launch for one in given for launch in launches(one)]
    if found:
        return found[-1]
    return Launch(_pairs(given[-1].words, None)[0], command=(command or "").strip()) if given else Launch()


def launches(command: Command, path: str | None = None, cell: int | None = None) -> Iterator[Launch]:
    """Yield the script that a command starts, with its flags; of launchers inside each other, each one's.

    `path` is the file that holds the command, for the places of its words.
    """
    words = command.words
    for start, word in enumerate(words):
        tool = tool_at(words, start)
        if tool is not None:
            yield _of_tool(command, start, tool, (path, cell))
            return
        launcher = _LAUNCHERS.get(posixpath.basename(word.text))
        if launcher is None and not (start == 0 and word.text.endswith(".py")):
            continue
        found = _script(words, start, launcher)
        if found is not None:
            yield _launch(command, found, (path, cell))


def _script(
    words: Sequence[Word], start: int, launcher: Launcher | None
) -> tuple[Launcher, int, int, bool] | None:
    """Return the launcher, where its flags begin, where the script stands, and whether it is a module."""
    kind: Launcher = launcher or "python"
    at = start if launcher is None else start + 1
    begin = at
    while at < len(words):
        text = words[at].text
        if text in {"-m", "--module"} and at + 1 < len(words):
            inner = _MODULES.get(words[at + 1].text)
            if inner is None:
                return kind, begin, at + 1, True
            kind, begin = inner, at + 2
            at += 1
        elif text.endswith(".py") and not text.startswith("-"):
            return kind, begin, at, False
        elif at > start and _LAUNCHERS.get(posixpath.basename(text)):
            return None  # the launcher inside is yielded for itself
        elif text in {"-c", "--"}:
            return None
        at += 1
    return None


def _launch(
    command: Command, found: tuple[Launcher, int, int, bool], where: tuple[str | None, int | None]
) -> Launch:
    launcher, begin, at, is_module = found
    words = command.words
    flags, positional = _pairs(words[at + 1 :], where)
    own, _ = _pairs([word for word in words[begin:at] if word.text not in {"-m", "--module"}], where)
    return Launch(
        flags=flags,
        processes=_processes(launcher, own, command.environment),
        launcher=launcher,
        launcher_flags=own,
        positional=positional,
        environment=_environment(command, where),
        script=words[at].text,
        is_module=is_module,
        directory=command.directory,
        command=_text(words),
        span=_span(where, words[at].line),
    )


def _of_tool(command: Command, start: int, tool: Tool, where: tuple[str | None, int | None]) -> Launch:
    words = command.words
    flags, positional = _pairs(words[tool.begin :], where)
    own, _ = _pairs(words[start + 2 : tool.launcher], where)
    launcher: Launcher = "torchrun" if tool.recipe else "python"
    return Launch(
        flags=flags,
        processes=_processes(launcher, own or flags, command.environment),
        launcher=launcher,
        launcher_flags=own,
        positional=positional,
        environment=_environment(command, where),
        script=f"{tool.recipe.removesuffix('.py')}.py" if tool.recipe else "",
        tool=tool.name,
        directory=command.directory,
        command=_text(words),
        span=_span(where, words[start].line),
    )


def _environment(command: Command, where: tuple[str | None, int | None]) -> dict[str, str]:
    return {
        name: Flag(word.text, _span(where, word.line), known=word.known)
        for name, word in command.environment.items()
    }


def _text(words: Sequence[Word]) -> str:
    return " ".join(" ".join(word.text.split()) for word in words)


def _processes(launcher: Launcher, flags: Mapping[str, str], environment: Mapping[str, Word]) -> int | None:
    """Return how many processes a launcher starts: those of a node times the nodes, or all of them."""
    count = next((int(flags[name]) for name in _PROCESSES if flags.get(name, "").isdigit()), None)
    if count is None and launcher == "deepspeed" and (slots := flags.get("include", "")).count(":") == 1:
        count = len(slots.partition(":")[2].split(","))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    sees_all = launcher in _ONE_FOR_EACH_GPU and "config_file" not in flags
    if count is None and sees_all and visible is not None and visible.known:
        count = len([one for one in visible.text.split(",") if one.strip()]) or None
    if count is None and launcher == "torchrun" and not any(flags.get(name) for name in _PROCESSES):
        count = 1  # torchrun's own default
    if count is None or launcher == "accelerate":
        return count
    nodes = next((int(flags[name]) for name in _NODES if flags.get(name, "").isdigit()), 1)
    return count * nodes


def _pairs(
    words: Sequence[Word], where: tuple[str | None, int | None] | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the flags by name, and the words that belong to none."""
    flags: dict[str, str] = {}
    positional: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not _is_flag(word.text):
            key, _, value = word.text.partition("=")
            if _OVERRIDE.match(word.text):
                # hydra and OmegaConf take `key=value`.
                span = _span(where, word.line)
                flags.setdefault(key.lstrip("+"), Flag(value, span, known=word.known, shown=word.text))
            else:
                positional.append(word.text)
            continue
        name, equals, value = word.text.lstrip("-").partition("=")
        taken = [] if equals else list(_values(words[at:]))
        text = value if equals else taken[0].text if taken else ""
        known = word.known and all(part.known for part in taken)
        flags[name.replace("-", "_")] = Flag(
            text, _span(where, word.line), tuple(part.text for part in taken), known=known
        )
        at += len(taken)
    return flags, tuple(positional)


def _values(words: Sequence[Word]) -> Iterator[Word]:
    for index, word in enumerate(words):
        if _is_flag(word.text) or (index and _OVERRIDE.match(word.text)):
            return
        yield word


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _is_number(word)


def _is_number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).replace("e", "", 1).replace("-", "", 1).isdigit()


def _span(where: tuple[str | None, int | None] | None, line: int) -> Span | None:
    if where is None or where[0] is None or line < 1:
        return None
    return Span(where[0], Position(line, 0), Position(line, 0), where[1])


# Parsers that take a file of arguments: TRL's, the alignment handbook's and Lightning's by `--config`,
# transformers' as the only argument.
_PARSERS_OF_FILES = (
    "TrlParser",
    "H4ArgumentParser",
    "parse_yaml_file",
    "parse_json_file",
    "parse_yaml_and_args",
    "LightningCLI",
)
_FILES = (".yaml", ".yml", ".json")
_ARGUMENTS_FILE = re.compile(r"arg\w*_file|args?_path|config_file|config_path|arguments")


def with_files(launch: Launch, program: Program, read: Callable[[str], ConfigFile | None]) -> Launch:
    """Return a launch with what the files that it names say; its own flags win."""
    return _with_arguments_file(with_launcher_file(launch, read), program, read)


def _with_arguments_file(
    launch: Launch, program: Program, read: Callable[[str], ConfigFile | None]
) -> Launch:
    """Add the arguments that stand in a file, where the script's parser takes one."""
    if not any(name in cell.cell.text for cell in program.cells for name in _PARSERS_OF_FILES):
        return launch
    named = [launch.flags.get("config", ""), *launch.positional[:1], *_arguments_files(launch, program)]
    path = next((str(name) for name in named if name.endswith(_FILES)), None)
    if path is None:
        return launch
    file = read(path)
    given = {} if file is None else {key: _flag(entry) for key, entry in file.entries.items()}
    found = {key: flag for key, flag in given.items() if flag is not None}
    return replace(launch, flags={**found, **launch.flags})


def _arguments_files(launch: Launch, program: Program) -> Iterator[str]:
    """Yield the files that flags such as `--train_args_file` name, on the launch line or by default."""
    if not any(f"parse_{kind}_file" in cell.cell.text for cell in program.cells for kind in ("json", "yaml")):
        return
    yield from (text for name, text in launch.flags.items() if _ARGUMENTS_FILE.search(name))
    trees = (cell.tree for cell in program.cells if cell.tree is not None)
    yield from (text for name, text in declared_texts(trees) if _ARGUMENTS_FILE.search(name))


def _flag(entry: Entry) -> Flag | None:
    value = entry.value
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        return Flag(" ".join(map(str, value)), entry.span, tuple(map(str, value)), kind="config")
    return (
        Flag(str(value), entry.span, kind="config") if isinstance(value, bool | int | float | str) else None
    )


def with_launcher_file(launch: Launch, read: Callable[[str], ConfigFile | None]) -> Launch:
    """Add what the file that `accelerate launch --config_file` names says."""
    path = launch.launcher_flags.get("config_file")
    file = read(path) if path and launch.launcher == "accelerate" else None
    if file is None:
        return launch
    flags: dict[str, str] = dict(launch.launcher_flags)
    given = {name.rpartition(".")[2] for name in flags}
    for key, entry in file.entries.items():
        flag = _flag(entry)
        if flag is not None and key.rpartition(".")[2] not in given:
            flags[key] = flag
    processes = _processes("accelerate", flags, {}) if launch.processes is None else launch.processes
    return replace(launch, launcher_flags=flags, processes=processes)

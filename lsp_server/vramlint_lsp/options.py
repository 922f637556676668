"""What an editor may set: the options of the command line, and those that only an editor has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vramlint.settings import ConfigurationError, Layer, Options, did_you_mean, parse_options

SOURCE = "editor settings"
SECTION = "vramlint"

# Settings of the clients themselves, which arrive with the others and mean nothing to the server.
_CLIENT = frozenset({
    "args", "check", "command", "cwd", "enable", "import-strategy", "interpreter", "language-server", "log-file",
    "log-level", "notebooks", "path", "show-notifications", "trace", "workspace",
})  # fmt: skip
_SWITCHES = ("inlay-hints", "code-lens", "hover", "diagnostics")


@dataclass(frozen=True, slots=True)
class Switches:
    """Which features speak without being asked."""

    inlay_hints: bool = True
    code_lens: bool = True
    hover: bool = True
    diagnostics: bool = True


@dataclass(frozen=True, slots=True)
class EditorOptions:
    """The layer of options of an editor, its switches, and one line for everything that is wrong with them."""

    layer: Layer
    switches: Switches
    complaints: tuple[str, ...] = ()


def read_options(value: Any) -> EditorOptions:
    """Read flat options or a table of them under `vramlint`; what is wrong is left out and told."""
    given = {_kebab(key): one for key, one in _section(value).items() if one not in (None, "", [], {})}
    switches = {name.replace("-", "_"): _is_on(given.pop(name)) for name in _SWITCHES if name in given}
    said = {key: one for key, one in given.items() if key not in _CLIENT}
    complaints: list[str] = []
    good: dict[str, Any] = {}
    for key, one in said.items():
        try:
            _check(key, one)
        except ConfigurationError as error:
            complaints.append(str(error))
        else:
            good[key] = one
    return EditorOptions(Layer(SOURCE, parse_options(good, SOURCE)), Switches(**switches), tuple(complaints))


def _section(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    inner = value.get(SECTION)
    if isinstance(inner, Mapping):
        return dict(inner)
    settings = value.get("settings")
    return _section(settings) if isinstance(settings, Mapping) else dict(value)


def _check(key: str, value: Any) -> None:
    names = [name.replace("_", "-") for name in Options.model_fields]
    if key not in names:
        valid = [*names, *_SWITCHES]
        raise ConfigurationError(f"{SOURCE}: unknown option {key!r}{did_you_mean(key, valid)}")
    options = parse_options({key: value}, SOURCE)
    if options.gpu:
        from vramlint.settings import find_gpu  # noqa: PLC0415  the table of GPUs is read where one is named

        find_gpu(options.gpu, SOURCE)
    for name in ("reserve", "max_peak"):
        if (size := getattr(options, name)) is not None:
            from vramlint.settings import parse_size  # noqa: PLC0415

            parse_size(size, f"{SOURCE}: {name.replace('_', '-')}")
    if options.set:
        from vramlint.cli.options import check_overrides  # noqa: PLC0415

        check_overrides(options.set, f"{SOURCE}: set")


def _is_on(value: Any) -> bool:
    return bool(value.get("enable", True)) if isinstance(value, Mapping) else bool(value)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", str(name)).lower().replace("_", "-")

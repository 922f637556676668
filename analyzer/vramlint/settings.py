"""The options a person may write (TOML, command line, editor) and the settings they become."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vramlint.knowledge.versions import one_release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vramlint.knowledge.gpu import Gpu

FailOn = Literal["error", "warning", "never"]

_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


class ConfigurationError(Exception):
    """One line a person can act on: what is wrong, where, and the nearest valid name."""


class Options(BaseModel):
    """What a person may write; in TOML the names are kebab-case. None or empty means "not said here"."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        alias_generator=lambda name: name.replace("_", "-"),
    )

    gpu: str | None = Field(
        default=None,
        description='The GPU the training must fit: a name ("RTX 4090", "A100 80GB") or a size ("24GB").',
    )
    world_size: int | None = Field(
        default=None, ge=1, description="How many GPUs the training runs on, where the script does not say."
    )
    launch: dict[str, str] = Field(
        default_factory=dict,
        description="For each file pattern, the command that starts those scripts; its flags win.",
    )
    set: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings to take as given, such as micro_batch_size or sharding.world_size.",
    )
    select: tuple[str, ...] = Field(default=(), description="The rules to report; all when empty.")
    ignore: tuple[str, ...] = Field(default=(), description="The rules to leave out.")
    reserve: int | str | None = Field(
        default=None, description='Memory to keep free on the GPU: bytes, or a size such as "1.5GB".'
    )
    libraries: dict[str, Annotated[str, AfterValidator(one_release)]] = Field(
        default_factory=dict,
        description="Library versions to assume where no lock file or pin says, by PyPI name.",
    )
    fail_on: FailOn | None = Field(
        default=None, description="The least severe finding that makes `check` exit with status 1."
    )
    max_peak: int | str | None = Field(
        default=None,
        description='A budget for the allocated peak, GPU or not: bytes, or a size such as "40GB".',
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The options in force for one file; sizes are bytes, `overrides` has dotted setting names.

    `sources` says for each option that was given where it was: `--gpu`, `VRAMLINT_GPU`, a file's path;
    `set.KEY` for each override. `measured` are settings as a live session has them: they take the place of guesses.
    """

    gpu: Gpu | None = None
    world_size: int | None = None
    launch: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    reserve: int = 0
    libraries: Mapping[str, str] = field(default_factory=dict)
    fail_on: FailOn = "error"
    max_peak: int | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """The options of one source, and its name for messages."""

    source: str
    options: Options


def parse_options(values: Mapping[str, Any], source: str) -> Options:
    """Check what someone wrote.

    Raises:
        ConfigurationError: for an unknown key (with the nearest valid one) or a value of the wrong type.
    """
    names = [name.replace("_", "-") for name in Options.model_fields]
    for key in values:
        if key.replace("_", "-") not in names:
            raise ConfigurationError(f"{source}: unknown option {key!r}{did_you_mean(key, names)}")
    try:
        return Options.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"{source}: {place}: {first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
        ) from None


def did_you_mean(word: str, valid: Sequence[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest valid name, or the list of them where none is near."""
    from difflib import get_close_matches  # noqa: PLC0415  rarely needed, and not free to import

    near = get_close_matches(word.lower().replace("_", "-"), valid, n=1, cutoff=0.5)
    near = near or get_close_matches(word, valid, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; valid are {', '.join(valid)}" if 0 < len(valid) <= 12 else ""  # noqa: PLR2004  fits in one line


def parse_size(text: int | str, source: str) -> int:
    """Return bytes for `1500000000`, `1.5GB` (10⁹) or `1.5GiB` (2³⁰).

    Raises:
        ConfigurationError: if it is no size.
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _SIZES:
        raise ConfigurationError(f"{source}: {text!r} is no size; write bytes, 1.5GB or 2GiB")
    return round(float(match[1]) * _SIZES[match[2].lower()])


def project_layer(path: Path) -> Layer | None:
    """Read `[tool.vramlint]` of the nearest pyproject.toml above `path` that has one."""
    for folder in [path, *path.parents] if path.is_dir() else path.parents:
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        tools = _read_toml(file).get("tool")
        table = tools.get("vramlint") if isinstance(tools, dict) else None
        if table is not None and not isinstance(table, dict):
            raise ConfigurationError(f"{file}: tool.vramlint should be a table, got {table!r}")
        if table is not None:
            return Layer(str(file), parse_options(table, f"{file}: [tool.vramlint]"))
    return None


def user_layers(environment: Mapping[str, str] = os.environ) -> tuple[Layer, ...]:
    """Read the person's own options: `VRAMLINT_GPU` first, then `~/.config/vramlint/config.toml`."""
    layers = []
    if gpu := environment.get("VRAMLINT_GPU"):
        layers.append(Layer("VRAMLINT_GPU", Options(gpu=gpu)))
    file = _user_file(environment)
    if file is not None and file.is_file():
        layers.append(Layer(str(file), parse_options(_read_toml(file), str(file))))
    return tuple(layers)


def combine(layers: Sequence[Layer], path: str = "", detected: Gpu | None = None) -> Settings:
    """Make the settings for the file at `path`; the first layer that says something wins.

    `launch`, `set` and `libraries` are joined key by key. `detected` is the GPU of this machine: it
    counts only where no layer names one.

    Raises:
        ConfigurationError: for a GPU that nobody knows or a size that is none.
    """
    said = {name: layer for layer in reversed(layers) for name in layer.options.model_fields_set}
    chosen = {name: getattr(layer.options, name) for name, layer in said.items()}
    sources = {name: layer.source for name, layer in said.items()}
    sources |= {f"set.{key}": layer.source for layer in reversed(layers) for key in layer.options.set}
    gpu = detected
    if chosen.get("gpu"):
        gpu = find_gpu(chosen["gpu"], sources["gpu"])
    elif detected is not None:
        sources["gpu"] = "nvidia-smi"
    budget = chosen.get("max_peak")
    return Settings(
        gpu=gpu,
        world_size=chosen.get("world_size"),
        launch=_launch_for(path, [layer.options.launch for layer in layers]),
        overrides=_joined([layer.options.set for layer in layers]),
        select=chosen.get("select", ()),
        ignore=chosen.get("ignore", ()),
        reserve=parse_size(chosen.get("reserve") or 0, f"{sources.get('reserve')}: reserve"),
        libraries=_joined([layer.options.libraries for layer in layers]),
        fail_on=chosen.get("fail_on") or "error",
        max_peak=None if budget is None else parse_size(budget, f"{sources['max_peak']}: max-peak"),
        sources=sources,
    )


def find_gpu(name: str, source: str) -> Gpu:
    """Return the GPU of that name or size.

    Raises:
        ConfigurationError: if nobody knows it; the line names the nearest one.
    """
    from vramlint.knowledge import gpus  # noqa: PLC0415  most runs name no GPU

    try:
        return gpus.find(name)
    except LookupError as error:
        raise ConfigurationError(f"{source}: {error.args[0]}") from None


def _user_file(environment: Mapping[str, str]) -> Path | None:
    root = environment.get("XDG_CONFIG_HOME")
    if root:
        return Path(root) / "vramlint" / "config.toml"
    home = environment.get("HOME") or environment.get("USERPROFILE")
    return Path(home) / ".config" / "vramlint" / "config.toml" if home else None


def _read_toml(file: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  only where there is a file to read

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{file}: {error}") from None


def _launch_for(path: str, tables: Sequence[Mapping[str, str]]) -> str | None:
    """Return the command of the first pattern that fits; a pattern without a slash fits any folder."""
    for table in tables:
        for pattern, command in table.items():
            if fnmatch(path, pattern) or fnmatch(path, f"*/{pattern}"):
                return _as_shell_takes_it(command)
    return None


def _as_shell_takes_it(command: str) -> str:
    import shlex  # noqa: PLC0415  only where there is a launch line

    try:
        shlex.split(command, comments=True)
    except ValueError as error:
        raise ConfigurationError(f"launch: {command!r} is no command: {error}") from None
    return command


def _joined(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for table in reversed(tables) for key, value in table.items()}

"""The options that several commands share, and the layer of options that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.cli.usage import UsageError
from vramlint.facts.setting import Known, Origin
from vramlint.settings import Layer, did_you_mean, parse_options

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from types import ModuleType

SOURCE = "command line"


def add_run_options(parser: ArgumentParser) -> None:
    """Add the options that say on what the training runs and which settings to take as given."""
    parser.add_argument("--gpu", metavar="NAME|GB", help='the GPU: "4090", "A100 80GB", or a size as "24GB"')
    add_plan_options(parser)


def add_plan_options(parser: ArgumentParser) -> None:
    """Add the options that say what to keep free and which settings to take as given."""
    parser.add_argument("--reserve", metavar="SIZE", help='memory to keep free on the GPU, such as "1.5GB"')
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="take a setting as given, such as sequence_length=4096 or sharding.world_size=8",
    )


def add_script_options(parser: ArgumentParser) -> None:
    """Add the options that say how a script is started."""
    parser.add_argument("--world-size", metavar="N", type=int, help="how many GPUs the training runs on")
    parser.add_argument("--launch", metavar="CMD", help="the command that starts the script; its flags win")


def add_format_option(parser: ArgumentParser) -> None:
    """Add `--format` and `--timeline`."""
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        default="text",
        help="text (default), json, sarif, github, gitlab, rdjson, junit, markdown",
    )
    parser.add_argument("--timeline", action="store_true", help="tell the memory moment by moment")


def command_line_layer(arguments: Namespace) -> Layer:
    """Return what the command line says, as options.

    Raises:
        ConfigurationError: for a value of the wrong type.
    """
    said = {
        "gpu": getattr(arguments, "gpu", None),
        "reserve": arguments.reserve,
        "world_size": getattr(arguments, "world_size", None),
        "fail_on": getattr(arguments, "fail_on", None),
        "launch": {"*": launch} if (launch := getattr(arguments, "launch", None)) else None,
        "set": parse_overrides(arguments.overrides),
    }
    given = {name: value for name, value in said.items() if value is not None and value != {}}
    return Layer(SOURCE, parse_options(given, SOURCE))


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Return `key=value` pairs as a mapping; a value that is no JSON is a string.

    Raises:
        UsageError: for a pair without `=`, a key that is no setting, or a value that it cannot have.
    """
    from vramlint.plan.override import value_of  # noqa: PLC0415  only where something is overridden

    overrides = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: write it as key=value")
        overrides[key] = value_of(text)
    check_overrides(overrides, "--set")
    return overrides


def check_overrides(overrides: Mapping[str, Any], source: str) -> None:
    """Try each override by itself.

    Raises:
        UsageError: for a key that is no setting, or a value that it cannot have.
    """
    from vramlint.plan.override import override  # noqa: PLC0415
    from vramlint.plan.read import PlanError  # noqa: PLC0415

    for key, value in overrides.items():
        try:
            override(_whole(), key, value, Origin("override", source))
        except PlanError as error:
            raise UsageError(f"{source} {key}: {error}") from None


def _whole() -> dict[str, Known[Any]]:
    """Return objects that have what they need, so that one of their keys can be tried by itself."""
    assumed = Origin("assumed", "for a trial")
    return {"optimizer": Known({"name": "sgd"}, assumed), "quantization": Known({"kind": "nf4"}, assumed)}


def output_format(name: str) -> ModuleType:
    """Return the renderer of that name.

    Raises:
        UsageError: if there is none.
    """
    from vramlint.render import catalogue  # noqa: PLC0415

    module = catalogue.load(name)
    if module is None:
        raise UsageError(f"unknown format {name!r}{did_you_mean(name, catalogue.formats())}")
    return module

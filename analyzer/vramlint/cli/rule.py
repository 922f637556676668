"""explain a rule: what it does, why it matters, what it assumes; without a name, list all rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.cli.output import say
from vramlint.cli.usage import UsageError
from vramlint.rules.catalogue import rules
from vramlint.settings import did_you_mean

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint rule`."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the rule to explain")


def run(arguments: Namespace) -> int:
    """Print one rule's page, or a line for each rule."""
    if arguments.name is None:
        for name, rule in rules().items():
            say(f"{name:<28}{(rule.__doc__ or '').splitlines()[0]}")
        return 0
    if arguments.name not in rules():
        raise UsageError(f"unknown rule {arguments.name!r}{did_you_mean(arguments.name, [*rules()])}")
    say(f"# {arguments.name}\n\n{(rules()[arguments.name].__doc__ or '').strip()}")
    return 0

"""Wrong use is one line that names the thing and the nearest valid one."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import NoReturn

from vramlint.settings import ConfigurationError, did_you_mean


class UsageError(ConfigurationError):
    """The command line asks for something that does not exist; the message is one line."""


class Parser(ArgumentParser):
    """An argument parser that raises instead of printing its usage, and never guesses abbreviations."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise the parser's complaint, with the nearest option where one was misspelt."""
        unknown = re.match(r"unrecognized arguments: (-\S+)", message)
        if unknown is not None:
            valid = [option for option in self._option_string_actions if option.startswith("--")]
            word = unknown[1].split("=")[0]
            raise UsageError(f"unknown option {word!r}{_nearest_option(word, valid)}")
        raise UsageError(f"{message} (see {self.prog} --help)")


def _nearest_option(word: str, valid: list[str]) -> str:
    hint = did_you_mean(word.lstrip("-"), [option.lstrip("-") for option in valid])
    return hint.replace("mean '", "mean '--") if "did you mean" in hint else ""

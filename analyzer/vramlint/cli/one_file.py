"""The runs of one script or plan, for commands that answer a question about each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.cli import inputs
from vramlint.cli.check import check_file
from vramlint.cli.usage import UsageError
from vramlint.cli.workspace import workspace
from vramlint.render._values import place_text

if TYPE_CHECKING:
    from argparse import Namespace

    from vramlint.rules.subject import Subject
    from vramlint.settings import Settings


def runs(arguments: Namespace) -> tuple[tuple[Subject, ...], Settings]:
    """Return the runs of the file that a command names, and the settings in force for it.

    Raises:
        UsageError: where there is no such file, or no training in it.
    """
    found, errors = inputs.files([arguments.file])
    if errors or len(found) != 1:
        raise UsageError(errors[0] if errors else f"{arguments.file}: is a folder; name one file")
    settings = workspace(arguments).settings(found[0])
    subjects = check_file(found[0], settings).runs
    if not subjects:
        raise UsageError(f"{arguments.file}: no training or generation found")
    return subjects, settings


def title(subject: Subject) -> str:
    """Return a run's place, and why it has no plan where it has none."""
    reason = "" if subject.plans else f"  unknown: {subject.why_not or 'its settings are not known'}"
    return place_text(subject.run.span) + reason

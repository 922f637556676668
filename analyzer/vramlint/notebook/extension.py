"""The magics, registered by `%load_ext vramlint`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from vramlint.notebook.command import report
from vramlint.notebook.session import Session
from vramlint.settings import ConfigurationError

if TYPE_CHECKING:
    from vramlint.notebook.result import Result


def load(shell: Any) -> None:
    """Register `%vramlint` and `%%vramlint` in a shell, and take note of its executions from now on."""
    session = Session(shell)

    def vramlint(line: str, cell: str | None = None) -> Result:
        """Say how much GPU memory the training in this session needs; as a cell's first line, before it runs.

        Options are those of `vramlint check`: --gpu NAME, --world-size N, --set KEY=VALUE, --reserve SIZE.
        """
        try:
            return report(session, line, cell)
        except ConfigurationError as error:
            raise UsageError(str(error)) from None

    shell.register_magic_function(vramlint, "line_cell", "vramlint")
    shell.events.register("pre_run_cell", session.noted)

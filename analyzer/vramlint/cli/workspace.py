"""The settings of each file: what the command line, the person, the project and the machine say together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.cli import gpu_detection
from vramlint.settings import Layer, Settings, combine, project_layer, user_layers

if TYPE_CHECKING:
    from argparse import Namespace

from vramlint.cli.options import check_overrides, command_line_layer


@dataclass(frozen=True, slots=True)
class Workspace:
    """The layers above the project's, first one first; `projects` remembers one layer per folder."""

    layers: tuple[Layer, ...]
    projects: dict[Path, Layer | None] = field(default_factory=dict)

    def settings(self, path: str) -> Settings:
        """Return the settings for one file.

        Raises:
            ConfigurationError: for a configuration that cannot be used.
        """
        project = self._project(Path(path).absolute().parent)
        layers = (*self.layers, *(() if project is None else (project,)))
        named = any(layer.options.gpu for layer in layers)
        return combine(layers, path, None if named else gpu_detection.detect())

    def _project(self, folder: Path) -> Layer | None:
        if folder not in self.projects:
            layer = project_layer(folder)
            if layer is not None and layer.options.set:
                check_overrides(layer.options.set, f"{layer.source}: set")
            self.projects[folder] = layer
        return self.projects[folder]


def workspace(arguments: Namespace) -> Workspace:
    """Return the workspace of a command.

    Raises:
        ConfigurationError: for options that cannot be used.
    """
    return Workspace((command_line_layer(arguments), *user_layers()))

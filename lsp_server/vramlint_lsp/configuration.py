"""The settings of each file: what was chosen in the editor, its settings, the person's own, and the project's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.cli import gpu_detection
from vramlint.cli.options import check_overrides
from vramlint.settings import (
    ConfigurationError,
    Layer,
    Options,
    Settings,
    combine,
    project_layer,
    user_layers,
)
from vramlint_lsp.options import EditorOptions, Switches, read_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NOTHING = read_options({})
CHOICE = "choice in the editor"


@dataclass(slots=True)
class Configuration:
    """All sources of options; `tell` shows a person one line about one that is wrong.

    `initial` came with the first request, `by_folder` has what the client says for each workspace folder ("" for all).
    """

    tell: Callable[[str], None]
    initial: EditorOptions = _NOTHING
    by_folder: dict[str, EditorOptions] = field(default_factory=dict)
    choice: Layer | None = None
    _known: dict[str, Settings] = field(default_factory=dict)

    def start(self, value: Any) -> None:
        """Take what the client sent with its first request."""
        self.initial = self._read(value)
        self._known.clear()

    def replace(self, folder: str, value: Any) -> None:
        """Take what the client says now for a folder; an empty answer changes nothing that was said at the start."""
        self.by_folder[folder] = self._read(value)
        self._known.clear()

    def choose_gpu(self, name: str) -> None:
        """Let a GPU count above all other options, until the session ends."""
        self.choice = Layer(CHOICE, Options(gpu=name))
        self._known.clear()

    def forget_projects(self) -> None:
        """Read the files of options again when they are next needed."""
        self._known.clear()

    def switches(self, path: str) -> Switches:
        """Return which features are on for a file."""
        return self._editor(path)[0].switches

    def settings(self, path: str) -> Settings:
        """Return the settings for a file; a source that cannot be used is told about and left out."""
        if path not in self._known:
            self._known[path] = self._combined(path)
        return self._known[path]

    def with_request(self, path: str, gpu: str | None, overrides: object) -> Settings:
        """Return the settings with what one request asks to assume.

        Raises:
            ConfigurationError: for a GPU or a setting that does not exist.
        """
        if not isinstance(overrides, dict):
            raise ConfigurationError("overrides: should be an object of settings and values")
        check_overrides(overrides, "overrides")
        given: dict[str, Any] = {"set": dict(overrides)} | ({"gpu": gpu} if gpu else {})
        asked = Layer("request", Options.model_validate(given))
        return self._combine((asked, *self._layers(path)), path)

    def _combined(self, path: str) -> Settings:
        layers = self._layers(path)
        try:
            return self._combine(layers, path)
        except ConfigurationError as error:
            self.tell(f"{error}; the default is used")
        usable = [layer for layer in layers if self._is_usable(layer, path)]
        return self._combine(usable, path)

    def _combine(self, layers: tuple[Layer, ...] | list[Layer], path: str) -> Settings:
        named = any(layer.options.gpu for layer in layers)
        return combine(layers, path, None if named else gpu_detection.detect())

    def _is_usable(self, layer: Layer, path: str) -> bool:
        try:
            combine([layer], path)
        except ConfigurationError:
            return False
        return True

    def _layers(self, path: str) -> tuple[Layer, ...]:
        chosen = () if self.choice is None else (self.choice,)
        return (*chosen, *(one.layer for one in self._editor(path)), *self._user(), *self._project(path))

    def _editor(self, path: str) -> tuple[EditorOptions, ...]:
        """Return the editor's options for a file, of the nearest folder first."""
        folders = [folder for folder in self.by_folder if folder and Path(path).is_relative_to(folder)]
        nearest = sorted(folders, key=len, reverse=True)[:1]
        whole = [""] if "" in self.by_folder else []
        return (*(self.by_folder[folder] for folder in (*nearest, *whole)), self.initial)

    def _user(self) -> tuple[Layer, ...]:
        try:
            return user_layers()
        except ConfigurationError as error:
            self.tell(f"{error}; it is left out")
            return ()

    def _project(self, path: str) -> tuple[Layer, ...]:
        try:
            layer = project_layer(Path(path).parent)
            if layer is not None and layer.options.set:
                check_overrides(layer.options.set, f"{layer.source}: set")
        except ConfigurationError as error:
            self.tell(f"{error}; it is left out")
            return ()
        return () if layer is None else (layer,)

    def _read(self, value: Any) -> EditorOptions:
        options = read_options(value)
        if options.complaints:
            self.tell(f"{'; '.join(options.complaints)}; the defaults are used")
        return replace(options, complaints=())

"""The extension says the same as the rest: its settings are those of the one schema, its commands all exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tools.extension_settings import PACKAGE, properties, written
from vramlint import __version__
from vramlint.settings import Options
from vramlint_lsp.options import read_options

EXTENSION = PACKAGE.parent


def test_settings_are_those_of_the_schema() -> None:
    """`python -m tools.extension_settings` was run after the options changed."""
    assert written() == json.loads(PACKAGE.read_text(encoding="utf-8"))


def test_each_setting_has_a_description_a_scope_and_a_default() -> None:
    """What the settings page shows."""
    for name, table in properties().items():
        assert table.get("markdownDescription"), name
        assert {"scope", "default", "type"} <= table.keys(), name


def test_every_option_can_be_set_in_the_editor() -> None:
    """But for the exit status of a command."""
    names = {re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name[9:]) for name in properties()}
    assert {*Options.model_fields} - names == {"fail_on"}


def test_the_server_takes_the_defaults_in_silence() -> None:
    """A fresh installation must not start with a complaint."""
    table: dict[str, object] = {}
    for name, one in properties().items():
        place = table
        *path, last = name.removeprefix("vramlint.").split(".")
        for part in path:
            place = place.setdefault(part, {})  # type: ignore[assignment]
        place[last] = one["default"]
    assert () == read_options({"settings": table}).complaints


def test_commands_of_the_palette_are_registered() -> None:
    """Each contributed command stands in the table that registers them, and no other does."""
    contributes = json.loads(PACKAGE.read_text(encoding="utf-8"))["contributes"]
    named = {command["command"] for command in contributes["commands"]}
    source = (EXTENSION / "src" / "extension.ts").read_text(encoding="utf-8")
    assert named == set(re.findall(r'^    "(vramlint\.\w+)": ', source, re.MULTILINE))


def test_the_readme_names_every_setting() -> None:
    """A person finds in the marketplace what can be set."""
    readme = (EXTENSION / "README.md").read_text(encoding="utf-8")
    missing = [
        name
        for name in properties()
        if f"`{name}`" not in readme and f"`.{name.split('.', 1)[1]}`" not in readme
    ]
    assert [] == missing


def test_versions_agree() -> None:
    """The extension carries the server of its own version."""
    assert __version__ == json.loads(PACKAGE.read_text(encoding="utf-8"))["version"]


def test_the_lock_names_no_registry() -> None:
    """Whoever builds takes the packages from the registry that is set there."""
    assert "resolved" not in Path(EXTENSION / "package-lock.json").read_text(encoding="utf-8")

"""Writes the extension's settings into its package.json, from the options that everything else uses.

`python -m tools.extension_settings` writes; a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vramlint.settings import Options

PACKAGE = Path(__file__).parent.parent / "extension" / "package.json"

# What an editor has no use for.
_LEFT_OUT = frozenset({"fail_on"})
_LISTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}, "default": []}
_SWITCHES = {
    "diagnostics": "Underline what does not fit and other findings.",
    "hover": "Say what a setting causes when the mouse rests on it.",
    "inlayHints": "Show the bytes behind the lines that cause them.",
    "codeLens": "Show the peak and the largest batch over a training call.",
}
# How the server is started: settings of the extension itself, by the names that Python tools' extensions share.
_STARTING: dict[str, dict[str, Any]] = {
    "importStrategy": {
        "type": "string",
        "enum": ["useBundled", "fromEnvironment"],
        "enumDescriptions": [
            "Run the server that comes with the extension.",
            "Run the vramlint of the chosen environment, where it is installed.",
        ],
        "default": "useBundled",
        "scope": "window",
        "markdownDescription": "Which vramlint runs.",
    },
    "interpreter": _LISTS
    | {
        "scope": "resource",
        "markdownDescription": "The Python (3.11 or newer) that runs the server, with its arguments. "
        "When empty: that of the Python extensions, then the one on the PATH.",
    },
    "path": _LISTS
    | {
        "scope": "resource",
        "markdownDescription": 'A command to run instead of the bundled server, such as `["/usr/bin/vramlint"]`.',
    },
    "args": _LISTS
    | {"scope": "resource", "markdownDescription": "Arguments for the server, such as `--log-file`."},
    "trace.server": {
        "type": "string",
        "enum": ["off", "messages", "verbose"],
        "default": "off",
        "scope": "window",
        "markdownDescription": "Write what editor and server say to each other into the log.",
    },
}


def properties() -> dict[str, dict[str, Any]]:
    """Return the settings as VS Code's schema has them, by their full names."""
    options = {
        f"vramlint.{_camel(name)}": _setting(table)
        for name, table in Options.model_json_schema(by_alias=False)["properties"].items()
        if name not in _LEFT_OUT
    }
    switches = {
        f"vramlint.{name}.enable": {
            "type": "boolean",
            "default": True,
            "scope": "resource",
            "markdownDescription": description,
        }
        for name, description in _SWITCHES.items()
    }
    return options | switches | {f"vramlint.{name}": table for name, table in _STARTING.items()}


def _setting(table: dict[str, Any]) -> dict[str, Any]:
    """Return one option: what may be null is empty in an editor, where a setting has always a value."""
    types = [one["type"] for one in table.get("anyOf", [table]) if one["type"] != "null"]
    made: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if len(types) > 1 or table.get("default", "") is None:
        made["type"] = [*types, "null"]
    for key in ("items", "additionalProperties", "minimum"):
        if key in table:
            made[key] = table[key]
    made["default"] = table.get("default", {} if "object" in types else None)
    return made | {"scope": "resource", "markdownDescription": table["description"]}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def written() -> dict[str, Any]:
    """Return package.json with the settings as they should be."""
    package: dict[str, Any] = json.loads(PACKAGE.read_text(encoding="utf-8"))
    contributes = package.setdefault("contributes", {})
    contributes["configuration"] = {"type": "object", "title": "vramlint", "properties": properties()}
    return package


def main() -> None:
    """Write the file."""
    PACKAGE.write_text(json.dumps(written(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Commands that train by themselves, without a script of the user's: `tune run`, `trl sft` and their like."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vramlint.source.shell import Word

# What a tool does by the word behind its name.
_TOOLS: Mapping[str, frozenset[str]] = {
    "tune": frozenset({"run"}),
    "llamafactory-cli": frozenset({"train"}),
    "lmf": frozenset({"train"}),
    "axolotl": frozenset({"train"}),
    "litgpt": frozenset(
        {"finetune", "finetune_lora", "finetune_full", "finetune_adapter", "finetune_adapter_v2", "pretrain"}
    ),
    "trl": frozenset({"sft", "dpo", "kto", "orpo", "cpo", "grpo", "rloo", "reward", "ppo"}),
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool in a command: its name with what it does, where its flags begin, and the recipe it is told.

    `launcher` is where the flags of the launcher inside end: `tune run --nproc_per_node 4 RECIPE --config …`.
    """

    name: str
    begin: int
    recipe: str = ""
    launcher: int = 0


def tool_at(words: Sequence[Word], start: int) -> Tool | None:
    """Return the tool whose name stands at `start`, None where none does or where it does not train."""
    name = posixpath.basename(words[start].text)
    verb = words[start + 1].text if start + 1 < len(words) else ""
    if verb not in _TOOLS.get(name, ()):
        return None
    begin = start + 2
    if name != "tune":
        return Tool(f"{name} {verb}", begin, launcher=begin)
    texts = [word.text for word in words]
    told = texts.index("--config", begin) - 1 if "--config" in texts[begin:] else len(words)
    if told < begin or told >= len(words) or texts[told].startswith("-"):
        return None
    return Tool(f"{name} {verb}", told + 1, texts[told], told)

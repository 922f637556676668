"""Modules that import each other by stars are searched once for a name, not along every path."""

from __future__ import annotations

from vramlint import Document, analyze
from vramlint.source.read import document

_MANY = 14
_SCRIPT = """
import torch
from torch.utils.data import DataLoader
from m0 import *

model = torch.nn.Linear(8, 8)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in DataLoader([], batch_size=BATCH, shuffle=True):
    helper(model(batch)).sum().backward()
    optimizer.step()
"""


def _files() -> dict[str, str]:
    stars = "".join(f"from m{index} import *\n" for index in range(_MANY))
    return {f"m{index}.py": stars for index in range(_MANY)} | {"m3.py": f"{stars}BATCH = 8\n"}


def _script() -> Document:
    return document("train.py", _SCRIPT)[0]


def test_a_name_behind_many_stars_is_found_and_others_end() -> None:
    """One name is bound in the fourth module; another nowhere, which took as many steps as there are paths."""
    report = analyze(_script(), neighbours=_files())
    settings = report.runs[0].run.settings
    assert "8" in repr(settings["micro_batch_size"])
    assert "m3.py" in repr(settings["micro_batch_size"])

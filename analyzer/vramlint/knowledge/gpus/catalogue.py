"""The table of GPUs, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from vramlint.knowledge.gpu import Gpu

_MIB = 2**20


class Record(NamedTuple):
    """One line of the table: names, and the totals in MiB, 0 where nobody reported one."""

    name: str
    architecture: str
    capability: str
    marketed_gb: int
    smi_mib: int
    smi_mark: str
    torch_mib: int
    torch_mark: str
    aliases: tuple[str, ...]

    @property
    def stem(self) -> str:
        """Return the name without the memory size at its end; nothing if it ends in none."""
        stem, _, size = self.name.rpartition(" ")
        return stem if size.endswith("GB") else ""

    @property
    def all_names(self) -> tuple[str, ...]:
        """Return the name and its aliases."""
        return (self.name, *self.aliases)

    @property
    def gpu(self) -> Gpu:
        """Return the GPU with the total that torch reports, else nvidia-smi's, else the marketed size."""
        total, cited = self._total()
        major, _, minor = self.capability.partition(".")
        capability = (int(major), int(minor)) if major else (0, 0)
        return Gpu(self.name, total, capability, self.architecture or "unknown", cited)

    def has_about(self, total_mib: int, difference: float) -> bool:
        """Whether a report of `total_mib` can be of this GPU."""
        known = self.smi_mib or self.marketed_gb * 1024
        return abs(known - total_mib) <= difference * known

    def _total(self) -> tuple[int, str]:
        if self.torch_mib:
            tool = "torch.cuda.get_device_properties"
            return self.torch_mib * _MIB, f"{tool}: {self.torch_mib} MiB ({self.torch_mark})"
        if self.smi_mib:
            return self.smi_mib * _MIB, f"nvidia-smi: {self.smi_mib} MiB ({self.smi_mark})"
        return self.marketed_gb * 2**30, f"marketed size, {self.marketed_gb} x 2^30 bytes; no report at hand"


@cache
def records() -> tuple[Record, ...]:
    """Return all lines of the table."""
    text = Path(__file__).with_name("catalogue.tsv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return tuple(_record(line) for line in lines[1:])


def _record(line: str) -> Record:
    name, architecture, capability, marketed, smi, smi_mark, torch, torch_mark, aliases = line.split("\t")
    return Record(
        name,
        architecture,
        capability,
        int(marketed),
        int(smi or 0),
        smi_mark,
        int(torch or 0),
        torch_mark,
        tuple(aliases.split("|")) if aliases else (),
    )

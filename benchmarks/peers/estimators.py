"""Each estimator: how one row is said in its own words, and which figure of its answer is compared.

Compared are the tensors alone (weights, gradients, states, activations), since that is what was
measured; an estimator's CUDA context, fragmentation and safety margins are left out. Each is told what
the row is, in its favour: attention by a flash or fused kernel, the precision and the optimizer by their names.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.peers.answer import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.accuracy.rows import Row

_MIB = 2**20
_REVISION = "0" * 40
_PRECISIONS = {("float32", None): "fp32", ("float32", "bf16"): "amp", ("bfloat16", None): "pure-bf16"}


class Estimator(Protocol):
    """Something that answers for a row."""

    @property
    def name(self) -> str:
        """Return what it is called."""

    def answer(self, row: Row) -> Answer:
        """Return its figure for one row."""


@dataclass(frozen=True, slots=True)
class Vramlint:
    """This project, by its command line as a user has it."""

    name: str = "vramlint"

    def answer(self, row: Row) -> Answer:
        """Estimate the plan document."""
        command = [sys.executable, "-m", "vramlint", "estimate", "-", "--format", "json"]
        printed = ask(command, os.environ, json.dumps(row.plan))
        memory = _document(printed.text).get("memory")
        return Answer(memory["allocated"] if memory else None, printed.seconds)


@dataclass(frozen=True, slots=True)
class TorchPreflight:
    """torch-preflight: an architecture by its name where it knows the shape, else the parameter count."""

    peers: Path
    name: str = "torch-preflight"

    def answer(self, row: Row) -> Answer:
        """Estimate with options on the command line."""
        precision = _precision(row.plan)
        if precision is None or row.plan.get("lora"):
            return Answer(None, 0.0)
        command = [
            *(
                _command(self.peers, self.name, "torch-preflight"),
                "estimate",
                "-f",
                "json",
                "--gpu-memory",
                "80GiB",
            ),
            *(
                "--batch-size",
                str(row.plan["micro_batch_size"]),
                "--seq-len",
                str(row.plan["sequence_length"]),
            ),
            *("--dtype", precision, "--optimizer", "adamw", *self._model(row)),
            *(["--checkpointing"] if row.plan.get("gradient_checkpointing") else []),
            *(["--flash"] if row.plan.get("attention") != "eager" else []),
        ]
        printed = ask(command, os.environ)
        parts = _document(printed.text).get("breakdown")
        if not parts:
            return Answer(None, printed.seconds)
        outside = {"CUDA_context", "fragmentation"}
        return Answer(sum(size for part, size in parts.items() if part not in outside), printed.seconds)

    def _model(self, row: Row) -> list[str]:
        known = {_shape(entry.get("shape", {})): name for name, entry in self._architectures().items()}
        config = row.plan["model"]["config"]
        name = known.get(
            (config.get("num_hidden_layers", config.get("n_layer")), _width(config), config["vocab_size"])
        )
        return ["--model", name] if name else ["--params", str(row.parameters)]

    def _architectures(self) -> dict[str, Any]:
        (path,) = (self.peers / self.name).glob(
            "lib/python*/site-packages/torch_preflight/vram/data/architectures.json"
        )
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {name: entry for name, entry in document["models"].items() if isinstance(entry, dict)}


@dataclass(frozen=True, slots=True)
class Fitcheck:
    """fitcheck-llm: reads the config.json that it finds in a hub cache, here one made for the row."""

    peers: Path
    cache: Path
    name: str = "fitcheck-llm"

    def answer(self, row: Row) -> Answer:
        """Estimate with options on the command line."""
        precision = _precision(row.plan)
        if precision not in {"fp32", "pure-bf16"}:
            return Answer(None, 0.0)  # it has no word for autocast on fp32 weights
        self._lay_out(row.plan["model"]["config"])
        short = {"fp32": "fp32", "pure-bf16": "bf16"}[precision]
        lora = row.plan.get("lora")
        command = [
            *(
                _command(self.peers, self.name, "fitcheck"),
                "bench/row",
                "--json",
                "--precision",
                short,
                "--optimizer-dtype",
                short,
            ),
            *(
                "--batch-size",
                str(row.plan["micro_batch_size"]),
                "--seq-len",
                str(row.plan["sequence_length"]),
            ),
            *(
                ["--lora-r", str(lora["r"]), "--lora-targets", ",".join(lora["target_modules"])]
                if lora
                else ["--no-lora"]
            ),
            *(["--grad-checkpoint"] if row.plan.get("gradient_checkpointing") else []),
            *(["--flash-attn"] if row.plan.get("attention") != "eager" else []),
        ]
        printed = ask(command, {**os.environ, "HF_HOME": str(self.cache), "HF_HUB_OFFLINE": "1"})
        parts = _document(printed.text).get("memory_mib")
        if not parts:
            return Answer(None, printed.seconds)
        mebibytes = sum(size for part, size in parts.items() if part not in {"overhead", "total"})
        return Answer(round(mebibytes * _MIB), printed.seconds)

    def _lay_out(self, config: Mapping[str, Any]) -> None:
        repository = self.cache / "hub" / "models--bench--row"
        snapshot = repository / "snapshots" / _REVISION
        snapshot.mkdir(parents=True, exist_ok=True)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(_REVISION, encoding="utf-8")
        (snapshot / "config.json").write_text(json.dumps(config), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Inside:
    """An estimator that is a function: a script of `inside` calls it in the environment of its own.

    `precisions` are those it has words for; none of them can be told of LoRA.
    """

    peers: Path
    name: str
    environment: str
    script: str
    precisions: frozenset[str]

    def answer(self, row: Row) -> Answer:
        """Run the script on the row as JSON."""
        precision = _precision(row.plan)
        if precision not in self.precisions or row.plan.get("lora"):
            return Answer(None, 0.0)
        script = str(Path(__file__).parent / "inside" / self.script)
        told = {
            "config": row.plan["model"]["config"],
            "parameters": row.parameters,
            "precision": precision,
            "batch": row.plan["micro_batch_size"],
            "length": row.plan["sequence_length"],
            "checkpointing": bool(row.plan.get("gradient_checkpointing")),
            "flash": row.plan.get("attention") != "eager",
        }
        outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [_command(self.peers, self.environment, "python"), script]
        printed = ask(command, outside, json.dumps(told))
        lines = printed.text.splitlines()
        return Answer(_document(lines[-1] if lines else "").get("allocated"), printed.seconds)


def functions(peers: Path) -> list[Inside]:
    """Return the estimators that are functions; each leaves out what it does not speak of (LoRA, a precision)."""
    every = frozenset(_PRECISIONS.values())
    mixed = every - {"pure-bf16"}
    return [
        Inside(peers, "accelerate", "accelerate", "accelerate_memory.py", mixed),
        Inside(peers, "DeepSpeed", "accelerate", "deepspeed_zero.py", frozenset({"amp"})),
        Inside(peers, "llm-analysis", "llm-analysis", "llm_analysis_training.py", every - {"fp32"}),
    ]


@dataclass(frozen=True, slots=True)
class Folk:
    """The formula of many posts: 16 bytes per parameter, and s·b·h·L·(34 + 5·a·s/h) of activations."""

    name: str = "folk formula"

    def answer(self, row: Row) -> Answer:
        """Add up the formula; no process is started."""
        config, plan = row.plan["model"]["config"], row.plan
        width, layers = _width(config), config.get("num_hidden_layers", config.get("n_layer"))
        heads = config.get("num_attention_heads", config.get("n_head"))
        length = plan["sequence_length"]
        layer = length * plan["micro_batch_size"] * width * (34 + 5 * heads * length / width)
        return Answer(round(16 * (row.parameters or 0) + layers * layer), 0.0)


def _command(peers: Path, environment: str, name: str) -> str:
    return str(peers / environment / "bin" / name)


def _precision(plan: Mapping[str, Any]) -> str | None:
    return _PRECISIONS.get((plan["param_dtype"], plan.get("mixed_precision")))


def _width(config: Mapping[str, Any]) -> int:
    return int(config.get("hidden_size") or config["n_embd"])


def _shape(shape: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return shape.get("layers"), shape.get("hidden"), shape.get("vocab")


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}

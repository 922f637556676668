"""From the arena's storages to the terms of the ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, TypeAlias

from vramlint.memory.arena import Arena, Key, Peak, rounded
from vramlint.memory.ledger import Dimension, Group, Ledger, Line, Phase, Term
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_Name: TypeAlias = tuple[str, Group]

_AUTOGRAD = "tools/autograd/derivatives.yaml: what each operator saves for backward"
_CITATIONS: Mapping[Group, str] = {
    "weights": "one tensor per parameter, in the type the model was loaded in",
    "gradients": "torch/csrc/autograd/functions/accumulate_grad.h: a gradient has its parameter's type",
    "optimizer": "the optimizer's own states, see `vramlint optimizers`",
    "activations": _AUTOGRAD,
    "loss": f"{_AUTOGRAD}; transformers loss/loss_utils.py computes it in fp32",
    "temporaries": "torch/csrc/autograd/FunctionsManual.cpp and the optimizer's step",
    "inputs": "the tensors of one micro batch",
    "extra-models": "a model that stands beside the trained one",
    "runtime": "c10/cuda/CUDACachingAllocator.cpp: blocks are multiples of 512 bytes",
}
_FIXED: Mapping[str, _Name] = {
    "weight": ("weights", "weights"),
    "extra weight": ("weights of extra models", "extra-models"),
    "buffer": ("buffers", "weights"),
    "gradient": ("gradients", "gradients"),
    "gradient bucket": ("DDP gradient buckets", "gradients"),
    "step temporary": ("optimizer step temporaries", "temporaries"),
    "weight copy": ("autocast weight copies", "activations"),
    "recomputed activation": ("recomputed activations", "activations"),
    "temporary": ("backward temporaries", "temporaries"),
    "input": ("inputs", "inputs"),
    "cache": ("key-value cache", "activations"),
    "cuDNN reserve": ("cuDNN's reserve of recurrent layers", "activations"),
    "workspace": ("cuBLAS workspace", "runtime"),
    "gathered weight": ("gathered weights", "weights"),
    "gathered gradient": ("gradients before they are scattered", "gradients"),
    "offload buffer": ("buffers of offloaded checkpoints", "activations"),
    "communication buffer": ("communication buffers", "runtime"),
}
_LOSS_LABELS = frozenset({"logits", "loss"})


def group_of(key: Key) -> Group:
    """Return which part of the memory a storage belongs to."""
    return _name(key)[1]


def _name(key: Key) -> _Name:
    fixed = _FIXED.get(key.kind)
    if fixed is not None:
        return fixed
    if key.kind == "optimizer state":
        return key.label, "optimizer"
    if key.label in _LOSS_LABELS:
        return key.label, "loss"
    return f"{key.label or 'other'} activations", "activations"


def ledger_of(arena: Arena, phase: Phase) -> Ledger:
    """Return the terms alive at the worst moment, which lies in `phase`, and those alive at other phases' peaks."""
    alive = arena.alive_at_peaks()
    symbols = _symbols(alive.values())
    named = {name: _by_term(counts) for name, counts in alive.items()}
    at_peak = named[phase]
    terms = [_term(name, counts, named, symbols, at_peak=True) for name, counts in at_peak.items()]
    terms.append(_rounding(alive[phase], frozenset(alive)))
    elsewhere = _elsewhere(named, arena, phase)
    terms += [_term(name, counts, named, symbols, at_peak=False) for name, counts in elsewhere.items()]
    return Ledger(tuple(sorted(terms, key=lambda term: (not term.at_peak, -term.bytes, term.name))))


def _by_term(counts: Counter[Key]) -> dict[_Name, Counter[Key]]:
    terms: defaultdict[_Name, Counter[Key]] = defaultdict(Counter)
    for key, count in counts.items():
        terms[_name(key)][key] += count
    return dict(terms)


def _elsewhere(
    named: Mapping[Phase, dict[_Name, Counter[Key]]], arena: Arena, phase: Phase
) -> dict[_Name, Counter[Key]]:
    """Return the terms that are not alive at the worst moment, as they are in the largest phase that has them."""
    others: dict[_Name, Counter[Key]] = {}
    largest_first = sorted(arena.phases, key=lambda name: -arena.phases[name].peak.bytes)
    for name in largest_first:
        for term, counts in named[name].items():
            if term not in named[phase]:
                others.setdefault(term, counts)
    return others


def _term(
    name: _Name,
    counts: Counter[Key],
    named: Mapping[Phase, dict[_Name, Counter[Key]]],
    symbols: Mapping[int, str],
    *,
    at_peak: bool,
) -> Term:
    lines: defaultdict[tuple[tuple[int, ...], int, int], int] = defaultdict(int)
    for key, count in counts.items():
        lines[key.shape, key.bits, key.shards] += count
    ordered = sorted(
        (_line(*shape, count, symbols) for shape, count in lines.items()), key=lambda line: -line.bytes
    )
    phases = frozenset(phase for phase, terms in named.items() if name in terms)
    return Term(name[0], name[1], tuple(ordered), phases, at_peak, _CITATIONS[name[1]])


def _symbols(alive: Iterable[Counter[Key]]) -> dict[int, str]:
    """Return size → letter for sizes that only one letter stands for: arithmetic on shapes loses the letters."""
    letters: defaultdict[int, set[str]] = defaultdict(set)
    for counts in alive:
        for key in counts:
            for size in key.shape:
                if isinstance(size, Dim):
                    letters[int(size)].add(size.symbol)
    return {size: symbols.pop() for size, symbols in letters.items() if len(symbols) == 1}


def _line(shape: tuple[int, ...], bits: int, shards: int, count: int, symbols: Mapping[int, str]) -> Line:
    return Line(tuple(_dimension(size, symbols) for size in shape if size != 1), bits, count, shards)


def _dimension(size: int, symbols: Mapping[int, str]) -> Dimension:
    symbol = size.symbol if isinstance(size, Dim) else symbols.get(size, str(size))
    return Dimension(symbol, int(size))


def _rounding(counts: Counter[Key], phases: frozenset[Phase]) -> Term:
    lost = sum((rounded(key.bytes) - key.bytes) * count for key, count in counts.items())
    line = Line((Dimension("padding", lost),), 8)
    return Term(
        "rounding to 512 B blocks", "runtime", (line,), phases, at_peak=True, citation=_CITATIONS["runtime"]
    )


def worst_phase(phases: Mapping[Phase, Peak]) -> Phase:
    """Return the phase with the largest peak; the earlier one if two are equal."""
    return max(phases, key=lambda name: phases[name].bytes)

"""The building blocks from which the optimizer files are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from vramlint.knowledge.optimizer import Implementation, Parameter, State, Temporary, Variant

States: TypeAlias = Callable[[Parameter, Variant], tuple[State, ...]]
Temporaries: TypeAlias = Callable[[Variant], Mapping[Implementation, Temporary]]

NOTHING = Temporary()

FAKE_RUN = "temporaries: fake-tensor run of torch 2.13.0"

# bitsandbytes 0.50.2, optim/optimizer.py: one absolute maximum per 256 elements; smaller tensors
# than 4096 elements keep 32-bit states; only buffers of 100,000 elements or more are paged.
_BLOCK = 256
_SMALLEST_8_BIT = 4096
_SMALLEST_PAGED = 100_000


def like(parameter: Parameter, *names: str, bits: int | None = None) -> tuple[State, ...]:
    """Return states of the parameter's shape, in its dtype unless `bits` says otherwise."""
    return tuple(State(name, parameter.shape, bits or parameter.bits) for name in names)


def scalars(*names: str) -> tuple[State, ...]:
    """Return fp32 scalars on the GPU."""
    return tuple(State(name, (), 32) for name in names)


def step_counts(variant: Variant, *names: str) -> tuple[State, ...]:
    """Return torch's fp32 scalars: on the GPU when fused or capturable, else in host memory."""
    if variant.fused or variant.capturable:
        return scalars(*names)
    return tuple(State(name, (), 32, "cpu") for name in names)


def factored(parameter: Parameter, name: str, *, bits: int | None = None) -> tuple[State, ...]:
    """Return a second moment kept as its row and column means; one full tensor for a vector."""
    bits = bits or parameter.bits
    if len(parameter.shape) < 2:  # noqa: PLR2004  a vector has no rows
        return (State(name, parameter.shape, bits),)
    *batch, rows, columns = parameter.shape
    return (State(f"{name}_row", (*batch, rows), bits), State(f"{name}_col", (*batch, columns), bits))


def keeps(*names: str, bits: int | None = None) -> States:
    """Return the rule of an optimizer whose states all have the parameter's shape."""
    return lambda parameter, _: like(parameter, *names, bits=bits)


def keeps_with_step(*names: str) -> States:
    """Return the same rule with torch's `step` scalar."""
    return lambda parameter, variant: (*like(parameter, *names), *step_counts(variant, "step"))


def keeps_with_kahan(*names: str) -> States:
    """Return optimi's rule: 16-bit parameters get a Kahan compensation unless it is switched off."""

    def states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
        compensated = parameter.bits < 32 if variant.kahan_sum is None else variant.kahan_sum  # noqa: PLR2004
        return like(parameter, *names, *(("kahan_comp",) if compensated else ()))

    return states


def steps(
    *,
    foreach: Temporary | None = None,
    old_foreach: Temporary | None = None,
    for_loop: Temporary | None = None,
    fused: Temporary | None = None,
) -> Temporaries:
    """Return temporaries that no constructor argument changes, for the implementations that exist."""
    given: dict[Implementation, Temporary | None] = {
        "foreach": foreach,
        "old foreach": old_foreach,
        "for-loop": for_loop,
        "fused": fused,
    }
    table = {name: temporary for name, temporary in given.items() if temporary is not None}
    return lambda _: table


def blockwise(*names: str, copies: int = 1, bits: int = 8, paged: bool = False) -> States:
    """Return bitsandbytes' rule for states of 8 or 32 bits; `copies` of the first state are stacked."""

    def states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
        stacked = [(name, copies if index == 0 else 1) for index, name in enumerate(names)]
        is_small = parameter.elements < _SMALLEST_8_BIT
        keeps_32 = parameter.is_embedding and variant.embeddings_in_32_bit
        item = 32 if (variant.optim_bits or bits) == 32 or is_small or keeps_32 else 8  # noqa: PLR2004
        where = _place(parameter, is_paged=paged or variant.paged)
        shapes = {
            name: (count, *parameter.shape) if count > 1 else parameter.shape for name, count in stacked
        }
        codes = tuple(State(name, shapes[name], item, where) for name, _ in stacked)
        return codes if item == 32 else (*codes, *_absolute_maxima(parameter, stacked))  # noqa: PLR2004

    return states


def _place(parameter: Parameter, *, is_paged: bool) -> Literal["gpu", "paged"]:
    return "paged" if is_paged and parameter.elements >= _SMALLEST_PAGED else "gpu"


def _absolute_maxima(parameter: Parameter, stacked: list[tuple[str, int]]) -> tuple[State, ...]:
    blocks = -(-parameter.elements // _BLOCK)
    return tuple(State(f"absmax of {name}", (count, blocks), 32) for name, count in stacked)


def low_bit(bits: int, block: int, codebook: int) -> States:
    """Return torchao's rule for AdamW: packed codes, a scale per block and a code book per state."""

    def states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
        if parameter.elements < _SMALLEST_8_BIT or parameter.elements % block:
            return like(parameter, "exp_avg", "exp_avg_sq")
        return tuple(part for name in ("exp_avg", "exp_avg_sq") for part in _packed(name, parameter))

    def _packed(name: str, parameter: Parameter) -> tuple[State, ...]:
        codes = State(f"{name} codes", parameter.shape, bits)
        scale = State(f"{name} scale", (parameter.elements // block,), 32)
        return (codes, scale, State(f"{name} qmap", (codebook,), 32)) if codebook else (codes, scale)

    return states


def low_rank(parameter: Parameter, rank: int | None, *names: str) -> tuple[State, ...]:
    """Return the states of a projected gradient: projector on the short side, moments on the long one.

    Without a rank (a parameter outside the target modules), and for vectors, plain moments.
    """
    if rank is None or len(parameter.shape) != 2:  # noqa: PLR2004  only matrices are projected
        return like(parameter, *names)
    short, long = sorted(parameter.shape)
    projector = State("ortho_matrix", (rank, short), parameter.bits)
    return (projector, *(State(name, (long, rank), parameter.bits) for name in names))


def low_rank_bytes(parameter: Parameter, rank: int | None) -> int:
    """Return the bytes of one projected gradient; of the gradient itself without a rank."""
    if rank is None or len(parameter.shape) != 2:  # noqa: PLR2004
        return parameter.bytes
    return max(parameter.shape) * rank * parameter.bits // 8


def projected_moments(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    """Return the states of an Adam whose moments are those of the projected gradient."""
    return low_rank(parameter, variant.rank, "exp_avg", "exp_avg_sq")


def projected_copies(variant: Variant, full: int) -> Temporary:
    """Return the temporaries of such a step: `full` copies of the parameter and three projected ones."""
    return Temporary(tensor=full, besides=lambda parameter: 3 * low_rank_bytes(parameter, variant.rank))


def upcast_bytes(parameter: Parameter) -> int:
    """Return the fp32 copies of gradient and parameter that a step makes for 16-bit parameters."""
    return 0 if parameter.bits >= 32 else 2 * 4 * parameter.elements  # noqa: PLR2004

"""A model of torch's caching allocator: what it reserves beyond what is allocated.

Facts from c10/cuda/CUDACachingAllocator.cpp and CUDAAllocatorConfig.h: a request is rounded up to 512 bytes and
served by the smallest free block of its stream that is large enough; what remains is split off if it is larger
than 1 MiB; where no block fits, a new segment is taken, of 20 MiB for requests under 10 MiB, else of the request
rounded up to 2 MiB. Free neighbours in a segment are joined. Requests of up to 1 MiB have segments of their own,
which add little and are left out.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vramlint.memory.arena import Arena, Key

_MIB = 2**20
_SMALL = _MIB
_MIDDLE, _MIDDLE_SEGMENT = 10 * _MIB, 20 * _MIB
_SEGMENT_STEP = 2 * _MIB

# What is replayed: two further copies of a stack's layer stand for all, and blocks under this share of the peak
# are left out. Against every copy and block the median error on published measurements grows by a point.
_COPIES = 2
_SMALLEST_SHARE = 1000

# FSDP gathers weights and scatters gradients on streams of their own (fsdp/_runtime_utils.py, _init_streams).
_OWN_STREAM = frozenset({"gathered weight", "gathered gradient"})


class _Block:
    """A stretch of a segment, with its neighbours in it."""

    __slots__ = ("address", "after", "before", "free", "pool", "size")

    def __init__(self, address: int, size: int, pool: list[tuple[int, int, _Block]]) -> None:
        self.address = address
        self.size = size
        self.pool = pool
        self.free = False
        self.before: _Block | None = None
        self.after: _Block | None = None


class Allocator:
    """Segments and their blocks; `reserved` and `allocated` are bytes, the peaks their largest so far."""

    def __init__(self) -> None:
        self.reserved = self.allocated = 0
        self.reserved_peak = self.allocated_peak = 0
        self._pools: dict[bool, list[tuple[int, int, _Block]]] = {False: [], True: []}
        self._segments = 0

    def allocate(self, size: int, *, own_stream: bool) -> _Block:
        """Return a block of at least `size` bytes."""
        pool = self._pools[own_stream]
        index = bisect_left(pool, (size,))
        block = pool.pop(index)[2] if index < len(pool) else self._segment(size, pool)
        if block.size - size > _SMALL:
            self._split(block, size)
        block.free = False
        self.allocated += block.size
        self.allocated_peak = max(self.allocated_peak, self.allocated)
        return block

    def release(self, block: _Block) -> None:
        """Take a block back, and join it with free neighbours."""
        self.allocated -= block.size
        after, before = block.after, block.before
        if after is not None and after.free:
            self._join(block, after)
        if before is not None and before.free:
            del before.pool[bisect_left(before.pool, (before.size, before.address))]
            self._absorb(before, block)
            block = before
        block.free = True
        insort(block.pool, (block.size, block.address, block))

    def _segment(self, size: int, pool: list[tuple[int, int, _Block]]) -> _Block:
        whole = _MIDDLE_SEGMENT if size < _MIDDLE else -(-size // _SEGMENT_STEP) * _SEGMENT_STEP
        self.reserved += whole
        self.reserved_peak = max(self.reserved_peak, self.reserved)
        self._segments += 1
        return _Block(self._segments << 48, whole, pool)

    def _split(self, block: _Block, size: int) -> None:
        rest = _Block(block.address + size, block.size - size, block.pool)
        rest.free, rest.before, rest.after = True, block, block.after
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        insort(block.pool, (rest.size, rest.address, rest))

    def _join(self, block: _Block, after: _Block) -> None:
        del after.pool[bisect_left(after.pool, (after.size, after.address))]
        self._absorb(block, after)

    def _absorb(self, block: _Block, after: _Block) -> None:
        block.size += after.size
        block.after = after.after
        if after.after is not None:
            after.after.before = block


def unused(arena: Arena, peak: int) -> int:
    """Return how many bytes the allocator reserves beyond the peak, as the walk's events show it."""
    allocator, smallest = Allocator(), max(_SMALL + 1, peak // _SMALLEST_SHARE)
    alive: dict[int, list[_Block]] = {}
    first, again = arena.events(_COPIES, smallest)
    _replay(allocator, alive, first)
    kept = {identity for identity, blocks in alive.items() if blocks}
    _replay(allocator, alive, (event for event in again if id(event[0]) not in kept))
    return allocator.reserved_peak - allocator.allocated_peak


def _replay(
    allocator: Allocator, alive: dict[int, list[_Block]], events: Iterable[tuple[Key, int, int]]
) -> None:
    for key, change, size in events:
        blocks = alive.setdefault(id(key), [])
        for _ in range(change):
            blocks.append(allocator.allocate(size, own_stream=key.kind in _OWN_STREAM))
        for _ in range(min(-change, len(blocks))):
            allocator.release(blocks.pop())

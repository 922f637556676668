"""The model of the caching allocator follows the rules of CUDACachingAllocator.cpp."""

from __future__ import annotations

from vramlint.memory.caching import Allocator

MIB = 2**20


def test_segments_are_larger_than_requests() -> None:
    """A request under 10 MiB takes a segment of 20 MiB, a larger one is rounded up to 2 MiB."""
    allocator = Allocator()
    allocator.allocate(3 * MIB, own_stream=False)
    assert 20 * MIB == allocator.reserved
    allocator.allocate(31 * MIB + 1, own_stream=False)
    assert (20 + 32) * MIB == allocator.reserved


def test_the_rest_of_a_segment_serves_the_next_request() -> None:
    """Six blocks of 3 MiB lie in one segment of 20 MiB."""
    allocator = Allocator()
    for _ in range(6):
        allocator.allocate(3 * MIB, own_stream=False)
    assert (20 * MIB, 18 * MIB) == (allocator.reserved, allocator.allocated)


def test_a_rest_of_at_most_one_mebibyte_stays_with_its_block() -> None:
    """A block of 31 MiB in a segment of 32 MiB is the whole segment."""
    allocator = Allocator()
    allocator.allocate(31 * MIB, own_stream=False)
    assert 32 * MIB == allocator.allocated


def test_free_neighbours_are_joined() -> None:
    """Two freed halves of a segment serve a request for the whole."""
    allocator = Allocator()
    whole = allocator.allocate(64 * MIB, own_stream=False)
    allocator.release(whole)
    halves = [allocator.allocate(32 * MIB, own_stream=False) for _ in range(2)]
    for half in halves:
        allocator.release(half)
    allocator.allocate(64 * MIB, own_stream=False)
    assert 64 * MIB == allocator.reserved


def test_a_block_that_stays_splits_a_segment_for_good() -> None:
    """A small block that took the place of a large one makes the next large request take a new segment."""
    allocator = Allocator()
    allocator.release(allocator.allocate(64 * MIB, own_stream=False))
    allocator.allocate(2 * MIB, own_stream=False)
    allocator.allocate(64 * MIB, own_stream=False)
    assert 128 * MIB == allocator.reserved
    assert 66 * MIB == allocator.allocated_peak


def test_streams_do_not_share_free_blocks() -> None:
    """What one stream has freed does not serve another."""
    allocator = Allocator()
    allocator.release(allocator.allocate(64 * MIB, own_stream=False))
    allocator.allocate(64 * MIB, own_stream=True)
    assert 128 * MIB == allocator.reserved

import gc

import pytest
import torch

from torchmomentum.ops import empty_cache
from torchmomentum.ops.cpu import pool as blocks

LIKE = torch.empty(0)
LARGE = 2**20  # elements


@pytest.fixture
def pool(monkeypatch):
    fresh = blocks._Pool()
    monkeypatch.setattr(blocks, "_POOL", fresh)
    return fresh


def test_a_block_is_used_again_once_every_view_of_it_is_gone(pool):
    first = blocks.empty(LIKE, 4, LARGE)
    view, place = first[1:], first.data_ptr()
    del first
    gc.collect()
    assert pool.held() == 0
    other = blocks.empty(LIKE, 4, LARGE)
    assert other.data_ptr() != place
    del view
    gc.collect()
    assert pool.held() == 4 * LARGE * 4
    assert blocks.empty(LIKE, 3, LARGE + 300_000).data_ptr() == place


def test_no_more_is_held_than_was_once_in_use(pool):
    for size in range(2, 9):
        array = blocks.empty(LIKE, size, LARGE)
        array.fill_(1.0)
        del array
        assert pool.held() <= size * LARGE * 4


def test_small_arrays_and_what_is_given_back(pool):
    blocks.empty(LIKE, 100)
    assert pool.held() == 0
    array = blocks.empty(LIKE, LARGE)
    del array
    assert empty_cache() == LARGE * 4
    assert empty_cache() == 0


def test_type_and_shape(pool):
    array = blocks.empty(torch.empty(0, dtype=torch.float64), 2, 3, LARGE)
    assert array.shape == (2, 3, LARGE)
    assert array.dtype == torch.float64
    array.zero_()
    assert (array == 0).all()


def test_steps_of_one_kind_take_no_new_memory(pool, monkeypatch):
    made = []
    new_block = blocks._new_block
    monkeypatch.setattr(blocks, "_new_block", lambda size: made.append(size) or new_block(size))
    for _ in range(5):
        kept = [blocks.empty(LIKE, rows, 1000) for rows in (410, 300, 2000)]
        del kept
    assert len(made) == 3


def test_what_is_taken_and_returned_is_recorded(pool):
    with blocks.memory_changes() as changes:
        large = blocks.empty(LIKE, LARGE)
        del large
        gc.collect()
        blocks.empty(LIKE, 3)  # small: PyTorch's own, which PyTorch sees
    assert [change for _, change in changes] == [4 * LARGE, -4 * LARGE]
    assert changes[0][0] <= changes[1][0]
    blocks.empty(LIKE, LARGE)
    assert len(changes) == 2  # no longer

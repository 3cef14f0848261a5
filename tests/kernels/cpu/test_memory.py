"""Memory of results: given out again when the last array on it is freed, and never before."""

import gc
import sys
import threading

import numpy as np
import pytest
from tinygrad_like.kernels.cpu.machine import memory

SHAPE = (memory.SMALLEST // 4 + 7,)


@pytest.fixture(autouse=True)
def _nothing_waits():
    memory.release()
    yield
    memory.release()


def address(array):
    return array.__array_interface__["data"][0]


def test_what_was_freed_is_given_out_again():
    a = memory.empty(SHAPE, np.float32)
    where = address(a)
    del a
    assert address(memory.empty(SHAPE, np.float32)) == where


def test_a_result_may_lie_on_a_block_up_to_twice_as_large():
    a = memory.empty((2, *SHAPE), np.float32)
    where = address(a)
    del a
    lasting = memory.empty(SHAPE, np.float32, lasting=True)
    too_small = memory.empty((SHAPE[0] - 1,), np.float32)
    b = memory.empty(SHAPE, np.float32)
    assert where not in (address(lasting), address(too_small))
    assert (address(b), b.shape) == (where, SHAPE)
    del b
    assert address(memory.empty((2, *SHAPE), np.float32)) == where


def test_a_view_keeps_its_memory():
    a = memory.empty(SHAPE, np.float32)
    where, view = address(a), a[3:].reshape(2, -1).T
    del a
    b = memory.empty(SHAPE, np.float32)
    assert address(b) != where
    b[:] = 1
    del view, b
    assert where in {address(memory.empty(SHAPE, np.float32)) for _ in range(1)} | {
        address(x) for x in [memory.empty(SHAPE, np.float32), memory.empty(SHAPE, np.float32)]
    }


def test_arrays_are_aligned_contiguous_and_writeable():
    for shape in ((3, 5), SHAPE, (0, 4), (2, 3, memory.SMALLEST)):
        for dtype in (np.float32, np.float64, np.int64):
            a = memory.empty(shape, dtype)
            assert (a.shape, a.dtype) == (shape, np.dtype(dtype))
            assert a.flags.c_contiguous
            assert a.flags.writeable
            if a.nbytes >= memory.SMALLEST:
                assert address(a) % memory.LINE == 0


def test_what_waits_has_a_limit(monkeypatch):
    monkeypatch.setattr(memory, "MOST_WAITING", 3 * memory.SMALLEST)
    arrays = [memory.empty((memory.SMALLEST + k,), np.uint8) for k in range(10)]
    arrays.clear()
    memory._collect()
    assert 0 < memory.waiting_bytes() <= 3 * memory.SMALLEST
    assert sum(len(blocks) for blocks in memory._waiting.values()) <= 3
    big = memory.empty((4 * memory.SMALLEST,), np.uint8)
    del big
    memory._collect()
    assert memory.waiting_bytes() <= 3 * memory.SMALLEST


@pytest.mark.parametrize("size", [memory.SMALLEST, 1 << 20, (3 << 20) + 5, 32 << 20, 200 << 20])
def test_what_comes_back_has_a_limit_although_nothing_is_asked_for(size):
    """As much of one size as of many; what was freed last is kept."""
    arrays = [memory.empty((size,), np.uint8) for _ in range(2 * memory.MOST_WAITING // size + 1)]
    last = address(arrays[-1])
    while arrays:
        del arrays[0]
    returned = [block.size for block in memory._returned if block is not None]
    most = memory.MOST_WAITING * min(1, size / memory.UNIT)  # a smaller block counts as a unit
    assert most - size <= sum(returned) <= memory.MOST_WAITING + size
    assert address(memory.empty((size,), np.uint8)) == last


def test_all_sizes_together_have_a_limit():
    for _ in range(3):
        arrays = [memory.empty((1 << k,), np.uint8) for k in range(18, 28)]
        arrays += [memory.empty(((1 << k) - 99,), np.uint8) for k in range(18, 28)]
        arrays.clear()
    returned = sum(block.size for block in memory._returned if block is not None)
    assert returned + memory.waiting_bytes() <= 2 * memory.MOST_WAITING + (1 << 27)


def test_the_oldest_block_of_a_size_goes_first(monkeypatch):
    size = memory.SMALLEST
    arrays = [memory.empty((size,), np.uint8) for _ in range(4)]
    where = [address(a) for a in arrays]
    while arrays:
        del arrays[0]
    monkeypatch.setattr(memory, "MOST_WAITING", 2 * size)
    memory._collect()
    assert [address(block) for block in memory._waiting[size]] == where[2:]


def test_a_base_that_is_held_keeps_its_memory():
    a = memory.empty(SHAPE, np.float32)
    where, base = address(a), a.base
    assert base.is_loan
    del a
    assert address(memory.empty(SHAPE, np.float32)) != where
    del base
    assert where in {address(x) for x in [memory.empty(SHAPE, np.float32) for _ in range(2)]}


def test_what_threads_failed_to_count_is_counted_in_the_end(monkeypatch):
    monkeypatch.setattr(memory, "MOST_WAITING", 2 * memory.SMALLEST)
    arrays = [memory.empty((memory.SMALLEST + k,), np.uint8) for k in range(9)]
    arrays.clear()
    memory._about_waiting = -(1 << 30)  # as after many lost additions
    for _ in range(memory.RECOUNT):
        memory._collect()
    assert memory.waiting_bytes() <= memory.MOST_WAITING


def test_arrays_that_are_freed_in_cycles_and_in_threads_come_back():
    def work():
        for _ in range(200):
            a = memory.empty(SHAPE, np.float32)
            a[:] = threading.get_ident() % 1000
            assert (a == threading.get_ident() % 1000).all()
            cycle = [a]
            cycle.append(cycle)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    gc.collect()
    memory._collect()
    size = SHAPE[0] * 4
    assert memory.waiting_bytes() == size * len(memory._waiting[size])
    assert len({address(block) for block in memory._waiting[size]}) == len(memory._waiting[size])


def test_freeing_an_array_runs_no_python_code():
    """A signal handler that raises must never meet library code whose exceptions are dropped."""
    seen = []
    a = memory.empty(SHAPE, np.float32)
    memory.empty(SHAPE, np.float32)  # loads what is loaded once
    sys.setprofile(lambda frame, event, _: seen.append((event, frame.f_code.co_name)))
    del a
    sys.setprofile(None)
    assert [name for event, name in seen if event == "call"] == []

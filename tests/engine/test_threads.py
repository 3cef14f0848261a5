"""Backward passes in several threads at once, into leaves that they share."""

import sys
import threading

import numpy as np
import pytest

import tinygrad_like as tg

THREADS, PASSES = 8, 150


@pytest.fixture(autouse=True)
def _threads_alternate_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(work):
    errors = []

    def run():
        try:
            for _ in range(PASSES):
                work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_no_gradient_of_a_shared_leaf_is_lost():
    w, b = tg.ones((40, 50), requires_grad=True), tg.zeros(50, requires_grad=True)
    x = np.ones((3, 40), np.float32)
    in_threads(lambda: (tg.Tensor(x) @ w + b).sum().backward())
    assert (w.grad.numpy() == 3 * THREADS * PASSES).all()
    assert (b.grad.numpy() == 3 * THREADS * PASSES).all()


def test_retained_gradients_and_hooks_see_every_pass():
    w = tg.ones(20, requires_grad=True)
    seen = []
    w.register_hook(lambda g: seen.append(float(g.numpy()[0])))
    w.retain_grad()
    in_threads(lambda: (w * 2).sum().backward())
    assert (w.grad.numpy() == 2 * THREADS * PASSES).all()
    assert seen == [2.0] * (THREADS * PASSES)

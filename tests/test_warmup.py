"""tg.warmup: it runs in both dtypes, and random numbers are as if nothing had happened."""

import numpy as np
import pytest
from tinygrad_like.kernels.cpu.products import linalg
from tinygrad_like.kernels.cpu.reduce import kernels as reduce

import tinygrad_like as tg
from tinygrad_like import backend


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_kernels_are_called_and_the_random_stream_stays(dtype, monkeypatch):
    called = set()

    def spy(name, kernel):
        def call(*args):
            dtypes = {a.dtype for a in args if getattr(a, "dtype", np.dtype(bool)).kind == "f"}
            assert dtypes <= {np.dtype(dtype)}, f"{name} got {dtypes}"
            called.add(args[0] if name == "planner" else name)
            return kernel(*args)

        return call

    for name in ("matmul", "linear", "attention_backward", "lstm_backward", "gru", "planner"):
        monkeypatch.setattr(backend.CPU.k, name, spy(name, getattr(backend.CPU.k, name)))
    tg.seed(5)
    state = tg.get_rng_state()
    tg.warmup(dtype)
    assert tg.get_rng_state() == state
    optimizers = {"adam_", "sgd_"}
    assert called == {"matmul", "linear", "attention_backward", "lstm_backward", "gru"} | optimizers


def test_some_kinds_do_without_the_others(monkeypatch):
    def not_called(*_):
        raise AssertionError("compiled for what nobody asked for")

    for name in ("conv2d", "gru", "lstm"):
        monkeypatch.setattr(backend.CPU.k, name, not_called)
    tg.warmup(kinds=["language", "rows"])
    for kinds in (["images", "text"], "rows"):
        with pytest.raises(ValueError, match=r"^\[warmup\] kinds is .*, expected some of"):
            tg.warmup(kinds=kinds)


def test_a_layer_of_many_rows_is_compiled_for():
    kernels = linalg._narrow, reduce._sum_rows, reduce._sum_runs, reduce._power_runs
    tg.warmup()
    known = [len(kernel.signatures) for kernel in kernels]
    layer = tg.nn.Dense(3, 1)
    layer(tg.Tensor(np.ones((500, 3), np.float32))).sum().backward()
    shift = tg.Tensor(np.ones(40, np.float32), requires_grad=True)
    (tg.Tensor(np.ones((50, 40), np.float32)) + shift).sum().backward()
    tg.optim.clip_grad_norm([*layer.parameters(), shift], 1.0)
    assert [len(kernel.signatures) for kernel in kernels] == known

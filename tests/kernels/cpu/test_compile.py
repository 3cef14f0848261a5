"""What is compiled, and kernels whose machine code cannot be kept on the disk."""

import errno
import os
import sys
import tempfile
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from tinygrad_like.kernels.cpu.machine import compile as compiling

import tinygrad_like as tg
from tinygrad_like.engine import leaf


def plus_one(x):
    return x + 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_full_disk_is_no_error_but_others_are(number, monkeypatch, tmp_path):
    def fail(*_):
        raise OSError(number, "what the system says")

    monkeypatch.setattr(compiling, "_CACHE", str(tmp_path))
    monkeypatch.setattr(numba.core.caching.FunctionCache, "save_overload", fail)
    kernel = compiling.jit(plus_one)
    if number in (errno.ENOSPC, errno.EDQUOT):
        assert kernel(1) == 2
    else:
        with pytest.raises(OSError, match="what the system says"):
            kernel(1)


def test_a_numba_without_the_undocumented_part(monkeypatch):
    """With NUMBA_DISABLE_JIT, too, `njit` returns the function that it is given."""
    monkeypatch.setattr(numba, "njit", lambda **_: lambda function: function)
    assert compiling.jit(plus_one)(1) == 2


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has a folder for each user")
def test_code_is_loaded_from_no_folder_that_others_can_write(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = compiling._private_folder("kernels")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert compiling._private_folder("kernels") == folder
    folder.chmod(0o777)
    other = compiling._private_folder("kernels")
    assert other != folder
    assert other.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has a folder for each user")
@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_others_put_in_the_place_of_the_folder_is_left_alone(make, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make(tmp_path / f"kernels-{os.getuid()}")
    assert compiling._private_folder("kernels").stat().st_mode & 0o077 == 0


def compiled():
    """{(file, kernel): for how many types of arguments it is compiled}."""
    return {
        (file, name): len(value.signatures)
        for file, module in list(sys.modules.items())
        if file.startswith("tinygrad_like.kernels.cpu")
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }


def read_only(x):
    x.flags.writeable = False
    return x


CALLS = {
    "matmul": (tg.matmul, (40, 50), (50, 60)),
    "conv2d": (tg.conv2d, (2, 3, 16, 16), (4, 3, 3, 3)),
    "layer_norm": (tg.layer_norm, (40, 50), (50,), (50,)),
    "softmax": (tg.softmax, (40, 50)),
    "cross_entropy": (lambda x: tg.losses.cross_entropy(x, np.arange(40)), (40, 50)),
    "attention": (tg.scaled_dot_product_attention, *[(2, 2, 20, 8)] * 3),
    "rnn": (lambda *xs: tg.rnn(*xs)[0], (3, 4, 5), (5, 6), (6, 6), (6,)),
    "max_pool2d": (lambda x: tg.max_pool2d(x, 2), (2, 3, 16, 16)),
    "gelu": (tg.gelu, (200, 300)),
    "sum": (lambda x: tg.sum(x, axis=0), (200, 300)),
}


@pytest.mark.long
@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_compiled_once_more_for_arrays_that_must_not_be_written(name):
    call, *shapes = CALLS[name]

    def run(view):
        arrays = [np.random.default_rng(0).standard_normal(s).astype(np.float32) for s in shapes]
        out = call(*[leaf(view(a)) for a in arrays])
        out.backward(tg.Tensor(np.ones(out.shape, np.float32)))

    run(np.array)
    before = compiled()
    run(read_only)
    assert compiled() == before

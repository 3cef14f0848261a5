"""Kernels whose machine code cannot be kept on the disk."""

import errno

import numba
import pytest
from tinygrad_like.kernels.cpu import compile as compiling


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
    """As with NUMBA_DISABLE_JIT, which leaves a function as it is."""
    monkeypatch.setattr(numba, "njit", lambda **_: lambda function: function)
    assert compiling.jit(plus_one)(1) == 2

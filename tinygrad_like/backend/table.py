"""Tables of kernels: a target's kernels by name, loaded at their first use."""

import threading

_loading = threading.RLock()


class Kernels:
    """The kernels of the module that `load` returns at first use.

    A kernel whose attribute `any_layout` is true gets its arrays unchanged; the others get
    C-contiguous arrays, as their contract asks.
    """

    def __init__(self, load, xp, array_type):
        self._load, self._xp, self._array_type = load, xp, array_type

    def __getattr__(self, name):
        """Load all kernels when the first one is asked for, since importing numba is slow."""
        with _loading:
            load = vars(self).get("_load")
            if load is not None:
                self._fill(load().KERNELS)
                del self._load  # only now: Ctrl-C may come while numba is loaded
        if name not in vars(self):
            raise AttributeError(f"there is no kernel {name!r}")
        return vars(self)[name]

    def _fill(self, kernels):
        for name, kernel in kernels.items():
            ready = kernel if kernel.any_layout else _contiguous(kernel, self._array_type, self._xp)
            setattr(self, name, ready)
        self.__class__ = _Loaded  # type: ignore[assignment]


class _Loaded:
    """The kernels once they are there: Python finds attributes faster without `__getattr__`."""


def _contiguous(kernel, array_type, xp):
    """A kernel that gets its arrays C-contiguous."""

    def ready(a):
        return a if type(a) is not array_type or a.flags.c_contiguous else xp.ascontiguousarray(a)

    return lambda *args: kernel(*map(ready, args))

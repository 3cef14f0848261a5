"""Tables of kernels: a target's kernels by name, loaded at their first use."""

import threading
from operator import attrgetter

from tinygrad_like.kernels import reference

_loading = threading.RLock()


class Kernels:
    """The kernels of the module that `load` returns at first use.

    They are given C-contiguous arrays as their contract asks (a module that asks for more says so
    in `_ready`, the flag of such an array, and `_made_ready`, which makes one); those that work in
    place (`adam_`) and those that take strides get their arrays as they are.
    """

    def __init__(self, load, xp, array_type):
        self._load, self._xp, self._array_type = load, xp, array_type

    def __getattr__(self, name):
        """The first kernel that is asked for brings them all: numba takes its time to load."""
        with _loading:
            load = vars(self).get("_load")
            if load is not None:
                self._fill(vars(load()))
                del self._load  # only now: Ctrl-C may come while numba is loaded
        if name not in vars(self):
            raise AttributeError(f"there is no kernel {name!r}")
        return vars(self)[name]

    def _fill(self, module):
        ready = attrgetter(f"flags.{module.get('_ready', 'c_contiguous')}")
        make_ready = module.get("_made_ready", self._xp.ascontiguousarray)
        for name, kernel in module.items():
            if callable(kernel) and not name.startswith("_"):
                as_is = name.endswith("_") or name in reference.TAKES_STRIDES
                wrapped = kernel if as_is else _given(kernel, self._array_type, ready, make_ready)
                setattr(self, name, wrapped)


def _given(kernel, array_type, ready, make_ready):
    """A kernel that is given its arrays as it needs them."""

    def call(*args):
        for a in args:
            if type(a) is array_type and not ready(a):
                break
        else:
            return kernel(*args)
        return kernel(*(make_ready(a) if type(a) is array_type else a for a in args))

    return call

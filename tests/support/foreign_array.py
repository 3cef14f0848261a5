"""An array that is no ndarray: kernels meet it through NumPy's dispatch alone, as CuPy's."""

import numpy as np


class Foreign(np.lib.mixins.NDArrayOperatorsMixin):
    """An array as CuPy's are: reached by NumPy's protocols alone, never silently a NumPy array."""

    def __init__(self, array):
        self.array = array

    shape = property(lambda self: self.array.shape)
    size = property(lambda self: self.array.size)
    dtype = property(lambda self: self.array.dtype)
    real = property(lambda self: Foreign(self.array.real))

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion to NumPy")

    def __len__(self):
        return len(self.array)

    def __int__(self):
        return int(self.array)

    def __bool__(self):
        return bool(self.array)

    def __getitem__(self, key):
        return Foreign(self.array[native(key)])

    def __setitem__(self, key, value):
        self.array[native(key)] = native(value)

    def __matmul__(self, other):
        return Foreign(self.array @ other.array)

    def __getattr__(self, name):
        if name not in ("reshape", "astype", "swapaxes", "max"):
            raise AttributeError(name)
        return lambda *args, **kwargs: Foreign(getattr(self.array, name)(*args, **kwargs))

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        if method != "__call__" or ufunc.signature is not None:
            return NotImplemented
        result = ufunc(*native(inputs), **({"out": native(out)} if out else {}), **kwargs)
        return out[0] if out else Foreign(result)

    def __array_function__(self, func, types, args, kwargs):
        options = {name: native(x) for name, x in kwargs.items()}
        return Foreign(func(*native(list(args)), **options))


def native(x):
    """Foreign arrays unwrapped, in tuples and lists too; a NumPy array among them is an error."""
    if isinstance(x, (tuple, list)):
        return type(x)(native(item) for item in x)
    assert not isinstance(x, np.ndarray), "a NumPy array met a foreign one"
    return x.array if isinstance(x, Foreign) else x

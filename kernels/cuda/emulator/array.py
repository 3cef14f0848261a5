"""The arrays of the emulated device: NumPy arrays that are as strict as CuPy's.

A DeviceArray mixes with Python and NumPy scalars, never with NumPy arrays, and becomes a NumPy
array only through `xp.asnumpy`. Every reduction and every element is an array again. NumPy's
functions reach it by the same protocols as CuPy's arrays, which have no ufunc methods. New memory
is not zero: every bit of what `empty` returns is set, which is NaN in a float.
"""

import types

import numpy as np

SCALARS = (bool, int, float, complex, np.generic, str, type(None), type(Ellipsis), slice, type)


class DeviceArray:
    """An array of the emulated device."""

    __slots__ = ("__weakref__", "_address", "_array")

    def __init__(self, array):
        self._array, self._address = array, None

    @property
    def address(self):
        """The address of its first element, kept because NumPy takes a while to find it."""
        if self._address is None:
            self._address = self._array.ctypes.data
        return self._address

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion of a DeviceArray to a NumPy array is not allowed")

    def __float__(self):
        raise TypeError("implicit conversion of a DeviceArray to a float")

    __complex__ = __float__

    def __int__(self):
        return int(self._array)

    __index__ = __int__

    def __bool__(self):
        return bool(self._array)

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        index = unwrapped(index)
        found = self._array[index]
        if isinstance(found, np.generic):  # CuPy has a view of one element here
            found = self._array[(*index, ...) if isinstance(index, tuple) else (index, ...)]
        return wrapped(found)

    def __setitem__(self, index, value):
        if isinstance(value, np.ndarray):
            raise TypeError("a NumPy array is written into a DeviceArray")
        self._array[unwrapped(index)] = unwrapped(value)

    def item(self, *args):
        """One element as a Python scalar."""
        return self._array.item(*args)

    def tolist(self):
        """The elements as nested lists of Python scalars."""
        return self._array.tolist()

    def __getattr__(self, name):
        if name.startswith("__") or name in ("ctypes", "data", "tobytes", "tofile"):
            raise AttributeError(name)
        value = getattr(self._array, name)
        return device_function(value) if callable(value) else wrapped(value)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if method != "__call__":
            raise TypeError(f"{ufunc.__name__}.{method} does not dispatch to DeviceArrays")
        if out is None:
            return device_function(ufunc)(*inputs, **options)
        ufunc(*map(unwrapped, inputs), out=tuple(o._array for o in out), **options)
        return out[0]

    def __array_function__(self, function, types_, args, options):
        if function is np.empty_like:
            function = _poisoned(np.empty_like)
        return device_function(function)(*args, **options)


def _operator(name):
    ufunc_method = getattr(np.ndarray, name)

    def method(self, *others):
        if any(not isinstance(o, (DeviceArray, *SCALARS)) for o in others):
            if any(isinstance(o, np.ndarray) for o in others):
                raise TypeError(f"{name} of a DeviceArray and a NumPy array")
            return NotImplemented
        found = ufunc_method(self._array, *(unwrapped(o) for o in others))
        if name.startswith("__i") and name != "__invert__":
            return self
        return found if found is NotImplemented else wrapped(found)

    return method


for _name in (
    "add sub mul truediv floordiv mod pow matmul and or xor radd rsub rmul rtruediv rfloordiv rmod "
    "rpow rmatmul rand ror rxor lshift rshift iadd isub imul itruediv ifloordiv imod ipow iand "
    "ior ixor neg pos abs invert lt le gt ge eq ne"
).split():
    setattr(DeviceArray, f"__{_name}__", _operator(f"__{_name}__"))
DeviceArray.__hash__ = None


def unwrapped(x):
    """The NumPy arrays inside x. Raises TypeError if x is or has a NumPy array itself."""
    if isinstance(x, DeviceArray):
        return x._array
    if isinstance(x, np.ndarray):
        raise TypeError(f"a NumPy array of shape {x.shape} meets DeviceArrays")
    if isinstance(x, (list, tuple)):
        return type(x)(unwrapped(v) for v in x)
    return x


def wrapped(x):
    """A result of NumPy, in which every array and every element of one becomes a DeviceArray."""
    if isinstance(x, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(x))
    if isinstance(x, tuple) and any(isinstance(v, (np.ndarray, np.generic)) for v in x):
        return type(x)(*map(wrapped, x)) if hasattr(x, "_fields") else tuple(map(wrapped, x))
    if isinstance(x, list) and any(isinstance(v, np.ndarray) for v in x):
        return [wrapped(v) for v in x]
    return x


def device_function(function):
    """A NumPy function or method, made to take and return DeviceArrays."""

    def call(*args, **options):
        options = {k: unwrapped(v) for k, v in options.items()}
        return wrapped(function(*(unwrapped(a) for a in args), **options))

    return call


def _poisoned(make):
    """`np.empty` or `np.empty_like`, with memory of NaN: it shows if it is read before written."""

    def call(*args, **options):
        array = make(*args, **options)
        array.reshape(-1).view(np.uint8)[:] = 0xFF
        return array

    return call


class _Module(types.ModuleType):
    """The array module: NumPy's names, for DeviceArrays."""

    def __init__(self, module):
        super().__init__("emulated")
        self._module = module

    def __getattr__(self, name):
        value = getattr(self._module, name)
        if isinstance(value, types.ModuleType):
            return _Module(value)
        if isinstance(value, np.ufunc):
            return _Ufunc(value)
        if isinstance(value, type) or not callable(value):
            return _Grid(value) if name in ("ogrid", "mgrid") else value
        return device_function(value)


class _Ufunc:
    def __init__(self, ufunc):
        self._ufunc = ufunc

    def __call__(self, *args, **options):
        return device_function(self._ufunc)(*args, **options)

    def at(self, array, index, values=None):
        self._ufunc.at(array._array, unwrapped(index), unwrapped(values))


class _Grid:
    def __init__(self, grid):
        self._grid = grid

    def __getitem__(self, index):
        return wrapped(self._grid[index])


xp = _Module(np)
xp.ndarray = DeviceArray
xp.asnumpy = lambda array: array._array.copy()


def _to_device(array, dtype=None, copy=None, order=None):
    """As cupy.asarray and cupy.array: the one place where a NumPy array may enter, as a copy."""
    raw = array._array if isinstance(array, DeviceArray) else array
    if isinstance(array, DeviceArray) and not copy and dtype is None:
        return array
    return DeviceArray(np.array(raw, dtype=dtype, order=order))


xp.empty = device_function(_poisoned(np.empty))
xp.empty_like = device_function(_poisoned(np.empty_like))
xp.asarray = _to_device
xp.array = lambda array, dtype=None, order=None: _to_device(array, dtype, True, order)

"""The checked launcher: from a `.cu` file and arrays to a launch, on a GPU or in the emulator.

    SOURCE = Source("softmax.cu")
    SOURCE.kernel("softmax", x.dtype)(grid, block, y, x, columns)

The kernel's C signature is parsed, and every argument is checked against it before each launch:
kind of array, dtype, contiguity, device, alignment, the range of integers, the limits of the grid.
Python numbers travel as exactly the C type of their parameter.
"""

import ctypes
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .dtypes import DTYPES, FLOATS, ITEMSIZES, SCALARS, dtype_name
from .signature import LaunchError, parse_signatures, spliced

FAMILIES = Path(__file__).parents[1]  # where the families' `.cu` files lie
MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)
MAX_THREADS = 1024
# KiB of shared memory that a block can have, by compute capability ("Technical specifications" in
# the CUDA programming guide). For others it is what every GPU has: 99 from 8.0 on, 48 before.
SHARED_KIB = {
    70: 96,
    75: 64,
    80: 163,
    86: 99,
    87: 163,
    89: 99,
    90: 227,
    100: 227,
    103: 227,
    120: 99,
}

_INTEGERS = {
    "bool": ctypes.c_bool,
    "unsigned char": ctypes.c_uint8,
    "int": ctypes.c_int32,
    "unsigned": ctypes.c_uint32,
    "long long": ctypes.c_int64,
    "unsigned long long": ctypes.c_uint64,
}
_REALS = {"float": ctypes.c_float, "double": ctypes.c_double}


class TensorView(NamedTuple):
    """An array as tensor copies (TMA) see it: three axes, the innermost first, and a box of it."""

    array: object
    sizes: tuple  # elements along each axis
    steps: tuple  # elements from one index to the next; that of the innermost axis is 1
    box: tuple  # elements that are copied at a time, along each axis

    def problem(self):
        """Why the hardware has no tensor map for it; None if it has one."""
        start, dtype, contiguous, _ = _target_of("TensorView", (self.array,)).raw(self.array)
        itemsize = ITEMSIZES[dtype_name(dtype)]
        if not contiguous:
            return f"an array of shape {self.array.shape} is a strided view; copy it"
        if start % 16 or any(step * itemsize % 16 for step in self.steps[1:]):
            return "a tensor copy needs rows that begin at multiples of 16 bytes; copy it"
        if self.steps[0] != 1 or self.box[0] * itemsize != 128:
            return f"a row of a box is {self.box[0]} elements, expected 128 bytes of neighbours"
        if max(self.box) > 256 or min(self.box) < 1:
            return f"a box of {self.box} elements, at most 256 along an axis"
        if max(self.sizes) > 2**32 or min(self.sizes) < 1:
            return f"sizes {self.sizes}, expected 1 to 2**32"
        return None


SOURCES = {}  # every Source of the families by the name of its file


class Source:
    """A `.cu` file of a family, by its name, or any other at an absolute path.

    With `text` there is no such file: the text was written by a program (fused.py).

    It is compiled for a dtype and defines when a kernel of it is first launched.

    `variants` are all the sets of defines that it may be compiled with; the tests compile each for
    each architecture. Those `for_singles` are not for float64, and those `for_halves` not for
    float32 either. `architecture` is the only one that the file is for, as "sm_90a"; None: any.
    """

    def __init__(
        self,
        file,
        dtypes=FLOATS,
        variants=({},),
        for_singles=(),
        for_halves=(),
        architecture=None,
        text=None,
    ):
        self.architecture, self._text = architecture, text
        self.path = FAMILIES / file
        self.dtypes, self.variants = tuple(dtypes), (*variants, *for_singles, *for_halves)
        self._widest = (8, variants), (4, for_singles), (2, for_halves)  # itemsizes
        self._kernels = {}
        if self.path.parent == FAMILIES:
            SOURCES[file] = self

    def __repr__(self):
        return f"Source({self.path.name!r})"

    def kernel(self, name, dtype, **defines):
        """The kernel `name` for arrays of `dtype`; the defines must be one of `variants`."""
        key = (name, dtype, *defines.items())
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels[key] = self._make(name, dtype, defines)
        return found

    def _make(self, name, dtype, defines):
        scalar = dtype_name(dtype)
        if scalar not in self.dtypes:
            raise LaunchError(
                f"[{name}] no kernel for {scalar}, {self.path.name} is compiled for "
                f"{', '.join(self.dtypes)}"
            )
        if defines not in self.variants_for(scalar):
            raise LaunchError(f"[{name}] {defines} is none of the variants of {self.path.name}")
        if name not in self.signatures:
            raise LaunchError(
                f"[{name}] no such kernel in {self.path.name}, which has "
                f"{', '.join(self.signatures)}"
            )
        return Kernel(self, name, Build(self, scalar, tuple(sorted(defines.items()))))

    def variants_for(self, scalar):
        """The variants that there are for a dtype."""
        size = ITEMSIZES[scalar]
        return [v for widest, several in self._widest if size <= widest for v in several]

    @functools.cached_property
    def text(self):
        """The whole text, headers of ours spliced in: what is compiled, and what caches hash."""
        return spliced(self.path, set(), self._text)

    @functools.cached_property
    def signatures(self):
        """{kernel: [Parameter, ...]}, in the order of the file."""
        return parse_signatures(self.text, self.path.name)


class Build(NamedTuple):
    """A source, the dtype and the defines that it is compiled for."""

    source: Source
    scalar: str
    defines: tuple

    @property
    def options(self):
        """The compiler's -D options, the same for nvcc, NVRTC and g++."""
        return [f"-DSCALAR={SCALARS[self.scalar]}", *(f"-D{k}={v}" for k, v in self.defines)]

    @property
    def label(self):
        """How tables and messages name the build: "attention float32 HEAD=64"."""
        defines = [f"{k}={v}" for k, v in self.defines]
        return " ".join([self.source.path.stem, self.scalar, *defines])


def builds(source):
    """Every Build of a source."""
    return [
        Build(source, scalar, tuple(sorted(defines.items())))
        for scalar in source.dtypes
        for defines in source.variants_for(scalar)
    ]


class Kernel:
    """One kernel of one build. Call it to check all arguments and launch."""

    def __init__(self, source, name, build):
        self.name, self.build = name, build
        self.parameters = source.signatures[name]
        self._checks = [_check_of(p, name, build.scalar) for p in self.parameters]
        self._functions = {}

    def __repr__(self):
        return f"Kernel({self.name!r}, {self.build.label!r})"

    def __call__(self, grid, block, *args, shared=0):
        """Launch on `grid` blocks of `block` threads (ints or tuples), `shared` dynamic bytes.

        Raises LaunchError, before anything is launched, for an argument that does not fit the
        kernel's signature.
        """
        self.bound(grid, block, *args, shared=shared)()

    def bound(self, grid, block, *args, shared=0):
        """The launch as a function without arguments, which has been checked and compiled."""
        if len(args) != len(self._checks):
            raise LaunchError(
                f"[{self.name}] got {len(args)} arguments, expected {len(self._checks)}: "
                f"{', '.join(p.name for p in self.parameters)}"
            )
        grid, block = self._extent(grid, block)
        target = _target_of(self.name, args)
        if shared and not 0 < shared <= max_shared(target.capability()):
            raise LaunchError(
                f"[{self.name}] {shared} bytes of shared memory, at most "
                f"{max_shared(target.capability())} (compute capability {target.capability() / 10})"
            )
        values = [check(arg, target) for check, arg in zip(self._checks, args, strict=True)]
        function = self._functions.get(target)
        if function is None:
            function = self._functions[target] = target.load(self)
        return function(grid, block, values, shared)

    def _extent(self, grid, block):
        grid = (grid, 1, 1) if isinstance(grid, int) else (*grid, 1, 1)[:3]
        block = (block, 1, 1) if isinstance(block, int) else (*block, 1, 1)[:3]
        for what, extent, limits in (("grid", grid, MAX_GRID), ("block", block, MAX_BLOCK)):
            for n, limit in zip(extent, limits, strict=True):
                if not 1 <= n <= limit:
                    raise LaunchError(
                        f"[{self.name}] {what} {extent} is out of bounds: 1 to {limits}"
                        + (" (an empty array needs no launch)" if n == 0 else "")
                    )
        if block[0] * block[1] * block[2] > MAX_THREADS:
            raise LaunchError(f"[{self.name}] block {block} has more than {MAX_THREADS} threads")
        return grid, block


_TARGETS = {}


def add_target(target):
    """From now on, launch kernels on arrays of `target.array_type` through this target.

    A target has these attributes:
        raw(array): (address, dtype, whether C-contiguous, number of elements).
        problem: None, or a function of an array that says why it cannot be used now, or None.
        capability(): the compute capability of the device, 90 for 9.0.
        tensor_map(view): the C value of a TensorView.
        load(kernel): compiles it, and returns a function of (grid, block, arguments, shared) that
            returns the launch, a functools.partial. An argument is a pair: its C value, and for a
            pointer the array, to be kept alive.
        is_whole: whether a launch runs no Python, so that no handler of a signal interrupts it.
    """
    _TARGETS[target.array_type] = target


def _target_of(name, args):
    for arg in args:
        target = _TARGETS.get(type(arg))
        if target is not None:
            return target
        if type(arg).__module__.partition(".")[0] == "cupy":
            from .gpu import TARGET  # which imports CuPy

            add_target(TARGET)
            return TARGET
    kinds = sorted({type(a).__name__ for a in args})
    raise LaunchError(f"[{name}] no array of a CUDA device among the arguments: {', '.join(kinds)}")


def _check_of(parameter, kernel, scalar):
    """The function (argument, target) -> (C value, array or None) that checks one parameter."""
    ctype = parameter.type
    if ctype == "scalar_t":
        ctype = SCALARS[scalar]
    elif ctype == "acc_t":
        ctype = "double" if scalar == "float64" else "float"
    where = f"[{kernel}] {parameter.name}"
    if ctype == "TensorMap":
        return functools.partial(_check_tensor_map, where)
    if parameter.fields:
        return functools.partial(_check_struct, where, parameter.fields)
    if parameter.pointer:
        return functools.partial(_check_array, where, parameter, DTYPES[ctype])
    if ctype in _INTEGERS:
        return functools.partial(_check_integer, where, ctype, _INTEGERS[ctype])
    if ctype in _REALS:
        return functools.partial(_check_real, where, ctype, _REALS[ctype])
    raise LaunchError(f"{where}: a {ctype} cannot be passed by value; pass an acc_t")


def _check_array(where, parameter, dtype, arg, target):
    if arg is None and parameter.optional:
        return ctypes.c_void_p(0), None
    if type(arg) is target.array_type:  # as a rule all is well, which is quick to find out
        address, found, contiguous, size = target.raw(arg)
        aligned = parameter.alignment == 0 or address % parameter.alignment == 0
        here = target.problem is None or target.problem(arg) is None
        fits = dtype_name(found) == dtype and (size or parameter.may_be_empty)
        if contiguous and aligned and here and fits:
            return ctypes.c_void_p(address), arg
    _refuse_array(where, parameter, dtype, arg, target)


def _refuse_array(where, parameter, dtype, arg, target):
    """Raise LaunchError, which says what is wrong with an array."""
    if arg is None:
        raise LaunchError(f"{where} is None, expected an array of {dtype}")
    if type(arg) is not target.array_type:
        raise LaunchError(
            f"{where} is a {type(arg).__module__}.{type(arg).__name__}, expected a "
            f"{target.array_type.__name__} as the other arrays; copy it to the device"
        )
    problem = target.problem and target.problem(arg)
    if problem:
        raise LaunchError(f"{where} {problem}")
    address, found, contiguous, size = target.raw(arg)
    if dtype_name(found) != dtype:
        raise LaunchError(f"{where} has dtype {found}, expected {dtype}")
    if not contiguous:
        raise LaunchError(
            f"{where} of shape {arg.shape} is a strided view, expected C-contiguous memory; "
            "copy it with ascontiguousarray"
        )
    if size == 0:
        raise LaunchError(f"{where} of shape {arg.shape} is empty: there is nothing to launch")
    raise LaunchError(
        f"{where} starts {address % parameter.alignment} bytes beyond a multiple of "
        f"{parameter.alignment}, and is read {parameter.alignment} bytes at a time; copy it"
    )


def _check_integer(where, ctype, make, arg, target):
    if not isinstance(arg, (int, np.integer, np.bool_)):
        raise LaunchError(
            f"{where} is {arg!r} ({type(arg).__name__}), expected an integer ({ctype})"
        )
    value = make(arg)
    if value.value != arg:
        raise LaunchError(f"{where} is {arg}, which does not fit {ctype}")
    return value, None


def _check_struct(where, fields, arg, target):
    if not isinstance(arg, tuple) or len(arg) != len(fields):
        raise LaunchError(f"{where} is {arg!r}, expected a tuple of the integers {fields}")
    for name, value in zip(fields, arg, strict=True):
        _check_integer(f"{where}.{name}", "int", ctypes.c_int32, value, target)
    return (ctypes.c_int32 * len(fields))(*arg), None


def _check_tensor_map(where, arg, target):
    if not isinstance(arg, TensorView):
        raise LaunchError(f"{where} is {arg!r}, expected a TensorView")
    problem = arg.problem()
    if problem:
        raise LaunchError(f"{where}: {problem}")
    return target.tensor_map(arg), arg.array


def _check_real(where, ctype, make, arg, target):
    if isinstance(arg, (bool, np.bool_)) or not isinstance(arg, (int, float, np.floating)):
        raise LaunchError(f"{where} is {arg!r} ({type(arg).__name__}), expected a number ({ctype})")
    return make(arg), None


def is_whole(array):
    """Whether a launch on an array's device cannot be interrupted by the handler of a signal."""
    return _target_of("is_whole", (array,)).is_whole


def address(array):
    """The address of the first element of an array of a device."""
    return _target_of("address", (array,)).raw(array)[0]


def capability_of(array):
    """The compute capability of an array's device: 90 is 9.0."""
    return _target_of("capability_of", (array,)).capability()


@functools.cache
def max_shared(capability):
    """The bytes of shared memory that a block can have."""
    return 1024 * SHARED_KIB.get(capability, 99 if capability >= 80 else 48)

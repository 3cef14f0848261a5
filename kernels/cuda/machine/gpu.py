"""Launches on a GPU, through CuPy: what `launcher` calls for CuPy's arrays.

Kernels are compiled by NVRTC at their first launch, and kept on disk by CuPy, whose key is the
whole text, our headers spliced in. They run on the current stream of CuPy. CuPy compiles with
-ftz=true: subnormal float32 values become 0 on a GPU, though not in the emulator.
"""

import ctypes
import functools

import cupy
import numpy as np

from .dtypes import dtype_name
from .signature import LaunchError

STATIC_SHARED = 48 * 1024  # bytes: a block that wants more must ask for it
NUMPY_TYPES = {
    ctypes.c_bool: np.bool_,
    ctypes.c_uint8: np.uint8,
    ctypes.c_int32: np.int32,
    ctypes.c_uint32: np.uint32,
    ctypes.c_int64: np.int64,
    ctypes.c_uint64: np.uint64,
    ctypes.c_float: np.float32,
    ctypes.c_double: np.float64,
}
NULL = np.uintp(0)
# Constants of the driver's cuTensorMapEncodeTiled.
TENSOR_TYPES = {"float16": 6, "float32": 7, "bfloat16": 9}
NO_INTERLEAVE, SWIZZLE_128, PROMOTE_128, FILL_ZEROS = 0, 3, 2, 0


@functools.cache
def _capability(device):
    return int(cupy.cuda.Device(device).compute_capability)


@functools.cache
def _driver():
    return ctypes.CDLL("libcuda.so.1")


class _Target:
    """CuPy's arrays, for `launcher.add_target`."""

    array_type = cupy.ndarray
    is_whole = True  # CuPy's launch is compiled code

    def raw(self, array):
        return array.data.ptr, array.dtype, array.flags.c_contiguous, array.size

    def problem(self, array):
        current = cupy.cuda.runtime.getDevice()
        if array.device.id != current:
            return (
                f"is on GPU {array.device.id}, and kernels are launched on GPU {current}; use "
                f"with cupy.cuda.Device({array.device.id})"
            )
        return None

    def capability(self):
        return _capability(cupy.cuda.runtime.getDevice())

    def tensor_map(self, view):
        """The 128 bytes that the driver encodes. Raises LaunchError with its error code."""
        room = (ctypes.c_uint8 * 192)()
        start = -ctypes.addressof(room) % 64
        encoded = (ctypes.c_uint8 * 128).from_buffer(room, start)
        itemsize, rank = view.array.itemsize, len(view.sizes)
        strides = (ctypes.c_uint64 * (rank - 1))(*(step * itemsize for step in view.steps[1:]))
        failed = _driver().cuTensorMapEncodeTiled(
            *(ctypes.byref(encoded), TENSOR_TYPES[dtype_name(view.array.dtype)], rank),
            *(ctypes.c_void_p(view.array.data.ptr), (ctypes.c_uint64 * rank)(*view.sizes)),
            *(strides, (ctypes.c_uint32 * rank)(*view.box), (ctypes.c_uint32 * rank)(1, 1, 1)),
            *(NO_INTERLEAVE, SWIZZLE_128, PROMOTE_128, FILL_ZEROS),
        )
        if failed:
            raise LaunchError(f"[TensorView] the CUDA driver refuses {view}: error {failed}")
        return encoded

    def load(self, kernel):
        functions = {}  # by GPU: a compiled function belongs to one

        def bind(grid, block, arguments, shared):
            device = cupy.cuda.runtime.getDevice()
            function = functions.get(device)
            if function is None:
                function = functions[device] = _compiled(kernel)
            if shared > STATIC_SHARED and function.max_dynamic_shared_size_bytes < shared:
                function.max_dynamic_shared_size_bytes = shared
            values = tuple(map(_as_cupy, arguments))
            return functools.partial(function, grid, block, values, shared_mem=shared)

        return bind


TARGET = _Target()


def _compiled(kernel):
    """The function of a kernel on the current GPU. Raises LaunchError with the compiler's log."""
    try:
        return _module(kernel.build).get_function(kernel.name)
    except cupy.cuda.compiler.CompileException as error:
        raise LaunchError(
            f"[{kernel.name}] {kernel.build.label} does not compile: {error}"
        ) from error


@functools.cache
def _module(build):
    options = ["-std=c++17", *build.options]
    if build.source.architecture:  # CuPy adds the GPU's own, and NVRTC keeps this one
        options.append(f"-arch={build.source.architecture}")
    return cupy.RawModule(code=build.source.text, options=tuple(options), backend="nvrtc")


def _as_cupy(argument):
    """The argument in a form that CuPy passes on as exactly the C value that was checked."""
    value, array = argument
    if isinstance(value, ctypes.Array):  # a struct, or a tensor map
        return np.frombuffer(bytes(value), f"V{ctypes.sizeof(value)}")
    if array is not None:
        return array
    if isinstance(value, ctypes.c_void_p):
        return NULL
    return NUMPY_TYPES[type(value)](value.value)

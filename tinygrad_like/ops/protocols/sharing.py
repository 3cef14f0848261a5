"""What other libraries ask of a Tensor: its memory, by DLPack, and the array API's functions."""

from typing import Any

from tinygrad_like.engine import GraphError, mode


def dlpack(x, **options):
    """`torch.from_dlpack(t)`: the same memory in another library.

    Raises GraphError for a Tensor whose gradient is being recorded, BufferError for one that runs
    backward through its memory.
    """
    if x.node is not None and mode.grad:
        raise GraphError(
            "[dlpack] a Tensor whose gradient is recorded cannot be shared with another library, "
            "since its gradient would be lost; share detach()"
        )
    array = _array_for_others(x)
    strides = getattr(array, "strides", ())
    if any(stride < 0 for stride in strides) and options.get("copy") is not True:
        raise BufferError(  # PyTorch would end the process
            f"[dlpack] x runs backward through its memory (strides {strides}), which other "
            "libraries do not take; share copy()"
        )
    return array.__dlpack__(**options)


def dlpack_device(x):
    """The type and the number of the device, as DLPack counts them."""
    return _array_for_others(x).__dlpack_device__()


def _array_for_others(x):
    """The raw array of a Tensor. Raises BufferError for a device that DLPack does not know."""
    if x.device == "cuda-emulator":
        raise BufferError(
            "[dlpack] x is on cuda-emulator, whose memory no other library reads; share x.cpu()"
        )
    return x.data


class ArrayAPI:
    """Where `__array_namespace__` finds the room of the array API, which stands above this one."""

    room: Any = None  # a function that loads it, given by tinygrad_like/__init__.py


def array_namespace(x, api_version=None):
    """`t.__array_namespace__()`: the array API, the module `tg.array_api`.

    Raises ValueError for a version of the standard that it does not follow.
    """
    room = ArrayAPI.room()
    if api_version is not None and api_version not in room.VERSIONS:
        raise ValueError(
            f"[array_namespace] api_version is {api_version!r}, expected one of {room.VERSIONS}"
        )
    return room

"""SciPy's special functions on a device: those that CuPy lacks are refused by name."""

from tinygrad_like.backend import DeviceError


def of_scipy(be, name):
    """The function of this name for the arrays of a backend.

    Raises DeviceError if the device's library has none.
    """
    found = getattr(be.special, name, None)
    if found is None:
        raise DeviceError(
            f"[{name}] CuPy has no such function, so it cannot run on {be.device!r}; compute it "
            "on the CPU: x.cpu()"
        )
    return found

"""The decorator that makes a function of this folder part of the contract."""

KERNELS: dict = {}  # every kernel of the contract, by name


def kernel(function=None, *, any_layout=False):
    """Register a function as the reference kernel of its name.

    Its arrays are C-contiguous, unless it says `any_layout`, or its name ends in `_`: such a kernel
    changes the very arrays that it is given.
    """

    def register(function):
        name = function.__name__
        function.any_layout = any_layout or name.endswith("_")
        KERNELS[name] = function
        return function

    return register if function is None else register(function)

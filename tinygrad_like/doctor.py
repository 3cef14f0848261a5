"""What is installed, which devices work, and what to install for those that do not."""

import os
import platform

from tinygrad_like import backend

_REQUIRED = ("numpy", "numba", "scipy", "safetensors", "tqdm", "threadpoolctl")
_OPTIONAL = {
    "matplotlib": "plots in the examples: pip install 'tinygrad-like[examples]'",
    "tokenizers": "subwords: pip install 'tinygrad-like[text]'",
    "torch": "the oracle of the tests: pip install 'tinygrad-like[oracle]'",
}


def doctor():
    """Print what is installed, which devices work here, and the command that mends the rest."""
    print(f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    print("required")
    for name in _REQUIRED:
        version = _version(name)
        print(f"  {name:<14} {version or f'MISSING: pip install {name}'}")
    print("optional")
    for name, purpose in _OPTIONAL.items():
        print(f"  {name:<14} {_version(name) or f'not installed ({purpose})'}")
    print("devices")
    numba_problem = backend.numba_problem()
    slow = f"; by NumPy alone, slowly: {numba_problem}" if numba_problem else ""
    print(f"  cpu            works, matrix products by {_blas()}{slow}")
    problem = backend.cuda_problem()
    emulated = backend.emulator_problem()
    print(f"  cuda-emulator  {'works' if emulated is None else f'no: {emulated}'}")
    print(f"  cuda           {f'works: {_gpu()}' if problem is None else f'no: {problem}'}")


def _version(name):
    from importlib import metadata  # loads the modules for mail: not whenever the library is

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _blas():
    """The library behind NumPy's matmul, and how many threads it uses."""
    import threadpoolctl

    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "blas":
            return (
                f"{library['internal_api']} {library['version']}, {library['num_threads']} threads"
            )
    return "an unknown library"


def _gpu():
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(0)
    return f"{properties['name'].decode()}, CuPy {cupy.__version__}"

"""Compiles `.cu` files for the CPU with g++, and keeps the libraries in a cache on disk."""

import hashlib
import os
import shutil
import site
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RUNTIME = tuple(
    f"{part}.cpp"
    for part in (
        *("fibers", "counter", "checker", "warps", "matrices", "asynchronous", "registers"),
        "scheduler",
    )
)
HEADERS = ("interface.hpp", "runtime.hpp", "device.hpp")
TOOLKIT = "/usr/local/cuda"  # where it is by default
COMMON = ["-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-fno-strict-aliasing"]
FAST = ["-O2", "-Wno-unknown-pragmas"]
# Little is optimised in a checked build, so that each access in the source is seen as it stands:
# a load that the compiler moves before its condition would be reported as a fault of the kernel.
CHECKED = [
    *("-O1", "-g", "-Wno-unknown-pragmas", "-DEMULATOR_CHECKED"),
    "-fno-tree-sra",  # a vector stays one access
    *("-fno-if-conversion", "-fno-if-conversion2", "-fno-ssa-phiopt", "-fno-tree-loop-im"),
    "-fsanitize=thread",
    "-fsanitize=bounds-strict,signed-integer-overflow,integer-divide-by-zero",
]


class EmulatorError(RuntimeError):
    """A kernel that does not compile for the emulator, or a tool that the emulator lacks."""


class KernelFault(EmulatorError):
    """A fault of a kernel. The message has kernel, block and thread, the fault and its line."""


def compiler():
    """The path of g++. Raises EmulatorError with the fix if there is none."""
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None:
        raise EmulatorError(
            "[cuda-emulator] needs the C++ compiler g++, and found none. Install it: "
            "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora)"
        )
    return found


def package_directories():
    """Where pip puts packages, NVIDIA's wheels among them."""
    return map(Path, (*site.getsitepackages(), site.getusersitepackages(), *sys.path))


def cuda_include():
    """The directories of the CUDA headers. Raises EmulatorError with the fix if there are none."""
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    roots = [Path(home) / "include" for home in (*homes, TOOLKIT) if home]
    for folder in package_directories():
        wheels = folder / "nvidia"
        roots += [wheels / "cu13" / "include", wheels / "cuda_runtime" / "include"]
    for root in roots:
        if all((root / name).is_file() for name in ("cuda_fp16.h", "crt/host_defines.h")):
            for libraries in (root, root / "cccl"):  # where nv/target is depends on the version
                if (libraries / "nv" / "target").is_file():
                    return [root, libraries]
    raise EmulatorError(
        "[cuda-emulator] needs the CUDA headers (cuda_fp16.h, crt/host_defines.h, nv/target), and "
        "did not find them all. "
        "Install them: pip install 'tinygrad-like[emulator]', or set CUDA_HOME to a toolkit"
    )


def problem():
    """Why the emulator cannot be used here, with the fix; None if it can."""
    try:
        compiler()
        cuda_include()
    except EmulatorError as error:
        return str(error)
    return None


def cache_directory():
    """Where compiled kernels are kept: TINYGRAD_LIKE_CACHE, or a folder of the user's cache."""
    root = os.environ.get("TINYGRAD_LIKE_CACHE")
    root = Path(root) if root else Path.home() / ".cache" / "tinygrad_like"
    folder = root / "cuda-emulator"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"tinygrad_like-{os.getuid()}" / "cuda-emulator"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def library(build, checked, text=None):
    """The path of the compiled library of a `launcher.Build`; `text` replaces the source's."""
    flags = [*COMMON, *(CHECKED if checked else FAST), *build.options]
    source = build.source.text if text is None else text
    kernels = build.source.signatures
    parts = (*HEADERS, *RUNTIME, "build.py")
    key = _hash(source, *flags, *map(_read, parts), *kernels)
    path = cache_directory() / f"{build.source.path.stem}-{key}.so"
    if not path.exists():
        runtime = [_object(name) for name in RUNTIME]
        unit = "\n".join(
            [
                '#include "device.hpp"',
                f'#line 1 "{build.source.path.name}"',
                source,
                *(f"EMULATOR_EXPORT({name})" for name in kernels),
            ]
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, build.source.path.name)
            file.write_text(unit, encoding="utf-8")
            header = _precompiled(checked)
            arguments = [*flags, "-DEMULATOR", f"-I{header}"]
            arguments += ["-shared", "-x", "c++", str(file), "-x", "none"]
            _compile([*arguments, *runtime, "-ldl"], path, build.label)
    return path


def _precompiled(checked):
    """The folder of device.hpp as g++ keeps it once it is read.

    For most kernels, to read CUDA's headers is most of the compiler's work, and of its memory. g++
    looks into the folder first, and reads the headers themselves should it refuse what it finds.
    """
    flags = [*COMMON, *(CHECKED if checked else FAST), "-DEMULATOR", "-x", "c++-header"]
    folder = cache_directory() / f"device-{_hash(*flags, *map(_read, HEADERS))}"
    path = folder / "device.hpp.gch"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        _compile([*flags, str(HERE / "device.hpp")], path, "device.hpp")
    return folder


def _object(name):
    """The compiled object of a file of the runtime."""
    flags = [*COMMON, "-O2", "-c"]
    path = cache_directory() / f"{name}-{_hash(*flags, *map(_read, (name, *HEADERS)))}.o"
    if not path.exists():
        _compile([*flags, str(HERE / name)], path, name)
    return str(path)


def _compile(arguments, path, what):
    """Run g++ and put its output at `path`, whole or not at all."""
    handle, unfinished = tempfile.mkstemp(suffix=path.suffix, dir=path.parent)
    os.close(handle)
    headers = (f"-isystem{folder}" for folder in cuda_include())
    command = [compiler(), *arguments, "-o", unfinished, f"-I{HERE}", *headers]
    if "-shared" in arguments:
        # The calls that the sanitizers put in are to our functions: their libraries are not linked.
        command += ["-nodefaultlibs", "-lstdc++", "-lm", "-lc", "-lgcc_s", "-lgcc"]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        os.unlink(unfinished)
        raise EmulatorError(f"[cuda-emulator] {what} does not compile:\n{done.stderr[-4000:]}")
    os.replace(unfinished, path)


def _read(name):
    return (HERE / name).read_text(encoding="utf-8")


def _hash(*texts):
    return hashlib.sha256("\0".join([compiler(), *texts]).encode()).hexdigest()[:20]

"""What each kernel needs of a multiprocessor, registers and shared memory, found without a GPU.

    python -m tinygrad_like.kernels.cuda.machine.resources [--write]

compiles every build of every `.cu` file for each architecture, with NVRTC (as CuPy does) or nvcc,
and prints the table, or writes it to resources.json. The tests hold the kernels to that table, and
let none spill registers to memory.
"""

import collections
import ctypes
import functools
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..emulator.build import cuda_include, package_directories
from .launcher import SOURCES, builds

ARCHITECTURES = ("sm_80", "sm_90a")
TABLE = Path(__file__).with_name("resources.json")
# The low 12 bits of some instructions: mma.sync, wgmma on two descriptors, ldmatrix, cp.async, TMA.
OPCODES = {"HMMA": 0x23C, "HGMMA": 0x9F0, "LDSM": 0x83B, "LDGSTS": 0xFAE, "UTMALDG": 0x5B4}
OPTIONS = ["-std=c++17", "--ptxas-options=-v"]


class CompileError(RuntimeError):
    """A kernel that a CUDA compiler refuses, or no CUDA compiler."""


class Resources(NamedTuple):
    """Of one kernel: registers a thread, bytes of static shared memory, bytes a thread spills."""

    registers: int
    shared: int
    spilled: int


def table():
    """The committed table: (compiler, {build: {architecture: {kernel: Resources}}})."""
    compiler, found = json.loads(TABLE.read_text(encoding="utf-8"))
    return compiler, {
        build: {
            arch: {kernel: Resources(*numbers) for kernel, numbers in kernels.items()}
            for arch, kernels in archs.items()
        }
        for build, archs in found.items()
    }


def compiler():
    """The compiler that is used here, as "NVRTC 13.0": others may assign other registers."""
    if _nvrtc():
        major, minor = ctypes.c_int(), ctypes.c_int()
        _nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return f"NVRTC {major.value}.{minor.value}"
    done = subprocess.run(["nvcc", "--version"], text=True, capture_output=True)
    return "nvcc " + re.search(r"release (\d+\.\d+)", done.stdout)[1]


def measure(build, arch):
    """{kernel: Resources} of a `launcher.Build`. Raises CompileError with the compiler's log."""
    log, _ = _compiled(build, arch)
    if "Potential Performance Loss" in log:  # as of wgmma that is serialised
        raise CompileError(f"{build.label}, {arch}: ptxas warns of a loss:\n{log}")
    found = {}
    for part in log.split("Compiling entry function")[1:]:
        name = re.match(r" '(\w+)'", part)[1]
        spilled = sum(map(int, re.findall(r"(\d+) bytes spill", part)))
        shared = re.search(r"(\d+) bytes smem", part)
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        found[name] = Resources(registers, int(shared[1]) if shared else 0, spilled)
    if found.keys() != build.source.signatures.keys():
        raise CompileError(f"{build.label}, {arch}: no resources in the compiler's log:\n{log}")
    return found


def instructions(build, arch):
    """How many instructions of each kind in OPCODES the machine code of a build has."""
    _, code = _compiled(build, arch)
    opcodes = collections.Counter(
        struct.unpack_from("<H", code, at)[0] & 0xFFF
        for start, size in _text_sections(code)
        for at in range(start, start + size, 16)  # bytes of an instruction
    )
    return {name: opcodes[opcode] for name, opcode in OPCODES.items()}


def _text_sections(code):
    """(offset, bytes) of each section of instructions in an ELF file of 64 bits."""
    (headers,) = struct.unpack_from("<Q", code, 0x28)
    size, count, names = struct.unpack_from("<HHH", code, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", code, headers + i * size) for i in range(count)]
    start_of_names = sections[names][4]
    for name, _, _, _, offset, length in sections:
        if code[start_of_names + name :].startswith(b".text"):
            yield offset, length


def problem():
    """Why nothing can be compiled here, with the fix; None if it can."""
    if _nvrtc() is None and shutil.which("nvcc") is None:
        return "no CUDA compiler: pip install 'tinygrad-like[cuda-compile]', or put nvcc on PATH"
    return None


@functools.cache
def _nvrtc():
    """The NVRTC library of the pip wheel; None without it."""
    for folder in package_directories():
        for path in sorted((folder / "nvidia").glob("*/lib/libnvrtc.so.*")):
            # NVRTC finds its builtins if they have been loaded before.
            for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(path))
    return None


def _compiled(build, arch):
    """(the compiler's log, the machine code). Raises CompileError."""
    return (_by_nvrtc if _nvrtc() else _by_nvcc)(build, arch)


def _by_nvrtc(build, arch):
    nvrtc = _nvrtc()
    program = ctypes.c_void_p()
    text, name = build.source.text.encode(), build.source.path.name.encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None)
    headers = [f"-I{folder}" for folder in cuda_include()]
    options = [f"--gpu-architecture={arch}", *headers, *OPTIONS, *build.options]
    options.append("--device-as-default-execution-space")  # as CuPy has it
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), array)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    code = ctypes.create_string_buffer(0)
    if not failed:
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, code)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return _checked(failed, log.value.decode(), build, arch), code.raw


def _by_nvcc(build, arch):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, build.source.path.name)
        file.write_text(build.source.text, encoding="utf-8")
        command = ["nvcc", "-cubin", f"-arch={arch}", *OPTIONS, *build.options, str(file)]
        cubin = file.with_suffix(".cubin")
        command += ["-o", str(cubin)]
        done = subprocess.run(command, text=True, capture_output=True)
        log = _checked(done.returncode, done.stdout + done.stderr, build, arch)
        return log, cubin.read_bytes()


def _checked(failed, log, build, arch):
    if failed:
        raise CompileError(f"{build.label} does not compile for {arch}:\n{log}")
    return log


def measure_all(sources=None):
    """The table of every build of the sources (all by default), measured now."""
    every = [b for source in sources or SOURCES.values() for b in builds(source)]
    jobs = [
        (build, arch)
        for build in every
        for arch in ARCHITECTURES
        if build.source.architecture in (None, arch)
    ]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda job: measure(*job), jobs))
    found = {}
    for (build, arch), kernels in zip(jobs, results, strict=True):
        found.setdefault(build.label, {})[arch] = kernels
    return found


def main(arguments):
    """Print the table, measured now; with `--write` in the arguments also write it."""
    found = measure_all()
    for label, archs in found.items():
        for arch, kernels in archs.items():
            for kernel, r in kernels.items():
                print(
                    f"{label:<32} {arch:<7} {kernel:<28} {r.registers:>3} registers "
                    f"{r.shared:>6} bytes shared {r.spilled:>4} bytes spilled"
                )
    if "--write" in arguments:
        lines = [f"{json.dumps(label)}: {json.dumps(archs)}" for label, archs in found.items()]
        text = ",\n".join(lines)
        TABLE.write_text(f'["{compiler()}", {{\n{text}\n}}]\n', encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

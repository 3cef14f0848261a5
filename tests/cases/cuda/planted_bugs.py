"""Plants bugs in the CUDA kernels, one at a time, and asks the emulator to find each.

    python tests/cases/cuda/planted_bugs.py [softmax.cu ...]      prints every bug and what found it

Five kinds, made from the text of each `.cu` file: a barrier that is missing; a wait, an arrival, a
fence or the end of a group that is missing; an arrival that an mbarrier counts too many, or a phase
that is not the one waited for; a bound that is one too far (`i < n` as `i <= n`); an index that is
one too far (`x[i]` as `x[i + 1]`). All the bugs of a file are compiled at once, each behind a
switch; a bug is found if some case fails with a report or with a wrong result.
"""

import re
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from cuda_case import difference, emulated, exact, rounded
from cuda_runs import CASES
from tinygrad_like.kernels import cuda
from tinygrad_like.kernels.cuda.machine import launcher

SOURCES = sorted({case.source for case in CASES})

# The files of device functions, each with the source whose cases exercise it.
HEADERS = {
    "result.cuh": "linalg_tensor.cu",
    "device.cuh": "softmax.cu",
    "rows.cuh": "softmax.cu",
    "philox.cuh": "random.cu",
    "attention.cuh": "attention.cu",
    "gathered.cuh": "conv.cu",
    "gemm_tile.cuh": "linalg.cu",
    "tensor_tile.cuh": "linalg_tensor.cu",
}

# Changes that are no bugs: the part of a line that makes each, and why nothing goes wrong.
HARMLESS = {
    "const bool more = at + BK < end": "a step too many is loaded, as zeros, and not multiplied",
    "start < end; start += TILE": "a tile of keys too many is hidden from all queries",
    "for (int rows = 0; rows < BLOCKS; ++rows)": "a product too many, into sums nobody reads",
    "(chunk ^ (CHUNKS < 8 ?": "another swizzle, of what is written and what is read alike",
    "if (at + BK < end) {": "a step too many is loaded, as zeros, and not multiplied",
    "if (next < steps) {": "a step too many is loaded, as zeros, and not multiplied",
    "first < s.queries; first += TILE": "a tile of queries too many has no weights",
    "for (int j = 0; j < PARTS; ++j) {": "columns beyond the head are not written",
    "block * 4 < n; block += grid_threads()": "a block too many finds no element left to write",
}

WAIT = re.compile(
    r"(?:copy_async_|wgmma_)(?:wait<[^>]*>|commit|fence)\(\);|mbarrier_fence_init\(\);"
    r"|mbarrier_(?:wait|arrive)\([^;]*\);"
)
COUNT = re.compile(r"(mbarrier_(?:init|wait)\([^;]*)\);")  # one arrival more, the other phase
BARRIER = re.compile(r"__sync(?:threads|warp)\([^()]*\);")
BOUND = re.compile(r"(?<=[\w\])]) < (?=[\w(])")
INDEX = re.compile(r"(?<=[\w\])])\[(?=[^\[\]])")
# `float tile[8]`: two words before a bracket, the first of them no keyword of a statement.
DECLARATION = re.compile(
    r"(?:^|[{;(,])\s*(?:(?:const|static|__shared__|__align__\(\d+\)) )*"
    r"(?!return|else|case|const|static)[A-Za-z_]\w*(?:<[\w, ]*>)? +(?:\w+|\([*&]\w+\))\["
)


class Bug(NamedTuple):
    number: int
    kind: str  # "barrier", "wait", "count", "bound" or "index"
    place: str  # file:line
    line: str


def planted(text, file):
    """(text with every bug behind a switch, the list of bugs), for a spliced source text."""
    bugs, lines = [], []
    at_file, at_line = file, 0
    for line in text.split("\n"):
        marker = re.match(r'#line (\d+) "([^"]+)"', line)
        if marker:
            at_line, at_file = int(marker[1]) - 1, marker[2]
        else:
            at_line += 1
            if at_file == file or HEADERS.get(at_file) == file:
                line = _with_bugs(line, f"{at_file}:{at_line}", bugs)
        lines.append(line)
    return "\n".join(lines), bugs


def _with_bugs(line, place, bugs):
    code, slashes, comment = line.partition("//")
    if (
        code.lstrip().startswith(("#", "typedef "))
        or "constexpr" in code
        or "static_assert" in code
    ):
        return line

    def switch(kind):
        bugs.append(Bug(len(bugs) + 1, kind, place, line.strip()))
        return f"emulator_planted({len(bugs)})"

    changed = BARRIER.sub(lambda m: f"if (!{switch('barrier')}) {m[0]}", code)
    changed = COUNT.sub(lambda m: f"{m[1]} + {switch('count')});", changed)
    changed = WAIT.sub(lambda m: f"if (!{switch('wait')}) {m[0]}", changed)
    changed = BOUND.sub(lambda m: f" < {switch('bound')} + ", changed)
    if not DECLARATION.search(code):
        changed = INDEX.sub(lambda m: f"[{switch('index')} + ", changed)
    return changed + slashes + comment


def is_harmless(bug):
    return any(part in bug.line for part in HARMLESS)


def bugs_of(source):
    """The bugs that are planted in a `.cu` file, harmless ones left out."""
    return [
        bug for bug in planted(launcher.SOURCES[source].text, source)[1] if not is_harmless(bug)
    ]


def finding(bug, source):
    """What finds a bug: the emulator's report or the wrong result; None if nothing does."""

    def replace(build):
        if build.source.path.name != source:
            return None
        return planted(build.source.text, source)[0]

    how = {"checked": True, "replace": replace, "planted": bug.number, "access_limit": 1 << 24}
    for schedule in (0, 1, 2):
        for case in CASES:
            if case.source != source:
                continue
            for dtype in case.dtypes if schedule == 0 else case.dtypes[:1]:
                arrays = _arrays(case, dtype)
                try:
                    with cuda.emulator.run(schedule, **how):
                        found = emulated(case, arrays)
                except cuda.emulator.KernelFault as report:
                    return str(report)
                wrong = difference(found, _exact(case, dtype), dtype, case.bound)
                if wrong is not None:
                    return f"wrong: {case.name} in {dtype}: {wrong}"
    return None


_arrays_of: dict = {}
_exact_of: dict = {}


def _arrays(case, dtype):
    key = case.source, case.name, dtype
    if key not in _arrays_of:
        _arrays_of[key] = rounded(case, dtype)
    return _arrays_of[key]


def _exact(case, dtype):
    key = case.source, case.name, dtype
    if key not in _exact_of:
        _exact_of[key] = exact(case, _arrays(case, dtype))
    return _exact_of[key]


def findings(source):
    """[(bug, what finds it), ...] of a source."""
    return [(bug, finding(bug, source)) for bug in bugs_of(source)]


def all_findings(sources=SOURCES):
    """{source: findings}, on all cores."""
    slowest_first = sorted(sources, key=lambda source: -len(bugs_of(source)))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = dict(zip(slowest_first, pool.map(findings, slowest_first), strict=True))
    return {source: found[source] for source in sources}


def main(sources):
    found = missed = 0
    for pairs in all_findings(sources or SOURCES).values():
        for bug, how in pairs:
            found, missed = found + (how is not None), missed + (how is None)
            print(f"{'found ' if how else 'MISSED'} {bug.kind:<8} {bug.place:<22} {bug.line}")
            print(f"       {how or '-'}")
    print(f"{found + missed} bugs planted, {found} found, {missed} missed")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)

"""The CPU's threads: `run` hands the tasks of a kernel to a pool that sleeps when it is idle.

A kernel that is worth more than one thread is written as a body for one of several tasks,

    @jit
    def _double(task, tasks, x, y):
        for i in range(*share(task, tasks, x.size)):
            y[i] = 2 * x[i]

and started from compiled code by `run(pool, _double, (x, y), tasks)`, where `pool` is what
`pool()` returned. The calling thread takes part, so nothing is lost if the others come late. Which
thread runs a task is left to chance, but not what a task computes: results are the same from run to
run. Nobody waits for a busy pool (another Python thread has it, or a kernel calls a kernel): the
caller then runs all tasks alone.

Why not numba's own `prange`: its threads spin for milliseconds after each loop and starve NumPy's
and PyTorch's, it ends the process in a forked child, and each such loop takes seconds to compile.
Here a thread that finds nothing to do watches for a fifth of a millisecond, which covers the
Python code between two kernels, and then sleeps.
"""

import ctypes
import os
import platform
import threading

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compile import jit

# The pool is a block of 64-bit words. Words that different threads write lie on different cache
# lines, of 8 words each.
TICKET = 0  # the current job: generation << 40 | number of tasks << 20 | next task
BODY, DATA, BUSY = 8, 9, 10  # the job's function and arguments; whether a caller holds the pool
DONE = 16  # how many tasks are finished
ASLEEP = 24  # how many threads wait for the bell
THREADS, STOP = 32, 33  # how many threads there are; whether they are to end
LOCK, BELL = 40, 56  # a mutex and a condition variable
WORDS = 72

TASK_BITS = 20
TASK_MASK = (1 << TASK_BITS) - 1
SPINS = 6000  # turns of a loop that waits, of some 30 to 50 ns each, before the thread gives way


# Instructions that numba does not offer


@intrinsic
def _load(typingctx, address):
    """The word at an address, read atomically."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def _store(typingctx, address, value):
    """Write a word atomically, after everything that was written before."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store_atomic(args[1], pointer, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _read_and_write(operation):
    """The types and the code of an intrinsic (address, value): one atomic instruction of LLVM."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw(operation, pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _add(typingctx, address, value):
    """Add to a word atomically, and return its value from before."""
    return _read_and_write("add")


@intrinsic
def _swap(typingctx, address, value):
    """Write a word atomically, and return its value from before."""
    return _read_and_write("xchg")


@intrinsic
def _pause(typingctx):
    """Let the core rest for a moment."""

    def codegen(context, builder, signature, args):
        if platform.machine().lower() in ("x86_64", "amd64"):
            nothing = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), nothing), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _call(typingctx, body, data, task, tasks):
    """Call the function at an address, one that `run` generated."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        function = ir.FunctionType(ir.VoidType(), [word, word, word])
        builder.call(builder.inttoptr(args[0], function.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4), codegen


_mutex_lock = types.ExternalFunction("pthread_mutex_lock", types.int32(types.int64))
_mutex_unlock = types.ExternalFunction("pthread_mutex_unlock", types.int32(types.int64))
_cond_wait = types.ExternalFunction("pthread_cond_wait", types.int32(types.int64, types.int64))
_cond_broadcast = types.ExternalFunction("pthread_cond_broadcast", types.int32(types.int64))
_yield = types.ExternalFunction("sched_yield", types.int32())

POSIX = "pthread_mutex_lock pthread_mutex_unlock pthread_cond_wait pthread_cond_broadcast".split()
HAS_THREADS = os.name == "posix"
if not HAS_THREADS:  # kernels refer to these functions, but without a pool they call none
    _nothing = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
    for _name in (*POSIX, "sched_yield"):
        binding.add_symbol(_name, ctypes.cast(_nothing, ctypes.c_void_p).value)


# The pool


@jit
def _at(pool, word):
    """The address of a word of the pool."""
    return pool + 8 * word


@jit
def _is_open(ticket):
    """Whether a job has tasks that nobody has taken."""
    return (ticket & TASK_MASK) < ((ticket >> TASK_BITS) & TASK_MASK)


@jit
def _take_tasks(pool):
    """Run tasks of the current job until none is left."""
    while _is_open(_load(_at(pool, TICKET))):
        ticket = _add(_at(pool, TICKET), 1)
        if _is_open(ticket):  # until this task is done the job cannot end, nor its words change
            tasks = (ticket >> TASK_BITS) & TASK_MASK
            body, data = _load(_at(pool, BODY)), _load(_at(pool, DATA))
            _call(body, data, ticket & TASK_MASK, tasks)
            _add(_at(pool, DONE), 1)


@jit
def _work(pool):
    """What a thread of the pool does until it is told to stop: run tasks, watch, sleep."""
    while True:
        _take_tasks(pool)
        spins = 0
        while spins < SPINS and not _is_open(_load(_at(pool, TICKET))):
            _pause()
            spins += 1
        if spins < SPINS:
            continue
        _mutex_lock(_at(pool, LOCK))
        _add(_at(pool, ASLEEP), 1)
        while not _is_open(_load(_at(pool, TICKET))) and not _load(_at(pool, STOP)):
            _cond_wait(_at(pool, BELL), _at(pool, LOCK))
        _add(_at(pool, ASLEEP), -1)
        _mutex_unlock(_at(pool, LOCK))
        if _load(_at(pool, STOP)):
            return


@jit
def _ring(pool):
    """Wake all threads that wait for the bell."""
    _mutex_lock(_at(pool, LOCK))
    _cond_broadcast(_at(pool, BELL))
    _mutex_unlock(_at(pool, LOCK))


@jit
def _start(pool, body, data, tasks):
    """Run all tasks of a job, with the pool's help if it is free."""
    if pool == 0 or tasks == 1 or _swap(_at(pool, BUSY), 1):
        for task in range(tasks):
            _call(body, data, task, tasks)
        return
    _store(_at(pool, BODY), body)
    _store(_at(pool, DATA), data)
    _store(_at(pool, DONE), 0)
    generation = (_load(_at(pool, TICKET)) >> 40) + 1
    _store(_at(pool, TICKET), (generation & TASK_MASK) << 40 | tasks << TASK_BITS)
    if _load(_at(pool, ASLEEP)):
        _ring(pool)
    _take_tasks(pool)
    spins = 0
    while _load(_at(pool, DONE)) < tasks:
        spins += 1
        if spins < SPINS:
            _pause()
        else:  # there may be more threads than cores: let the one that is behind have this core
            _yield()
    _store(_at(pool, BUSY), 0)


def _borrowed(context, builder, kind, value):
    """An array without its owner, so that no references to it are counted.

    Threads that count references to the same array slow each other down. The caller of `run` keeps
    the array alive until all tasks are done. Tuples are treated element by element.
    """
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        parts = zip(kind, cgutils.unpack_tuple(builder, value), strict=True)
        return context.make_tuple(
            builder, kind, [_borrowed(context, builder, part, x) for part, x in parts]
        )
    return value


@intrinsic
def run(typingctx, pool, body, args, tasks):
    """Call `body(task, tasks, *args)` for each task in range(tasks), on all threads of the pool.

    The body returns nothing and must not raise. `run` is for compiled code.
    """
    signature = body.get_call_type(typingctx, (types.int64, types.int64, *args), {})
    compiled = body.dispatcher.get_compile_result(signature)

    def codegen(context, builder, own_signature, values):
        word = ir.IntType(64)
        entry = ir.Function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [word, word, word]),
            context.mangler("task", (), abi_tags=(compiled.fndesc.unique_name,)),
        )
        entry.linkage = "internal"
        inner = ir.IRBuilder(entry.append_basic_block())
        packed = values[2]
        data, task, count = entry.args
        arrays = inner.load(inner.inttoptr(data, packed.type.as_pointer()))
        arrays = [
            _borrowed(context, inner, kind, value)
            for kind, value in zip(args, cgutils.unpack_tuple(inner, arrays), strict=True)
        ]
        context.active_code_library.add_linking_library(compiled.library)
        function = context.declare_function(builder.module, compiled.fndesc)
        context.call_conv.call_function(
            inner, function, types.none, compiled.fndesc.argtypes, [task, count, *arrays]
        )
        inner.ret_void()

        stored = cgutils.alloca_once_value(builder, packed)
        call = [
            values[0],
            builder.ptrtoint(entry, word),
            builder.ptrtoint(stored, word),
            values[3],
        ]
        signature = types.void(*(types.int64,) * 4)
        context.compile_internal(builder, lambda p, b, d, n: _start(p, b, d, n), signature, call)
        return context.get_dummy_value()

    return types.void(types.int64, body, args, types.int64), codegen


@jit
def threads_of(pool):
    """How many threads a pool has, including the caller."""
    return _load(_at(pool, THREADS)) if pool else 1


@jit
def tasks_for(pool, items, least):
    """How many tasks to divide `items` into, where `least` items are worth a thread.

    Little work is one task. Plenty of it becomes several tasks for each thread, so that all threads
    finish at about the same time.
    """
    threads = threads_of(pool)
    if threads == 1 or items < 2 * least:
        return 1
    return min(items // least, 4 * threads)


@jit
def share(task, tasks, n):
    """This task's share of n items, the half-open range [lo, hi), as (lo, hi)."""
    return task * n // tasks, (task + 1) * n // tasks


# The management of the pool, from Python

_made = threading.Lock()  # held while a pool is made or given up
_memory = []  # the words of all pools: never freed, since a thread may still look at them
_address = None  # of the current pool's words; 0: one thread, no pool; None: not made yet


def _cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _wanted():
    """The number of threads that the environment asks for, or None.

    joblib and Dask set it, so that all of their workers together have a thread for each core.
    """
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "")
        if text.isdecimal() and int(text) > 0:
            return min(int(text), _cores())
    return None


_threads = _wanted()  # or the number that set_num_threads was given


def pool():
    """The address of the pool, which compiled kernels take first. It is made at first use."""
    return _make() if _address is None else _address


def num_threads():
    """How many threads a kernel may use, including the caller."""
    return _cores() if _threads is None else _threads


def set_num_threads(n):
    """Let kernels use `n` threads from the next call on."""
    global _threads, _address
    with _made:
        _threads = n
        if _address:
            _give_up(_address)
        _address = None


def _make():
    """Make the pool, unless another Python thread just did, and return its address."""
    global _address
    with _made:
        if _address is not None:
            return _address
        count = min(num_threads(), TASK_MASK)
        if count == 1 or not HAS_THREADS:
            _address = 0
            return _address
        _memory.append(np.zeros(WORDS + 8, np.int64))
        address = -(-_memory[-1].ctypes.data // 64) * 64
        _words(address)[THREADS] = count
        system = ctypes.CDLL(None)
        system.pthread_mutex_init(ctypes.c_void_p(address + 8 * LOCK), None)
        system.pthread_cond_init(ctypes.c_void_p(address + 8 * BELL), None)
        for _ in range(count - 1):
            threading.Thread(target=_work, args=(address,), daemon=True).start()
        _address = address
        return _address


def _words(address):
    """The words of a pool, for Python."""
    return (ctypes.c_int64 * WORDS).from_address(address)


def _give_up(address):
    """Have the threads of a pool end."""
    _words(address)[STOP] = 1
    _ring(address)


def _begin_again():
    """In a forked child the threads of the parent do not exist: make a pool at the next call."""
    global _made, _address
    _made, _address = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)

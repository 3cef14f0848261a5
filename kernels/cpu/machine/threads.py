"""The CPU's threads: `run` hands the tasks of a kernel to a pool that sleeps when it is idle.

A kernel that is worth more than one thread is written as a body for one of several tasks,

    @jit
    def _double(task, tasks, x, y):
        for i in range(*share(task, tasks, x.size)):
            y[i] = 2 * x[i]

and started from compiled code by `run(pool, _double, (x, y), tasks)`, where `pool` is what
`pool()` gave. The calling thread takes part, so nothing is lost if the others come late. Which
thread runs a task is left to chance; what a task computes is not, so results are the same from run
to run. A pool that is busy (another Python thread, a kernel inside a kernel) is not waited for: the
caller runs all tasks alone.

Why not numba's own `prange`: its threads spin for milliseconds after each loop and starve NumPy's
and PyTorch's, it ends the process in a forked child, and each such loop takes seconds to compile.
Here a thread that finds nothing to do watches for a fifth of a millisecond, which covers the
Python between two kernels, and then sleeps.
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

# The pool is a block of 64-bit words; words that different threads write are on lines of their own.
TICKET = 0  # the current job: generation << 40 | number of tasks << 20 | next task
BODY, DATA, BUSY = 8, 9, 10  # its function and arguments; whether a caller holds the pool
DONE = 16  # tasks that are finished
ASLEEP = 24  # threads that wait for the bell
THREADS, STOP = 32, 33
LOCK, BELL = 40, 56  # a mutex and a condition variable
WORDS = 72

TASK_BITS = 20
TASK_MASK = (1 << TASK_BITS) - 1
SPINS = 6000  # of some 30 to 50 ns


# What numba has no words for


@intrinsic
def _load(typingctx, address):
    """The word at an address, read atomically."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def _store(typingctx, address, value):
    """Write a word atomically, after everything written before."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store_atomic(args[1], pointer, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _add(typingctx, address, value):
    """Add to a word atomically; returns what it was before."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _swap(typingctx, address, value):
    """Write a word atomically; returns what it was before."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("xchg", pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


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
    """Call a function by its address, as `run` made it."""

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
if not HAS_THREADS:  # kernels name these functions, but without a pool they call none
    _nothing = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
    for _name in (*POSIX, "sched_yield"):
        binding.add_symbol(_name, ctypes.cast(_nothing, ctypes.c_void_p).value)


# The pool


@jit
def _at(pool, word):
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
        if _is_open(ticket):  # the job cannot end before this task has: its words stand still
            tasks = (ticket >> TASK_BITS) & TASK_MASK
            body, data = _load(_at(pool, BODY)), _load(_at(pool, DATA))
            _call(body, data, ticket & TASK_MASK, tasks)
            _add(_at(pool, DONE), 1)


@jit
def _work(pool):
    """The life of a thread of the pool."""
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
        _mutex_lock(_at(pool, LOCK))
        _cond_broadcast(_at(pool, BELL))
        _mutex_unlock(_at(pool, LOCK))
    _take_tasks(pool)
    spins = 0
    while _load(_at(pool, DONE)) < tasks:
        spins += 1
        if spins < SPINS:
            _pause()
        else:  # more threads than cores: let the one that is behind have this core
            _yield()
    _store(_at(pool, BUSY), 0)


def _borrowed(context, builder, kind, value):
    """An array without its owner, so that nobody counts references to it: threads that count those
    to one array hinder each other. Who calls `run` holds on to the array until all tasks are done.
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
    """`body(task, tasks, *args)` for each task in range(tasks), on all threads of the pool.

    Bodies return nothing and must not raise. To be called from compiled code.
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
    """How many threads a pool has, the caller among them."""
    return _load(_at(pool, THREADS)) if pool else 1


@jit
def tasks_for(pool, items, least):
    """How many tasks to make of so many items, where a task of `least` is worth a thread.

    One for small work; several for each thread where there is plenty, so that all end together.
    """
    threads = threads_of(pool)
    if threads == 1 or items < 2 * least:
        return 1
    return min(items // least, 4 * threads)


@jit
def share(task, tasks, n):
    """This task's half-open range (lo, hi) of n items."""
    return task * n // tasks, (task + 1) * n // tasks


# Its management, from Python

_made = threading.Lock()  # held while a pool is made or given up
_memory = []  # the words of all pools: never freed, for a thread may still look at them
_address = None  # where they begin; 0: one thread, no pool; None: not made yet
_threads = None  # what set_num_threads asked for


def pool():
    """What kernels take as their first argument: the address of the pool, made at first use."""
    return _make() if _address is None else _address


def num_threads():
    """How many threads a kernel may use, the caller among them."""
    if _threads is not None:
        return _threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(n):
    """Let kernels use `n` threads from the next call on."""
    global _threads, _address
    with _made:
        _threads = n
        if _address:
            _give_up(_address)
        _address = None


def _make():
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
    return (ctypes.c_int64 * WORDS).from_address(address)


def _give_up(address):
    """Send the threads of a pool home."""
    _words(address)[STOP] = 1
    _ring(address)


@jit
def _ring(pool):
    _mutex_lock(_at(pool, LOCK))
    _cond_broadcast(_at(pool, BELL))
    _mutex_unlock(_at(pool, LOCK))


def _begin_again():
    """In a forked child the threads of the parent do not exist: make a pool at the next call."""
    global _made, _address
    _made, _address = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)

"""The thread pool of the CPU kernels: every task once, from anywhere, the same bits."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference
from tinygrad_like.kernels.cpu.machine import threads
from tinygrad_like.kernels.cpu.machine.compile import jit
from tinygrad_like.kernels.cpu.machine.threads import run, share

import tinygrad_like as tg


@jit
def _count(task, tasks, counts, x, y):
    counts[task] += 1
    lo, hi = share(task, tasks, x.size)
    for i in range(lo, hi):
        y[i] = 2 * x[i]


@jit
def _doubled(pool, counts, x, y):
    run(pool, _count, (counts, x, y), counts.size)


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = threads.num_threads()
    yield
    threads.set_num_threads(before)


def double(tasks, n=1000):
    """Whether each task ran once and all elements were doubled."""
    counts, x = np.zeros(tasks, np.int64), np.arange(n, dtype=np.float64)
    y = np.full(n, np.nan)
    _doubled(threads.pool(), counts, x, y)
    return (counts == 1).all() and (y == 2 * x).all()


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_task_runs_once(count):
    threads.set_num_threads(count)
    for tasks in (1, 2, 3, 7, 64, 1000):
        assert all(double(tasks) for _ in range(20)), f"{tasks} tasks on {count} threads"


def test_several_python_threads_at_once():
    threads.set_num_threads(3)
    results = []

    def work():
        results.append(all(double(5) for _ in range(500)))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [True] * 4


def test_a_model_trains_in_several_python_threads_at_once():
    x = np.random.default_rng(0).standard_normal((256, 300)).astype(np.float32)

    def gradient(w):
        w = tg.Tensor(w, requires_grad=True)
        tg.gelu(tg.Tensor(x) @ w).sum().backward()
        return w.grad.numpy()

    weights = [np.full((300, 200), k / 10, np.float32) for k in range(4)]
    alone = [gradient(w) for w in weights]
    together = [None] * 4

    def work(k):
        for _ in range(10):
            together[k] = gradient(weights[k])

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_computes_the_same():
    code = """
import os, numpy as np
from tinygrad_like.kernels import cpu
x = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
before = cpu.matmul(x, x), cpu.gelu(x, False), cpu.softmax(x)
pid = os.fork()
after = cpu.matmul(x, x), cpu.gelu(x, False), cpu.softmax(x)
same = all((a == b).all() for a, b in zip(before, after))
if pid == 0:
    os._exit(0 if same else 3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), same)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["0", "True"], done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away here")
def test_one_core_is_enough():
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from tinygrad_like.kernels import cpu
from tinygrad_like.kernels.cpu.machine import threads
x = np.ones((300, 300), np.float32)
for count in (1, 2):
    threads.set_num_threads(count)
    print((cpu.matmul(x, x) == 300).all(), cpu.gelu(x, True).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "True (300, 300)\n" * 2, done.stderr


def test_results_are_the_same_bits_from_run_to_run():
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 700, 300)).astype(np.float32)
    w = rng.standard_normal(300).astype(np.float32)
    _, mean, rstd = reference.layer_norm(x, w, w, 1e-5)

    def results():
        grads = cpu.layer_norm_backward(g, x, w, mean, rstd, (True, True, True))
        return cpu.matmul(x.T, g), cpu.sum_middle(x[None]), *grads

    for count in (1, 2, 3):
        threads.set_num_threads(count)
        first = results()
        for _ in range(20):
            for a, b in zip(first, results(), strict=True):
                np.testing.assert_array_equal(a, b)


def test_threads_that_are_given_up_go_home():
    threads.set_num_threads(6)
    assert double(10)
    before = threading.active_count()
    threads.set_num_threads(1)
    for _ in range(100):
        if threading.active_count() <= before - 5:
            break
        threading.Event().wait(0.02)
    assert threading.active_count() <= before - 5
    assert double(10)


def test_numpys_blas_keeps_the_threads_that_its_user_gave_it():
    """Only SciPy's, which the kernels call on threads of their own, is held to one."""
    code = """
import numpy, scipy.linalg.cython_blas
from threadpoolctl import ThreadpoolController
def blas(folder):
    found = ThreadpoolController().lib_controllers
    return [x for x in found if x.user_api == "blas" and folder in x.filepath]
for library in blas("numpy.libs") + blas("scipy.libs"):
    library.set_num_threads(3)
import tinygrad_like as tg
q = tg.ones((1, 1, 4, 8))
tg.scaled_dot_product_attention(q, q, q)
print([x.num_threads for x in blas("numpy.libs")], [x.num_threads for x in blas("scipy.libs")])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if run.stdout.strip() == "[] []":
        pytest.skip("NumPy and SciPy have no BLAS libraries of their own here, but share one")
    assert run.stdout.strip() == "[3] [1]"


@pytest.mark.long
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "100000"}, 1),
        ({"OMP_NUM_THREADS": "100000"}, "cores"),
        ({"OMP_NUM_THREADS": "2,1"}, "cores"),
        ({"OMP_NUM_THREADS": "0"}, "cores"),
        ({}, "cores"),
    ],
)
def test_the_environment_says_how_many_threads_there_are(asked, expected):
    known = {n: v for n, v in os.environ.items() if not n.endswith("_NUM_THREADS")}
    code = (
        "import tinygrad_like as tg; from tinygrad_like.backend import num_threads\n"
        "print(num_threads()); tg.set_num_threads(3); print(num_threads())"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=known | asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert said.stdout.split() == [str(cores if expected == "cores" else expected), "3"]

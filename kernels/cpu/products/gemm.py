"""Matrix products by BLAS on the calling thread, for small products inside kernels.

It is SciPy's BLAS, called by its address and held to one thread, so that no threads run but those
of the pool in threads.py. NumPy's own BLAS keeps the threads that the user gave it. `link` comes
first: SciPy's linear algebra takes 0.08 s to load, which models without attention do not wait for.
"""

import functools

import threadpoolctl
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from ..machine.compile import jit
from ..machine.simd import body


@functools.cache
def link():
    """Tell compiled code where SciPy's BLAS is: needed before any that calls `gemm` is loaded."""
    for name in ("sgemm", "dgemm"):
        address = get_cython_function_address("scipy.linalg.cython_blas", name)
        binding.add_symbol(f"tinygrad_like_{name}", address)
    _hold_to_one_thread()


def _hold_to_one_thread():
    """Have SciPy's BLAS run on its caller's thread, and NumPy's too where the two share one."""
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        if library.user_api == "blas" and "numpy.libs" not in library.filepath:
            library.set_num_threads(1)


@intrinsic
def _blas(typingctx, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """Fortran's gemm, column by column: C = alpha op(A) op(B) + beta C, by addresses."""
    real = alpha
    name = "tinygrad_like_sgemm" if real == types.float32 else "tinygrad_like_dgemm"

    def codegen(context, builder, signature, args):
        byte, integer = ir.IntType(8), ir.IntType(32)
        ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = args

        def letter(flag):
            chosen = builder.select(flag, byte(ord("T")), byte(ord("N")))
            return cgutils.alloca_once_value(builder, chosen)

        def count(x):
            return cgutils.alloca_once_value(builder, builder.trunc(x, integer))

        def scalar(x):
            return cgutils.alloca_once_value(builder, x)

        def array(x):
            return builder.inttoptr(x, byte.as_pointer())

        pointers = [letter(ta), letter(tb), count(m), count(n), count(k), scalar(alpha), array(a)]
        pointers += [count(lda), array(b), count(ldb), scalar(beta), array(c), count(ldc)]
        function = ir.FunctionType(ir.VoidType(), [x.type for x in pointers])
        builder.call(cgutils.get_or_insert_function(builder.module, function, name), pointers)
        return context.get_dummy_value()

    word = types.int64
    flag = types.boolean
    return types.void(
        flag, flag, word, word, word, real, word, word, word, word, real, word, word
    ), codegen


@body
def _row_length(x):
    """The distance between two rows in elements, at least their length, as BLAS demands."""
    return max(x.strides[0] // x.itemsize, x.shape[1], 1)


@jit
def gemm(ta, tb, a, b, c, beta):
    """c = op(a) @ op(b) + beta c on this thread; op transposes a if `ta`, and b if `tb`.

    The arrays are 2-d and of one dtype. The elements of a row are contiguous, and rows may lie at
    any distance. With beta = 0, c may hold anything. This is for compiled code.
    """
    m, n = c.shape
    k = a.shape[0] if ta else a.shape[1]
    if m == 0 or n == 0:
        return
    one, beta_of_dtype = c.dtype.type(1), c.dtype.type(beta)
    # BLAS reads matrices column by column, and so sees their transposes: C^T = op(B)^T op(A)^T.
    _blas(
        tb, ta, n, m, k,
        one, b.ctypes.data, _row_length(b), a.ctypes.data, _row_length(a),
        beta_of_dtype, c.ctypes.data, _row_length(c),
    )  # fmt: skip

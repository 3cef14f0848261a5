"""Matrix products by BLAS on one thread, for the small ones inside kernels.

BLAS is SciPy's, called by its address and held to one thread, so that the one pool of threads.py
is all that runs; NumPy's own BLAS keeps the threads that the user gave it.
"""

import threadpoolctl
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from ..machine.compile import jit

for _name in ("sgemm", "dgemm"):
    _symbol = f"tinygrad_like_{_name}"
    binding.add_symbol(_symbol, get_cython_function_address("scipy.linalg.cython_blas", _name))


def _hold_to_one_thread():
    """Let SciPy's BLAS run on its caller's thread; where NumPy shares it, that is so for both."""
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        if library.user_api == "blas" and "numpy.libs" not in library.filepath:
            library.set_num_threads(1)


_hold_to_one_thread()


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

        def number(x):
            return cgutils.alloca_once_value(builder, x)

        def array(x):
            return builder.inttoptr(x, byte.as_pointer())

        given = [letter(ta), letter(tb), count(m), count(n), count(k), number(alpha), array(a)]
        given += [count(lda), array(b), count(ldb), number(beta), array(c), count(ldc)]
        function = ir.FunctionType(ir.VoidType(), [x.type for x in given])
        builder.call(cgutils.get_or_insert_function(builder.module, function, name), given)
        return context.get_dummy_value()

    word = types.int64
    flag = types.boolean
    return types.void(
        flag, flag, word, word, word, real, word, word, word, word, real, word, word
    ), codegen


@jit
def _row_length(x):
    """The distance between two rows, in elements (BLAS wants at least the row's length)."""
    return max(x.strides[0] // x.itemsize, x.shape[1], 1)


@jit
def gemm(ta, tb, a, b, c, beta):
    """c = op(a) @ op(b) + beta c on this thread, op transposing where the flag says so.

    The arrays are 2-d, of one dtype, with neighbours in a row beside each other in memory; rows may
    lie at any distance. With beta = 0, c may hold anything. To be called from compiled code.
    """
    m, n = c.shape
    k = a.shape[0] if ta else a.shape[1]
    if m == 0 or n == 0:
        return
    one, rest = c.dtype.type(1), c.dtype.type(beta)
    # Row by row is column by column of the transposes: C^T = op(B)^T op(A)^T.
    _blas(
        tb, ta, n, m, k,
        one, b.ctypes.data, _row_length(b), a.ctypes.data, _row_length(a),
        rest, c.ctypes.data, _row_length(c),
    )  # fmt: skip

"""The kernels of the reference, compiled by numba for the CPU: float32 and float64, on all threads.

machine/     SIMD, threads, memory, compiling: what every kernel stands on
math/        elementary functions and random words, of vectors
products/    products of matrices
conv/ recurrent/ attention/ reduce/     families of several files
indexing/    reading and writing at places, and order
windows/     pooling, and pictures read between their pixels
fused/       loops that are written for a function of the user's
elementwise norm optim random softmax   families of one file

Each kernel declares the arrays that it takes (machine/kernel.py). Calls with others, of other or of
mixed dtypes, go to the reference, which also has the kernels that are missing here.
"""

from . import elementwise, norm, optim, random, softmax
from .attention import kernels as _attention
from .conv import kernels as _conv
from .fused import kernels as _fused
from .indexing import index as _index
from .indexing import lines as _lines
from .indexing import order as _order
from .machine.kernel import KERNELS
from .products import lengths as _lengths
from .products import linalg as _linalg
from .recurrent import ctc as _ctc
from .recurrent import kernels as _recurrent
from .reduce import kernels as _reduce
from .reduce import scan as _scan
from .reduce import small_sums as _small_sums
from .windows import pool as _pool
from .windows import resample as _resample
from .windows import sampling as _sampling

globals().update(KERNELS)

"""Every kernel's name and signature, each with an obvious NumPy body: the contract and the oracle.

The bodies call `np` functions on arrays and nothing else, so the same text runs on CuPy arrays,
through NumPy's own dispatch. Where the formula is analytic it also takes complex numbers, so that
a complex step (x + 1e-30j) can check a derivative to the last digit.

`KERNELS` has the kernels by name, and so has this module. The decorator that registers them is in
contract.py.
"""

from . import (  # each registers its kernels
    attention,
    bag,
    conv,
    ctc,
    elementwise,
    fused,
    index,
    lengths,
    linalg,
    lines,
    norm,
    optim,
    order,
    patches,
    pool,
    random,
    recurrent,
    reduce,
    resample,
    sampling,
    scan,
    softmax,
)
from .contract import KERNELS

globals().update(KERNELS)

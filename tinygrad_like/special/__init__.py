"""Special functions under SciPy's names, with gradients: of Tensors, or of arrays.

    import tinygrad_like as tg

    tg.special.gammainc(2.0, x)      tg.special.j0(x)      tg.special.ndtri(p)

    gamma.py     gamma, beta, and their incomplete integrals
    normal.py    relatives of the error function, the normal distribution function
    bessel.py    Bessel functions
    entropy.py   entropies, element by element
    sums.py      logsumexp, softmax and log_softmax with SciPy's arguments
    of_scipy.py  SciPy's functions on a device

SciPy, or CuPy's version of it on a GPU, computes the values, in float32 for half types. Functions
that are ops of `tg` as well have their SciPy names here: gammaln is tg.lgamma, psi is tg.digamma,
expit is tg.sigmoid.
"""

from tinygrad_like.ops.elements.activation import logsigmoid as log_expit
from tinygrad_like.ops.elements.activation import sigmoid as expit
from tinygrad_like.ops.elements.elementwise import erf
from tinygrad_like.ops.elements.special import (
    betaln,
    digamma,
    erfc,
    erfinv,
    logit,
    polygamma,
    xlogy,
)
from tinygrad_like.ops.elements.special import digamma as psi
from tinygrad_like.ops.elements.special import lgamma as gammaln
from tinygrad_like.ops.elements.transcendental import sinc
from tinygrad_like.special.bessel import i0, i0e, i1, i1e, iv, ive, j0, j1, jn, y0, y1, yn
from tinygrad_like.special.entropy import entr, kl_div, rel_entr, xlog1py
from tinygrad_like.special.gamma import (
    beta,
    betainc,
    gamma,
    gammainc,
    gammaincc,
    gammasgn,
    multigammaln,
    rgamma,
)
from tinygrad_like.special.normal import erfcinv, erfcx, log_ndtr, ndtr, ndtri
from tinygrad_like.special.sums import log_softmax, logsumexp, softmax

"""Parametrizations: weight norm, spectral norm, orthogonal matrices, low-rank changes."""

import functools
import math
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Tensor, all_examples, autocast, mode, no_grad
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.computed import Parametrization
from tinygrad_like.nn.base.state import overwrite
from tinygrad_like.ops.arrays.shape import moveaxis, reshape
from tinygrad_like.ops.matrices.linalg import matmul, outer
from tinygrad_like.ops.matrices.systems import solve
from tinygrad_like.ops.reductions.reduce import norm, sum
from tinygrad_like.ops.samples import random

OUTPUT = "output"
AT_START = 15  # power iterations before the first forward, as in PyTorch


class WeightNorm(Parametrization):
    """weight = length * direction / |direction|: the length of each vector is learned by itself.

    Args:
        axis: along which the vectors are counted; each has the elements along all other axes.
            `"output"` gives one for each output: axis 1 of a Dense weight (n_in, n_out), axis 0 of
            a kernel (c_out, c_in, ...). None takes the whole weight as one vector.

    It stores `direction`, of the weight's shape, and `length`, with 1 in place of the other axes.
    ValueError for a weight in which a vector is 0.

    Source: Salimans and Kingma 2016, "Weight normalization", equation 2.
    """

    def __init__(self, axis: int | str | None = OUTPUT):
        if axis is not None and axis != OUTPUT:
            if isinstance(axis, str):
                raise ValueError(f"[WeightNorm] axis is {axis!r}, expected 'output' or an integer")
            axis = arguments.integer("WeightNorm", "axis", axis, least=-64)
        self.axis = axis

    def forward(self, direction: Tensor, length: Tensor) -> Tensor:  # type: ignore[override]
        lengths = norm(direction, axis=self._summed(direction), keepdims=True)
        return direction * (length / lengths)

    def initial(self, weight: Tensor) -> tuple[Tensor, ...]:
        length = norm(weight, axis=self._summed(weight), keepdims=True)
        if not length.data.all():
            raise ValueError("[WeightNorm] weight holds a vector of zeros, which has no direction")
        return weight, length

    def _summed(self, weight: Tensor) -> tuple[int, ...]:
        """The axes of one vector."""
        axis = self.axis
        if axis == OUTPUT:
            _check_matrix("WeightNorm", weight, "; or give an axis")
            axis = 1 if weight.ndim == 2 else 0
        elif axis is not None and not -weight.ndim <= axis < weight.ndim:
            raise ValueError(f"[WeightNorm] axis is {axis}, but weight is {weight.shape}")
        return tuple(i for i in range(weight.ndim) if axis is None or i != axis % weight.ndim)


class SpectralNorm(Parametrization):
    """weight = original / s, s an estimate of the largest singular value of `original`.

    A weight of more than two axes is a matrix with one row for each index along `axis`. With the
    buffers u and v, s = u^T original v. In training each reading first moves them `iterations`
    steps of the power iteration (one forward of a layer reads once); in evaluation they rest. The
    gradient takes them as constants.

    A checkpointed function that reads one weight twice in training moves them in between, and its
    second run is refused.

    Source: Miyato et al. 2018, "Spectral normalization for generative adversarial networks",
    algorithm 1.
    """

    def __init__(self, iterations: int = 1, axis: int = 0):
        self.iterations = arguments.integer("SpectralNorm", "iterations", iterations)
        self.axis = arguments.integer("SpectralNorm", "axis", axis, least=0)

    def forward(self, original: Tensor) -> Tensor:  # type: ignore[override]
        matrix = self._as_matrix(original)
        if self.training and not mode.recomputing:
            self._iterate(matrix.detach(), self.iterations)
        u, v = self.u.clone(), self.v.clone()  # the graph keeps them while others move
        return original / sum(matrix * outer(u, v))

    def initial(self, weight: Tensor) -> Tensor:
        _check_matrix("SpectralNorm", weight)
        if self.axis >= weight.ndim:
            raise ValueError(f"[SpectralNorm] axis is {self.axis}, but weight is {weight.shape}")
        if not weight.data.any():
            raise ValueError("[SpectralNorm] weight is 0, and so is its largest singular value")
        matrix = self._as_matrix(weight)
        self.u, self.v = (_like(random.randn(n), weight) for n in matrix.shape)
        self._iterate(matrix, AT_START)
        return weight

    def _as_matrix(self, weight: Tensor) -> Tensor:
        weight = moveaxis(weight, self.axis, 0) if self.axis else weight
        return weight if weight.ndim == 2 else reshape(weight, (weight.shape[0], -1))

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        """Move u and v towards the singular vectors of the largest singular value."""
        u, v = self.u, self.v
        with no_grad(), autocast(enabled=False):
            for _ in range(steps):
                u = _normalized(matmul(matrix, v))
                v = _normalized(matmul(matrix.T, u))
        overwrite([(self.u, u.data), (self.v, v.data)])


class Orthogonal(Parametrization):
    """weight = base map(A): a matrix with orthonormal columns (rows, if there are fewer of them).

    A weight of more than two axes is a matrix with a row for each index along its first axis, as
    in `init.orthogonal`. `base`, a buffer, is the orthogonal matrix nearest to the weight at the
    start (with columns added to make it square); A is skew-symmetric, and 0 at the start. The
    stored `skew` holds those elements of A that matter: for n x k, n >= k, n k - k (k + 1) / 2, the
    dimension of the manifold. So an optimizer without constraints moves on the manifold.

    Args:
        method: the map from skew-symmetric matrices to rotations. `"cayley"` is
            (I - A / 2)^-1 (I + A / 2), `"exp"` the matrix exponential.

    Sources: Helfrich et al. 2018, "Orthogonal recurrent neural networks with scaled Cayley
    transform"; Lezcano-Casado and Martinez-Rubio 2019, "Cheap orthogonal constraints in neural
    networks" (exp); Lezcano-Casado 2019, "Trivializations for gradient-based optimization on
    manifolds" (base).
    """

    def __init__(self, method: str = "cayley"):
        self.method = arguments.choice("Orthogonal", "method", method, tuple(MAPS))

    def forward(self, skew: Tensor) -> Tensor:  # type: ignore[override]
        shape = self.shape
        rows, columns = shape[0], math.prod(shape[1:])
        n, k = max(rows, columns), min(rows, columns)
        with autocast(enabled=False):
            q = matmul(self.base, MAPS[self.method](_skew_matrix(skew, n, k))[:, :k])
        return reshape(q.T if rows < columns else q, shape)

    def initial(self, weight: Tensor) -> Tensor:
        _check_matrix("Orthogonal", weight)
        self.shape = weight.shape
        matrix = weight.numpy().reshape(weight.shape[0], -1).astype(np.float64)
        matrix = matrix.T if matrix.shape[0] < matrix.shape[1] else matrix
        n, k = matrix.shape
        left, _, right = np.linalg.svd(matrix, full_matrices=False)
        base = np.linalg.qr(left @ right, mode="complete")[0]
        base[:, :k] = left @ right  # which qr gives up to signs
        self.base = _like(Tensor(base), weight)
        return _like(Tensor(np.zeros(len(_skew_places(n, k)[0]))), weight)


class LowRank(Parametrization):
    """weight = base + alpha / rank * down up: a frozen weight and a trained change of low rank.

    `down` is (n_in, rank) and starts as N(0, 1 / n_in), `up` is (rank, n_out) and starts as 0, so
    that the weight starts unchanged. A weight of more than two axes is a matrix with a row for each
    index along its first axis. `base` is the weight itself, frozen. After training,
    `nn.unparametrize(model, "*")` merges the change, with `keep=False` it drops it.

    Args:
        rank: at most the smaller side of the matrix.
        alpha: by default the rank.

    To train these alone: `nn.parametrize(gpt.freeze(), "*.attention.*.weight", nn.LowRank(8))`.

    Source: Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", section 4.1.
    """

    frozen = ("base",)

    def __init__(self, rank: int, alpha: float | None = None):
        self.rank = arguments.integer("LowRank", "rank", rank)
        self.alpha = self.rank if alpha is None else arguments.number("LowRank", "alpha", alpha, 0)

    def forward(self, base: Tensor, down: Tensor, up: Tensor) -> Tensor:  # type: ignore[override]
        change = matmul(down, up) * (self.alpha / self.rank)
        return base + (change if base.ndim == 2 else reshape(change, base.shape))

    def initial(self, weight: Tensor) -> tuple[Tensor, ...]:
        _check_matrix("LowRank", weight)
        n, m = weight.shape[0], math.prod(weight.shape[1:])
        if self.rank > min(n, m):
            raise ValueError(
                f"[LowRank] rank is {self.rank}, expected at most {min(n, m)} for the weight "
                f"{weight.shape}"
            )
        down = _like(init.normal((n, self.rank), std=1 / math.sqrt(n)), weight)
        up = _like(init.zeros((self.rank, m)), weight)
        return weight, down.requires_grad_(), up.requires_grad_()


def _check_matrix(name: str, weight: Tensor, fix: str = "") -> None:
    if weight.ndim < 2:
        raise ValueError(f"[{name}] weight is {weight.shape}, expected two axes or more{fix}")


def _like(x: Tensor, weight: Tensor) -> Tensor:
    """A copy in the dtype and on the device of a weight."""
    return Tensor(x, dtype=weight.dtype, device=weight.device)


def _normalized(x: Tensor) -> Tensor:
    tiny = float(np.finfo(x.dtype).tiny)
    return x / (norm(x) + tiny)


# Skew-symmetric matrices, and the maps from them to rotations


@functools.lru_cache(64)
def _skew_places(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the elements below the diagonal in the first k columns of n x n."""
    return np.tril_indices(n, -1, k)


@functools.lru_cache(64)
def _skew_layout(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """For each element of the n x n matrix: which stored element it is, and its sign or 0."""
    rows, columns = _skew_places(n, k)
    which, sign = np.zeros((n, n), np.int64), np.zeros((n, n))
    which[rows, columns] = which[columns, rows] = np.arange(len(rows))
    sign[rows, columns], sign[columns, rows] = 1, -1
    return which, sign


def _skew_matrix(skew: Tensor, n: int, k: int) -> Tensor:
    """The skew-symmetric n x n matrix A of its elements below the diagonal."""
    which, sign = _skew_layout(n, k)
    if not skew.size:  # 1 x 1
        return _like(Tensor(sign), skew)
    return skew[which] * _like(Tensor(sign), skew)


def _identity(a: Tensor) -> Tensor:
    return _like(Tensor(np.eye(a.shape[0])), a)


def _cayley(a: Tensor) -> Tensor:
    identity = _identity(a)
    return solve(identity - a * 0.5, identity + a * 0.5)


# Of the Pade approximant of degree 7 to e^x, over (-x)'s: the coefficients of x^0 to x^7.
PADE = [c / 17297280 for c in (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1)]
PADE_RADIUS = 0.95  # within it the approximant is exact to rounding in float64


def _exponential(a: Tensor) -> Tensor:
    """e^A by scaling and squaring around the approximant (V - U)^-1 (V + U), U odd and V even.

    Source: Higham 2005, "The scaling and squaring method for the matrix exponential revisited",
    section 2. For a skew-symmetric A the approximant is orthogonal, whatever its error.
    """
    raw = all_examples(a.data)
    largest = float(np.abs(backend.of(raw).to_host(raw)).sum(axis=-2).max())
    squarings = max(0, math.ceil(math.log2(largest / PADE_RADIUS))) if 0 < largest < math.inf else 0
    a = a * 0.5**squarings
    even, odd, power = _identity(a), _identity(a) * PADE[1], _identity(a)
    for i in (2, 4, 6):
        power = matmul(matmul(power, a), a)
        even, odd = even + power * PADE[i], odd + power * PADE[i + 1]
    odd = matmul(a, odd)
    y = solve(even - odd, even + odd)
    for _ in range(squarings):
        y = matmul(y, y)
    return y


MAPS: dict[str, Any] = {"cayley": _cayley, "exp": _exponential}

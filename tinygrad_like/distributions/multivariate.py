"""The normal distribution of vectors."""

import math

from tinygrad_like.distributions import noise, supports
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.ops.arrays.shape import expand_dims, squeeze, swapaxes
from tinygrad_like.ops.elements.elementwise import log, square
from tinygrad_like.ops.indexing.index import tril
from tinygrad_like.ops.matrices.linalg import einsum, inv, matmul
from tinygrad_like.ops.matrices.systems import cholesky, solve
from tinygrad_like.ops.reductions.reduce import sum


class MultivariateNormal(Distribution):
    """Normal vectors (d,) around loc.

    Args:
        loc: (..., d).
        covariance_matrix, precision_matrix, scale_tril: one of the three, (..., d, d): the
            covariance, its inverse, or a lower triangular L with L L^T = covariance, which is what
            the computation needs; each of the others takes a Cholesky decomposition at each use.

    >>> import tinygrad_like as tg
    >>> d = tg.distributions.MultivariateNormal(tg.zeros(2), scale_tril=2 * tg.eye(2))
    >>> d.variance.tolist()
    [4.0, 4.0]
    """

    parameters = supports.named(
        loc=supports.VECTOR,
        covariance_matrix=supports.SYMMETRIC,
        precision_matrix=supports.SYMMETRIC,
        scale_tril=supports.LOWER,
    )
    support = supports.VECTOR

    def __init__(
        self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, *, validate=True
    ):
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        given = {k: x for k, x in matrices.items() if x is not None}
        name = "MultivariateNormal"
        if len(given) != 1:
            raise ValueError(
                f"[{name}] got {' and '.join(given) or 'no matrix'}, expected one of "
                "covariance_matrix, precision_matrix and scale_tril"
            )
        for key, x in given.items():
            shape = getattr(x, "shape", (0,))
            if len(shape) < 2 or shape[-2:] != (*getattr(loc, "shape", ())[-1:] * 2,):
                raise ValueError(
                    f"[{name}] loc is {getattr(loc, 'shape', loc)}, {key} is {shape}, expected "
                    "(..., d) and (..., d, d)"
                )
        super().__init__(loc=loc, **given, validate=validate)

    @property
    def event_shape(self):
        """(d,)."""
        return self.loc.shape[-1:]

    @property
    def scale_tril(self):
        """The lower triangular L with L L^T = covariance."""
        given = self._given
        if "scale_tril" in given:
            return tril(given["scale_tril"])  # so that zeros get no gradient
        return cholesky(self.covariance_matrix)

    @property
    def covariance_matrix(self):
        """The covariance, (..., d, d)."""
        given = self._given
        if "covariance_matrix" in given:
            return given["covariance_matrix"]
        if "precision_matrix" in given:
            return inv(given["precision_matrix"])
        root = self.scale_tril
        return matmul(root, swapaxes(root, -1, -2))

    @property
    def precision_matrix(self):
        """The inverse of the covariance."""
        given = self._given
        return (
            given["precision_matrix"]
            if "precision_matrix" in given
            else inv(self.covariance_matrix)
        )

    def _sample(self, sizes):
        z = noise.normal((*sizes, *self.event_shape), self)
        return self.loc + squeeze(matmul(self.scale_tril, expand_dims(z, -1)), -1)

    def _log_prob(self, x):
        root = self.scale_tril
        z = squeeze(solve(root, expand_dims(x - self.loc, -1)), -1)
        return -0.5 * sum(square(z), axis=-1) - self._log_scale(root)

    def _log_scale(self, root):
        """log sqrt(det(2 pi covariance))."""
        d = self.event_shape[0]
        return sum(log(diagonal(root)), axis=-1) + 0.5 * d * math.log(2 * math.pi)

    def entropy(self):
        """log(det(2 pi e covariance)) / 2."""
        return self._log_scale(self.scale_tril) + 0.5 * self.event_shape[0]

    @property
    def mean(self):
        """loc."""
        return self.loc

    @property
    def variance(self):
        """The diagonal of the covariance."""
        return diagonal(self.covariance_matrix)


def diagonal(x):
    """The diagonals of matrices (..., d, d)."""
    return einsum("...ii->...i", x)

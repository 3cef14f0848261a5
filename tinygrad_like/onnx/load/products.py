"""Ops of ONNX that multiply matrices, and what transformers are made of."""

from tinygrad_like.engine import astype
from tinygrad_like.onnx.load.table import runs
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.indexing import index as indexing
from tinygrad_like.ops.matrices import linalg, measures


@runs("MatMul")
def matmul(a, b):
    return linalg.matmul(a, b)


@runs("Gemm")
def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    """alpha A B + beta C; beside 1, integers are multiplied as floating numbers."""
    a, b = a.T if transA else a, b.T if transB else b
    if alpha == beta == 1 and c is not None and c.shape == b.shape[1:] and a.dtype.kind == "f":
        return linalg.linear(a, b, c)
    y = linalg.matmul(a, b)
    y = y if alpha == 1 else y * alpha
    if c is not None and beta != 0:
        y = y + (c if beta == 1 else c * beta)
    return y if y.dtype == a.dtype else astype(y, dtype=a.dtype)


@runs("Einsum")
def einsum(*xs, equation):
    return linalg.einsum(equation, *xs)


@runs("Det")
def det(x):
    return measures.det(x)


@runs("RotaryEmbedding")
def rotary_embedding(
    x, cos, sin, positions=None, *, interleaved=0, num_heads=0, rotary_embedding_dim=0
):
    """Pairs of elements turned by the angles of their positions; see Su et al. 2021, RoFormer."""
    heads = x
    if x.ndim == 3:
        n, t, width = x.shape
        heads = arrays.reshape(x, shape=(n, t, num_heads, width // num_heads))
    else:
        heads = arrays.transpose(x, (0, 2, 1, 3))
    size = rotary_embedding_dim or heads.shape[-1]
    if positions is not None:
        cos, sin = indexing.take(cos, positions, 0), indexing.take(sin, positions, 0)
    cos, sin = (arrays.expand_dims(part, 2) for part in (cos, sin))
    turned, rest = heads[..., :size], heads[..., size:]
    if interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
    else:
        a, b = turned[..., : size // 2], turned[..., size // 2 :]
    real, imaginary = a * cos - b * sin, a * sin + b * cos
    if interleaved:
        y = arrays.reshape(arrays.stack((real, imaginary), axis=-1), shape=turned.shape)
    else:
        y = arrays.concatenate([real, imaginary], axis=-1)
    if rest.shape[-1]:
        y = arrays.concatenate([y, rest], axis=-1)
    return arrays.reshape(y, shape=x.shape) if x.ndim == 3 else arrays.transpose(y, (0, 2, 1, 3))

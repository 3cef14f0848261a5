"""Cases of matmul.cu."""

from cuda_case import Case
from tinygrad_like.kernels import cuda, reference
from tinygrad_like.kernels.cuda.linalg import LARGE, MIDDLE, SMALL, gemm

TILES = {"large": LARGE, "middle": MIDDLE, "small": SMALL}


def _matmul(a_shape, b_shape, how="", bound=16):
    """a @ b; `how` names the operands that are views across a transposed matrix."""

    def make(rng):
        return [
            rng.standard_normal((*shape[:-2], shape[-1], shape[-2]) if name in how else shape)
            for name, shape in (("a", a_shape), ("b", b_shape))
        ]

    def call(k, a, b):
        across = [x.swapaxes(-1, -2) if name in how else x for name, x in (("a", a), ("b", b))]
        return k.matmul(*across)

    label = "-".join("x".join(map(str, shape)) for shape in (a_shape, b_shape))
    return Case(f"matmul-{label}{how and '-across-' + how}", "matmul.cu", call, make, bound)


def _gemm(m, n, k, tile, parts=None, bias=False, activation=None, how=""):
    """One tile and one number of parts, which the shape alone would not choose."""

    def make(rng):
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        drawn = [a.T.copy() if "a" in how else a, b.T.copy() if "b" in how else b]
        return [*drawn, rng.standard_normal(n) if bias else None]

    def call(table, a, b, bias):
        a, b = (a.T if "a" in how else a), (b.T if "b" in how else b)
        if table is cuda:
            options = {"activation": activation, "tile": TILES[tile], "parts": parts}
            return gemm(a, b, bias=bias, **options)
        y = a @ b if bias is None else a @ b + bias
        if activation == "gelu":
            return reference.gelu(y, False)
        return y if activation is None else getattr(reference, activation)(y)

    label = f"gemm-{m}x{n}x{k}-{tile}-{parts}-{activation}{how and '-across-' + how}"
    dtypes = ("float32", "float64", "float16", "bfloat16")
    return Case(
        label, "matmul.cu", call, make, 16, dtypes if tile != "large" else ("float32", "float16")
    )


def _linear(rows, width, columns):
    def make(rng):
        return [rng.standard_normal(s) for s in ((rows, width), (width, columns), (columns,))]

    return Case(
        f"linear-{rows}x{width}x{columns}",
        "matmul.cu",
        lambda k, x, weight, bias: k.linear(x, weight, bias),
        make,
        16,
    )


WAYS = ("", "a", "b", "ab")
CASES = [
    *(_matmul((13, 18), (18, 21), how) for how in WAYS),
    *(_matmul((20, 24), (24, 36), how) for how in WAYS),
    _matmul((1, 1), (1, 1)),
    _matmul((3, 0), (0, 4)),
    _matmul((0, 3), (3, 4)),
    _matmul((7,), (7, 5)),
    _matmul((5, 7), (7,)),
    _matmul((7,), (7,)),
    _matmul((7,), (3, 7, 5)),
    _matmul((3, 5, 6), (3, 6, 4), "b"),
    _matmul((2, 3, 5, 6), (6, 4)),
    _matmul((5, 6), (3, 6, 4)),
    _matmul((2, 1, 5, 6), (3, 6, 4)),
    _gemm(65, 70, 37, "middle"),
    _gemm(64, 68, 20, "middle", how="ab"),
    _gemm(130, 129, 12, "large", how="b"),
    _gemm(132, 136, 9, "large"),
    _gemm(34, 33, 50, "small", parts=3, bias=True, activation="gelu"),
    _gemm(8, 36, 100, "small", parts=4, bias=True),
    _gemm(33, 36, 8, "small", bias=True, activation="relu"),
    _gemm(5, 7, 8, "small", activation="silu"),
    _linear(9, 20, 33),
    _linear(4, 0, 3),
]

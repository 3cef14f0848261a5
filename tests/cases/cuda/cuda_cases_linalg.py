"""Cases of linalg.cu and linalg_tensor.cu."""

from cuda_case import Case, misaligned
from tinygrad_like.kernels import cuda, reference
from tinygrad_like.kernels.cuda.linalg import LARGE, MIDDLE, SIMT, SMALL, TENSOR, WGMMA, gemm

TILES = {"large": LARGE, "middle": MIDDLE, "small": SMALL}


def _lying(a, b, how, shifted):
    """The operands: those in `shifted` are misaligned, those in `how` views across a matrix."""
    a, b = (misaligned(x) if name in shifted else x for name, x in (("a", a), ("b", b)))
    return [x.swapaxes(-1, -2) if name in how else x for name, x in (("a", a), ("b", b))]


def _label(how, shifted):
    return f"{how and '-across-' + how}{shifted and '-misaligned-' + shifted}"


def _matmul(a_shape, b_shape, how="", shifted=""):
    """a @ b; `how` names the operands that are views across a transposed matrix."""

    def make(rng):
        return [
            rng.standard_normal((*shape[:-2], shape[-1], shape[-2]) if name in how else shape)
            for name, shape in (("a", a_shape), ("b", b_shape))
        ]

    def call(k, a, b):
        return k.matmul(*_lying(a, b, how, shifted))

    label = "-".join("x".join(map(str, shape)) for shape in (a_shape, b_shape))
    return Case(f"matmul-{label}{_label(how, shifted)}", "linalg.cu", call, make, 16)


def _gemm(m, n, k, tile, parts=None, bias=False, activation=None, how=""):
    """One tile and one number of parts, which the shape alone would not choose."""

    def make(rng):
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        drawn = [a.T.copy() if "a" in how else a, b.T.copy() if "b" in how else b]
        return [*drawn, rng.standard_normal(n) if bias else None]

    def call(table, a, b, bias):
        a, b = (a.T if "a" in how else a), (b.T if "b" in how else b)
        if table is cuda:
            options = {"activation": activation, "tile": TILES[tile], "parts": parts, "core": SIMT}
            return gemm(a, b, bias=bias, **options)
        y = a @ b if bias is None else a @ b + bias
        if activation == "gelu":
            return reference.gelu(y, False)
        return y if activation is None else getattr(reference, activation)(y)

    label = f"gemm-{m}x{n}x{k}-{tile}-{parts}-{activation}{how and '-across-' + how}"
    dtypes = ("float32", "float64", "float16", "bfloat16")
    return Case(
        label, "linalg.cu", call, make, 16, dtypes if tile != "large" else ("float32", "float16")
    )


def _tensor(m, n, k, tile, how="", parts=None, batch=(), fused=False, core=TENSOR, shifted=""):
    """On tensor cores; float32 is drawn such that tf32 holds it."""
    warpgroups = core is WGMMA

    def make(rng):
        a, b = (rng.integers(-8, 9, (*batch, *s)) / 8 for s in ((m, k), (k, n)))
        a, b = (x.swapaxes(-1, -2).copy() if name in how else x for name, x in (("a", a), ("b", b)))
        bias = rng.standard_normal(n) if fused else None
        return [a, b, bias, rng.standard_normal((*batch, m, n)) if fused else None]

    def call(table, a, b, bias, residual):
        a, b = _lying(a, b, how, shifted)
        if table is cuda:
            options = {"core": core, "tile": core.tiles[tile], "parts": parts}
            activation = "relu" if fused else None
            return gemm(a, b, bias=bias, activation=activation, residual=residual, **options)
        y = a @ b
        return reference.relu(y + bias) + residual if fused else y

    source = "linalg_wgmma.cu" if warpgroups else "linalg_tensor.cu"
    lying = _label(how, shifted)
    label = f"{source[:-10]}-{m}x{n}x{k}-{tile}-{parts}{lying}{'-fused' * fused}"
    dtypes = ("float16", "bfloat16") if warpgroups else ("float16", "bfloat16", "float32")
    return Case(label, source, call, make, 16, dtypes)


def _residual():
    def make(rng):
        return [rng.standard_normal(s) for s in ((9, 70), (70, 20), (20,), (9, 20))]

    def call(table, a, b, bias, residual):
        if table is cuda:
            options = {"bias": bias, "residual": residual, "core": SIMT}
            return gemm(a, b, **options), gemm(a, b, **options, parts=2)
        return (a @ b + bias + residual,) * 2

    return Case("gemm-residual", "linalg.cu", call, make, 16)


def _linear(rows, width, columns):
    def make(rng):
        return [rng.standard_normal(s) for s in ((rows, width), (width, columns), (columns,))]

    return Case(
        f"linear-{rows}x{width}x{columns}",
        "linalg.cu",
        lambda k, x, weight, bias: k.linear(x, weight, bias),
        make,
        16,
    )


ACROSS = ("", "a", "b", "ab")
CASES = [
    *(_matmul((13, 18), (18, 21), how) for how in ACROSS),
    *(_matmul((20, 24), (24, 36), how) for how in ACROSS),
    *(_matmul((24, 40), (40, 32), how, "ab") for how in ACROSS),
    *(_matmul((128, 64), (64, 128), "b", shifted) for shifted in ("", "a", "b")),  # of warpgroups?
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
    _gemm(5, 7, 1090, "small", parts=1),  # in runs, the last one shorter
    _gemm(33, 36, 8, "small", bias=True, activation="relu"),
    _gemm(5, 7, 8, "small", activation="silu"),
    _residual(),
    *(_tensor(37, 41, 43, 1, how) for how in ACROSS),
    *(_tensor(40, 72, 80, 1, how) for how in ACROSS),
    *(_tensor(40, 72, 80, 1, how, shifted="ab") for how in ACROSS),
    *(_tensor(40, 72, 80, 1, shifted=shifted) for shifted in "ab"),
    _tensor(67, 66, 200, 1, parts=2),
    _tensor(66, 72, 264, 1, parts=3, fused=True, how="ab"),
    _tensor(16, 24, 40, 1, batch=(2,), fused=True),
    _tensor(130, 136, 72, 0, how="b"),
    _tensor(129, 140, 40, 0, how="a"),
    _tensor(1, 1, 1, 1),
    *(_tensor(72, 136, 136, 1, how, core=WGMMA) for how in ACROSS),
    _tensor(264, 8, 328, 0, "a", core=WGMMA),
    _tensor(130, 129, 328, 1, "b", parts=2, fused=True, core=WGMMA),
    _tensor(16, 24, 40, 1, batch=(2,), fused=True, core=WGMMA),
    _tensor(5, 8, 0, 1),
    _linear(9, 20, 33),
    _linear(4, 0, 3),
]

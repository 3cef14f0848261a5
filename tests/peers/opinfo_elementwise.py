"""How PyTorch's elementwise ops are called here: {name of the OpInfo: a function}."""

import math

from opinfo import call

import tinygrad_like as tg
from tinygrad_like import special

SAME = """
    abs add ceil conj copysign cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 floor
    floor_divide fmax fmin fmod frexp gcd heaviside hypot imag isclose isfinite isinf isnan isreal
    lcm
    ldexp lerp lgamma log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or
    logical_xor logit maximum minimum polar positive rad2deg real reciprocal remainder rsqrt sigmoid
    sign signbit sin sinc sinh sqrt square tan tanh trunc view_as_complex view_as_real xlogy
    bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift complex float_power
    angle nan_to_num round
""".split()


def moved(x, targets):
    """To each of a device, a dtype or another tensor's dtype."""
    for target in targets:
        x = x.to(target.dtype if isinstance(target, tg.Tensor) else target)
    return x


RENAMED = {
    "allclose": lambda a, b, **options: bool(tg.allclose(a, b, **options)),
    "acos": tg.arccos,
    "acosh": tg.arccosh,
    "asin": tg.arcsin,
    "asinh": tg.arcsinh,
    "atan": tg.arctan,
    "atan2": tg.arctan2,
    "atanh": tg.arctanh,
    "bitwise_not": tg.invert,
    "clone": tg.copy,
    "conj_physical": tg.conj,
    "clamp": lambda x, min=None, max=None: tg.clip(x, min=min, max=max),
    "div.no_rounding_mode": tg.divide,
    "eq": tg.equal,
    "ge": tg.greater_equal,
    "gt": tg.greater,
    "le": tg.less_equal,
    "lt": tg.less,
    "max.binary": tg.maximum,
    "min.binary": tg.minimum,
    "mul": tg.multiply,
    "ne": tg.not_equal,
    "neg": tg.negative,
    "pow": tg.power,
    "round.decimals_0": tg.round,
    "round.decimals_3": tg.round,
    "round.decimals_neg_3": tg.round,
    "sgn": tg.sign,
    "true_divide": tg.divide,
    "__radd__": lambda x, y: y + x,
    "__rand__": lambda x, y: y & x,
    "__rdiv__": lambda x, y: y / x,
    "__rmod__": lambda x, y: y % x,
    "__rmul__": lambda x, y: y * x,
    "__ror__": lambda x, y: y | x,
    "__rpow__": lambda x, y: y**x,
    "__rsub__": lambda x, y: y - x,
    "__rxor__": lambda x, y: y ^ x,
    "where": lambda x, condition, y: tg.where(condition, x, y),
    "masked_fill": tg.masked_fill,
    "to": lambda x, *args, **options: moved(x, [a for a in args if not isinstance(a, bool)]),
    "item": lambda x: x.item(),
}

# What the library has no name for, in a line of its ops.
WRITTEN = {
    "add": lambda x, y, alpha=1: x + alpha * y,
    "sub": lambda x, y, alpha=1: x - alpha * y,
    "rsub": lambda x, y, alpha=1: y - alpha * x,
    "addcmul": lambda x, a, b, value=1: x + value * a * b,
    "addcdiv": lambda x, a, b, value=1: x + value * a / b,
    "clamp_max": tg.minimum,
    "clamp_min": tg.maximum,
    "div.floor_rounding": lambda x, y, rounding_mode: tg.floor(x / y),
    "div.trunc_rounding": lambda x, y, rounding_mode: tg.trunc(x / y),
    "equal": lambda x, y: x.shape == y.shape and bool(tg.all(tg.equal(x, y))),
    "frac": lambda x: x - tg.trunc(x),
    "isneginf": lambda x: tg.equal(x, -math.inf),
    "isposinf": lambda x: tg.equal(x, math.inf),
    "nn.functional.bilinear": lambda a, b, weight, bias=None: (
        tg.einsum("...i,oij,...j->...o", a, weight, b) + (0 if bias is None else bias)
    ),
    "fill": lambda x, value: tg.full_like(x, value),
}

SPECIAL = {
    "i0": special.i0,
    "igamma": special.gammainc,
    "igammac": special.gammaincc,
    "mvlgamma.mvlgamma_p_1": special.multigammaln,
    "mvlgamma.mvlgamma_p_3": special.multigammaln,
    "mvlgamma.mvlgamma_p_5": special.multigammaln,
    **{f"polygamma.polygamma_n_{n}": lambda x, n: tg.polygamma(n, x) for n in range(5)},
    "special.polygamma.special_polygamma_n_0": lambda x, n: tg.polygamma(n, x),
    "special.bessel_j0": special.j0,
    "special.bessel_j1": special.j1,
    "special.bessel_y0": special.y0,
    "special.bessel_y1": special.y1,
    "special.entr": special.entr,
    "special.erfcx": special.erfcx,
    "special.i0e": special.i0e,
    "special.i1": special.i1,
    "special.i1e": special.i1e,
    "special.log_ndtr": special.log_ndtr,
    "special.modified_bessel_i0": special.i0,
    "special.modified_bessel_i1": special.i1,
    "special.ndtr": special.ndtr,
    "special.ndtri": special.ndtri,
    "special.xlog1py": special.xlog1py,
}

ACTIVATIONS = {
    **{
        f"nn.functional.{name}": getattr(tg, name)
        for name in """
            celu elu gelu hardshrink hardsigmoid hardswish logsigmoid mish prelu relu relu6 selu
            silu softplus softshrink softsign tanhshrink threshold
        """.split()
    },
    "nn.functional.glu": call(tg.glu, "dim"),
    "nn.functional.hardtanh": call(tg.hardtanh, min_val="min", max_val="max"),
    "nn.functional.leaky_relu": call(tg.leaky_relu, "slope", negative_slope="slope"),
    "nn.functional.silu.complex": tg.silu,
}

ROWS = {
    **{name: getattr(tg, name) for name in SAME},
    **RENAMED,
    **WRITTEN,
    **SPECIAL,
    **ACTIVATIONS,
}

"""FLOPs of ops that compute each element by one formula, and of the steps of optimizers.

Counted from the formulas: (of the call, of the gradient with respect to each input), per element of
the output. Each function and each arithmetic operation is one.
"""

from tinygrad_like.inspect.flops.rules import by_output

_COUNTS = {
    (1, 0): (
        "add subtract sign floor ceil round trunc floor_divide heaviside signbit exponent conj "
        "real imag complex positive equal not_equal less less_equal greater greater_equal "
        "logical_and logical_or logical_xor logical_not isnan isfinite isinf bitwise_and "
        "bitwise_or bitwise_xor invert isreal iscomplex bitwise_left_shift bitwise_right_shift gcd "
        "lcm nan_to_num rounded_to_bfloat16"
    ),
    (1, 1): (
        "multiply negative abs exp log maximum minimum clip copysign fmod remainder relu "
        "relu_backward ldexp"
    ),
    (1, 2): "divide square sqrt log1p log2 log10 sin cos sinh cosh exp2 expm1 cbrt direction_of",
    (1, 3): "tan tanh erf erfc sigmoid arcsin arccos arctan arcsinh arccosh arctanh power angle",
    (2, 2): "rsqrt leaky_relu hardtanh isclose dropout",
    (3, 2): "tanh_backward lerp xlogy",
    (3, 4): "hypot arctan2 sinc logit softsign tanhshrink elu celu logaddexp logaddexp2 softplus",
    (5, 8): "silu",
    (8, 14): "gelu",
    (6, 6): "rotate",
}
ELEMENTWISE = {
    name: by_output(*counts) for counts, names in _COUNTS.items() for name in names.split()
}

# Of a step, per element of the parameters, by the name of its kernel; with momentum, without decay.
OPTIMIZERS = {
    "sgd_": 5,
    "adam_": 13,
    "rmsprop_": 8,
    "adagrad_": 6,
    "nadam_": 16,
    "adamax_": 9,
    "adadelta_": 13,
    "lion_": 8,
}

"""FLOPs of ops that reduce or normalise: counted by the elements that they read.

From the formulas: (of the call, of the gradient with respect to each input), per element of the
first input. The gradient of a normalisation is that of all its inputs together.
"""

from math import prod

from tinygrad_like.inspect.flops.rules import Cost, by_input

_COUNTS = {
    (1, 0): (
        "sum argmax argmin any all sum_to sum_copies integer_cumprod running_extreme bincount "
        "histogram"
    ),
    (1, 1): (
        "mean max min cumsum max_pool2d max_pool2d_with_places avg_pool2d adaptive_max_pool2d "
        "adaptive_max_pool2d_with_places"
    ),
    (1, 2): "prod",
    (2, 2): "norm deviation along_deviation along_direction add_lines add_at",
    (3, 3): "var std",
    (3, 4): "norm_of_order softmax_backward log_softmax_backward",
    (5, 4): "softmax log_softmax logsumexp logcumsumexp softmax_cross_entropy",
}


def _norm(forward, backward):
    """The rule of a normalisation, whose gradients are one kernel."""

    def rule(call):
        n = prod(call.shapes[0])
        return Cost(forward * n, shared=backward * n)

    return rule


def _scan(call):
    n = 2 * prod(call.out)
    return Cost(n, n // 2, n)


REDUCTIONS = {
    **{name: by_input(*counts) for counts, names in _COUNTS.items() for name in names.split()},
    "layer_norm": _norm(8, 14),
    "batch_norm": _norm(8, 14),
    "group_norm": _norm(8, 14),
    "rms_norm": _norm(5, 11),
    "linear_scan": _scan,
    "linear_scan_gradients": _scan,
}

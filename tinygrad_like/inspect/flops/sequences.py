"""FLOPs of attention and of recurrent layers: of their products of matrices."""

from math import prod

from tinygrad_like.inspect.flops.rules import Cost


def _attention(call):
    """Scores and weighted values; the gradient's kernel computes the scores once more."""
    query, _, value, *_ = call.shapes
    pairs = 2 * prod(query[:-1]) * value[-2]
    d, dv = query[-1], value[-1]
    return Cost(pairs * (d + dv), (pairs * d, pairs * d, pairs * dv), shared=pairs * (d + dv))


def _recurrent(gates):
    """The rule of a layer whose steps compute `gates` times as many numbers as its state has."""

    def rule(call):
        n, t, d = call.shapes[0]
        h = call.shapes[2][0]
        of_input, of_step = 2 * n * t * d * gates * h, 2 * n * h * gates * h
        of_state = t * of_step
        through_time = of_step * max(t - 1, 0)  # from each step to the one before it
        each = of_input, of_input, of_state, 0, of_step, 0
        return Cost(of_input + of_state, each, through_time)

    return rule


SEQUENCES = {
    "scaled_dot_product_attention": _attention,
    "rnn": _recurrent(1),
    "gru": _recurrent(3),
    "lstm": _recurrent(4),
}

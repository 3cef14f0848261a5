"""Cases of norm.cu."""

from cuda_case import Case

EPS = 1e-3


def _parameters(rng, size, count):
    """Weight and bias, the last ones None if there are fewer than two."""
    drawn = [rng.standard_normal(size) for _ in range(count)]
    return [*drawn, None, None][:2]


def _inputs(shape, parameters, needs):
    """(the label of a case, the function that draws g, x, weight and bias)."""

    def make(rng):
        x = 2 * rng.standard_normal(shape) + 1
        return [rng.standard_normal(shape), x, *_parameters(rng, shape[1], parameters)]

    needed = "".join("01"[n] for n in needs)
    return f"{'x'.join(map(str, shape))}-{parameters}-{needed}", make


def _rows(shape, parameters, needs=(True, True, True)):
    """Layer norm, and without a bias RMS norm, forward and backward."""
    label, make = _inputs(shape, parameters, needs)

    def layer(k, g, x, weight, bias):
        y, mean, rstd = k.layer_norm(x, weight, bias, EPS)
        return y, mean, rstd, *k.layer_norm_backward(g, x, weight, mean, rstd, needs)

    def rms(k, g, x, weight, bias):
        y, rstd = k.rms_norm(x, weight, EPS)
        return y, rstd, *k.rms_norm_backward(g, x, weight, rstd, needs[:2])

    yield Case(f"layer_norm-{label}", "norm.cu", layer, make, bound=40)
    yield Case(f"rms_norm-{label}", "norm.cu", rms, make, bound=40)


def _images(shape, parameters, groups, needs=(True, True, True)):
    """Batch norm and group norm, forward and backward."""
    label, make = _inputs(shape, parameters, needs)

    def batch(k, g, x, weight, bias):
        y, mean, var = k.batch_norm(x, weight, bias, EPS)
        return y, mean, var, *k.batch_norm_backward(g, x, weight, mean, var, EPS, needs)

    def group(k, g, x, weight, bias):
        y, mean, rstd = k.group_norm(x, weight, bias, groups, EPS)
        return y, mean, rstd, *k.group_norm_backward(g, x, weight, groups, mean, rstd, needs)

    yield Case(f"batch_norm-{label}", "norm.cu", batch, make, bound=40)
    yield Case(f"group_norm-{label}-{groups}", "norm.cu", group, make, bound=40)


NONE = (False, False, False)
CASES = [
    *_rows((3, 5), 2),
    *_rows((70, 33), 1),
    *_rows((2, 300), 0),
    *_rows((3, 40), 2, (True, False, False)),
    *_rows((3, 40), 2, (False, False, True)),
    *_rows((3, 8), 2, NONE),
    *_rows((0, 5), 2),
    *_images((3, 4, 9), 2, 2),
    *_images((2, 6, 50), 1, 3),
    *_images((5, 2, 16), 0, 1),
    *_images((3, 4, 5), 2, 4, (False, True, False)),
    *_images((0, 4, 9), 2, 2),
]

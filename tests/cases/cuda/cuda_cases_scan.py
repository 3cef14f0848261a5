"""Cases of scan.cu."""

from cuda_case import Case


def _scan(n, steps, m, reverse):
    def make(rng):
        shape = n, steps, m
        a, b, g = rng.uniform(-1, 1, shape), rng.standard_normal(shape), rng.standard_normal(shape)
        return a, b, g, rng.standard_normal((n, m))

    def call(k, a, b, g, initial):
        h = k.linear_scan(a, b, initial, reverse)
        return h, *k.linear_scan_backward(g, a, h, initial, reverse)

    return Case(f"linear_scan-{n}-{steps}-{m}-{reverse}", "scan.cu", call, make)


CASES = [
    _scan(3, 5, 1, False),
    _scan(2, 7, 40, True),
    _scan(300, 2, 1, True),
    _scan(2, 0, 3, False),
]

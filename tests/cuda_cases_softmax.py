"""Cases of softmax.cu."""

from cuda_case import Case


def _case(name, inputs, shape):
    def make(rng):
        return [rng.standard_normal(shape) for _ in range(inputs)]

    def call(k, *arrays):
        return getattr(k, name)(*arrays)

    return Case(f"{name}-{'x'.join(map(str, shape))}", "softmax.cu", call, make)


KERNELS = {"softmax": 1, "softmax_backward": 2, "log_softmax": 1, "log_softmax_backward": 2}
CASES = [
    _case(name, inputs, shape)
    for name, inputs in KERNELS.items()
    for shape in ((1, 1), (2, 3, 33), (3, 300), (0, 5))
]

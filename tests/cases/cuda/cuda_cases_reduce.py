"""Cases of reduce.cu."""

import numpy as np
from cuda_case import Case


def _case(shape, bound=8):
    return Case(
        f"sum_middle-{'x'.join(map(str, shape))}",
        "reduce.cu",
        lambda k, x: k.sum_middle(x),
        lambda rng: [rng.standard_normal(shape)],
        bound,
    )


def _along(name, shape, axes, view=None, label="", bound=8):
    """sum_axes, sum_squares or moments over some axes of a view of what is drawn."""

    def call(k, x):
        return getattr(k, name)(x if view is None else view(x), axes)

    case = f"{name}-{'x'.join(map(str, shape))}-{axes}{label and '-' + label}"
    return Case(case, "reduce.cu", call, lambda rng: [1 + rng.standard_normal(shape)], bound)


# rows, by one warp and by several; columns; columns in parts, the last one shorter; the general
SHAPES = ((3, 5, 1), (2, 100, 1), (3, 777, 1), (1, 7, 130), (1, 333, 5), (3, 9, 7), (2, 200, 3))
# in a row and in parts of it; in two groups of axes; down columns, in parts
AXES = (
    ((3, 100), (1,)),
    ((2500,), None),
    ((2, 70, 3, 4), (1, 3)),
    ((3, 5, 2), (0, 2)),
    ((4, 200, 3), (1,)),
    ((2, 3), ()),
)
NAMES = "sum_axes", "sum_squares", "moments"
CASES = [
    *map(_case, SHAPES),
    *map(_case, ((0, 3, 2), (2, 0, 3), (1, 5000, 1), (1, 9000, 2))),
    *(_along(name, shape, axes) for name in NAMES for shape, axes in AXES),
    # very many parts; NumPy adds such rows one by one, and the reference is off by 15 epsilons
    *(_along(name, (4500, 2), (0,), bound=32) for name in NAMES),
    *(
        _along(name, (4, 5, 6), (0,), view, label)
        for name in NAMES
        for view, label in (
            (lambda x: x.transpose(2, 0, 1), "transposed"),
            (lambda x: x[::-1, ::2], "flipped, every other"),
            (lambda x: np.broadcast_to(x[:1], (7, 5, 6)), "broadcast"),
        )
    ),
]

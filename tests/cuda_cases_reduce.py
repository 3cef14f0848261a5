"""Cases of reduce.cu."""

from cuda_case import Case


def _case(shape, bound=8):
    return Case(
        f"sum_middle-{'x'.join(map(str, shape))}",
        "reduce.cu",
        lambda k, x: k.sum_middle(x),
        lambda rng: [rng.standard_normal(shape)],
        bound,
    )


# rows, by one warp and by several; columns; columns in parts, the last one shorter; the general
SHAPES = ((3, 5, 1), (2, 100, 1), (3, 777, 1), (1, 7, 130), (1, 333, 5), (3, 9, 7), (2, 200, 3))
CASES = [*map(_case, SHAPES), *map(_case, ((0, 3, 2), (2, 0, 3)))]

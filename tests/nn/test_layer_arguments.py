"""Arguments that layers refuse, by name."""

import math

import pytest

from tinygrad_like import nn

BAD = [
    (lambda: nn.Dense(0, 1), "[Dense] n_in is 0, expected a positive integer"),
    (
        lambda: nn.Conv2D(1, 2, (3, 0)),
        "[Conv2D] kernel_size is (3, 0), expected an integer of at least 1, or a pair",
    ),
    (
        lambda: nn.Conv2D(1, 2, 3, stride=0),
        "[Conv2D] stride is 0, expected an integer of at least 1",
    ),
    (lambda: nn.Conv2D(1, 2, 3, padding=-1), "padding is -1, expected an integer of at least 0"),
    (
        lambda: nn.Conv2D(1, 2, 3, padding="full"),
        "[Conv2D] padding is 'full', expected an integer of at least 0, a pair (h, w), "
        "pairs ((top, bottom), (left, right)), 'same' or 'valid'",
    ),
    (
        lambda: nn.Conv2D(4, 6, 3, groups=3),
        "[Conv2D] groups is 3, expected a divisor of c_in=4 and c_out=6",
    ),
    (lambda: nn.GroupNorm(3, 4), "[GroupNorm] groups is 3, expected a divisor of channels=4"),
    (
        lambda: nn.Conv1D(1, 2, 3, padding=(1, 2)),
        "[Conv1D] padding is (1, 2), expected an integer of at least 0, ((before, after),), 'same'",
    ),
    (lambda: nn.Conv2D(1, 2, 3, stride=True), "[Conv2D] stride is True, expected an integer"),
    (lambda: nn.Conv2D(1, 2, 3, bias="no"), "[Conv2D] bias is 'no', expected True or False"),
    (lambda: nn.Conv1D(1, 2, 3, bias=0), "[Conv1D] bias is 0, expected True or False"),
    (lambda: nn.ConvTranspose2D(1, 2, 3, bias=None), "[ConvTranspose2D] bias is None, expected"),
    (lambda: nn.MaxPool2D(2, padding="full"), "[MaxPool2D] padding is 'full', expected"),
    (lambda: nn.MaxPool2D(2, ceil_mode=1), "[MaxPool2D] ceil_mode is 1, expected True or False"),
    (
        lambda: nn.AvgPool2D(2, count_include_pad="no"),
        "[AvgPool2D] count_include_pad is 'no', expected True or False",
    ),
    (lambda: nn.MaxPool2D((1, 2, 3)), "[MaxPool2D] size is (1, 2, 3), expected an integer"),
    (lambda: nn.Dropout(1.5), "[Dropout] p is 1.5, expected a number from 0 to 1"),
    (lambda: nn.Dropout(float("nan")), "[Dropout] p is nan, expected a number from 0 to 1"),
    (lambda: nn.ELU(float("-inf")), "[ELU] alpha is -inf, expected a finite number"),
    *(
        (lambda make=make: make(2, eps=math.inf), "eps is inf, expected a number of at least 0")
        for make in (nn.BatchNorm, nn.LayerNorm, nn.RMSNorm)
    ),
    (lambda: nn.GELU("yes"), "[GELU] approximate is 'yes', expected 'none' or 'tanh'"),
    (lambda: nn.GELU(1), "[GELU] approximate is 1, expected True or False"),
    (lambda: nn.LayerNorm(()), "[LayerNorm] shape is (), expected a positive integer, or a tuple"),
    (lambda: nn.Embedding(5, -1), "[Embedding] dim is -1, expected a positive integer"),
    (lambda: nn.init.kaiming_normal((3,)), "[fans] shape is (3,), expected a Dense weight's"),
    (lambda: nn.init.orthogonal(3), "[fans] shape is 3, expected a Dense weight's"),
]


WRONG_TYPES = [
    (lambda: nn.Dense(1, 2.0), "[Dense] n_out is 2.0, expected a positive integer"),
    (lambda: nn.Dense(True, 2), "[Dense] n_in is True, expected a positive integer"),
    (
        lambda: nn.Conv1D(1, 2, (3, 3)),
        "[Conv1D] kernel_size is (3, 3), expected a positive integer",
    ),
    (lambda: nn.ELU("x"), "[ELU] alpha is 'x', expected a finite number"),
    (lambda: nn.Dropout(True), "[Dropout] p is True, expected a number from 0 to 1"),
]


@pytest.mark.parametrize(
    ("kind", "make", "message"),
    [(ValueError, *row) for row in BAD] + [(TypeError, *row) for row in WRONG_TYPES],
)
def test_bad_argument(kind, make, message):
    with pytest.raises(kind) as error:
        make()
    assert message in str(error.value)

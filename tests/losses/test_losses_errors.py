"""What losses refuse: every mistake is named."""

import re

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import losses

BCE_LOGITS = "binary_cross_entropy_with_logits"

F32 = np.float32
ONES = tg.Tensor(np.ones((8, 3), F32))
COLUMN = tg.Tensor(np.ones((8, 1), F32))
IMAGES = tg.Tensor(np.ones((2, 3, 4, 4), F32))
EMPTY = tg.Tensor(np.ones((0, 3), F32))

ERRORS = [  # the error, words of its message, loss, prediction, target, options
    (ValueError, "(8, 1), target is (8,).*target.reshape(8, 1)", "mse", COLUMN, np.ones(8), {}),
    (ValueError, "(8, 1), target is (8,)", "l1", COLUMN, tg.Tensor(np.ones(8)), {}),
    (ValueError, "(8, 3), target is (8,)", "huber", ONES, np.ones(8), {}),
    (ValueError, "p is (8, 1), target is (8,)", "binary_cross_entropy", COLUMN, np.ones(8), {}),
    (ValueError, "logits is (8, 1), target is (8,)", BCE_LOGITS, COLUMN, np.ones(8), {}),
    (ValueError, "log_q is (8, 3), p is (3,)", "kl_divergence", ONES, np.ones(3), {}),
    (ValueError, "target is ()", "mse", ONES, 1.0, {}),
    (ValueError, "the batch is empty", "mse", EMPTY, EMPTY, {}),
    (
        ValueError,
        "[cross_entropy] the batch is empty",
        "cross_entropy",
        EMPTY,
        np.zeros(0, int),
        {},
    ),
    (ValueError, "the batch is empty", "nll", EMPTY, np.zeros(0, int), {}),
    (ValueError, "no batch", "kl_divergence", EMPTY, EMPTY, {"reduction": "batchmean"}),
    (ValueError, "'avg', expected 'mean', 'sum' or 'none'", "l1", ONES, ONES, {"reduction": "avg"}),
    (ValueError, "delta is 0", "huber", ONES, ONES, {"delta": 0}),
    (TypeError, "prediction is a list", "mse", [1.0], [1.0], {}),
    (TypeError, "dtype int64, expected a floating", "mse", tg.Tensor([1]), [1], {}),
    (TypeError, "logits has dtype", "cross_entropy", np.ones((2, 3), int), [0, 1], {}),
    (
        ValueError,
        "(2, 3, 4, 4), labels are (2, 4, 4).*moveaxis(logits, 1, -1)",
        "cross_entropy",
        IMAGES,
        np.ones((2, 4, 4), int),
        {},
    ),
    (ValueError, "labels.reshape(8,)", "cross_entropy", ONES, np.ones((8, 1), int), {}),
    (ValueError, "labels are (7,)", "cross_entropy", ONES, np.ones(7, int), {}),
    (ValueError, "labels are (7, 3)", "cross_entropy", ONES, np.ones((7, 3)), {}),
    (TypeError, "of float64, expected integers", "cross_entropy", ONES, np.ones(8), {}),
    (TypeError, "of bool, expected integers", "nll", ONES, np.ones(8, bool), {}),
    (ValueError, "labels contains 3.0, expected 0 to 1", "cross_entropy", ONES, ONES * 3, {}),
    (TypeError, "floating probabilities", "cross_entropy", ONES, np.ones((8, 3), int), {}),
    (TypeError, "expected integers of shape ()", "cross_entropy", tg.Tensor(1.0), 0, {}),
    (IndexError, "contain 3, expected 0 to 2", "cross_entropy", ONES, [0] * 7 + [3], {}),
    (IndexError, "contain -1, expected 0 to 2", "cross_entropy", ONES, [0] * 7 + [-1], {}),
    (
        IndexError,
        "[cross_entropy] labels contain 3",
        "cross_entropy",
        ONES,
        [0] * 7 + [3],
        {"label_smoothing": 0.1, "ignore_index": 0},
    ),
    (IndexError, "[nll] labels contain 9", "nll", ONES, [0] * 7 + [9], {}),
    (ValueError, "all 8 labels are ignore_index=4", "nll", ONES, [4] * 8, {"ignore_index": 4}),
    (ValueError, "ignore_index needs", "cross_entropy", ONES, ONES.numpy(), {"ignore_index": 0}),
    (
        ValueError,
        "label_smoothing is 1.5",
        "cross_entropy",
        ONES,
        [0] * 8,
        {"label_smoothing": 1.5},
    ),
    (ValueError, "labels contains 2.0", "cross_entropy", ONES, ONES.numpy() * 2, {}),
    (ValueError, "p contains 1.5.*with_logits", "binary_cross_entropy", ONES * 1.5, ONES, {}),
    (ValueError, "target contains -1.0", "binary_cross_entropy", ONES, -ONES, {}),
    (ValueError, "target contains -1.0", BCE_LOGITS, ONES, -ONES, {}),
    (ValueError, "p contains -1.0", "kl_divergence", ONES, -ONES, {}),
    (ValueError, "beta is -1", "smooth_l1", ONES, ONES, {"beta": -1}),
    (
        ValueError,
        "weight is (2,), expected a shape that broadcasts to (8, 3)",
        "mse",
        ONES,
        ONES,
        {"weight": np.ones(2)},
    ),
    (ValueError, "the weights add up to 0", "l1", ONES, ONES, {"weight": np.zeros(3)}),
    (
        ValueError,
        "weight is (2,), expected one for each class, (3,)",
        "cross_entropy",
        ONES,
        [0] * 8,
        {"weight": np.ones(2)},
    ),
    (ValueError, "add up to 0", "nll", ONES, [0] * 8, {"weight": np.array([0.0, 1, 1])}),
    (ValueError, "pos_weight is (4,)", BCE_LOGITS, ONES, ONES, {"pos_weight": np.ones(4)}),
    (
        ValueError,
        "target contains 0.0, expected 1 and -1; of 0 and 1 make 2 * target - 1",
        "hinge",
        ONES,
        ONES * 0,
        {},
    ),
    (ValueError, "target contains 3.0, expected 1 and -1", "soft_margin", ONES, ONES * 3, {}),
    (ValueError, "p is 3, expected", "multi_margin", ONES, [0] * 8, {"p": 3}),
    (
        TypeError,
        "labels are of float64, expected int",
        "multilabel_margin",
        ONES,
        np.ones((8, 3)),
        {},
    ),
    (
        IndexError,
        "labels contain 3, expected 0 to 2",
        "multilabel_margin",
        ONES,
        np.full((8, 3), 3),
        {},
    ),
    (ValueError, "gamma is -1", "focal", ONES, [0] * 8, {"gamma": -1}),
    (ValueError, "p contains 3.0, expected 0 to 1; for logits", "dice", ONES * 3, ONES, {}),
]


@pytest.mark.parametrize(
    ("error", "words", "name", "prediction", "target", "options"),
    ERRORS,
    ids=[f"{i}-{row[2]}" for i, row in enumerate(ERRORS)],
)
def test_mistakes_are_named(error, words, name, prediction, target, options):
    pattern = ".*".join(map(re.escape, words.split(".*")))
    with pytest.raises(error, match=pattern) as raised:
        getattr(losses, name)(prediction, target, **options)
    assert str(raised.value).startswith(f"[{name}]")

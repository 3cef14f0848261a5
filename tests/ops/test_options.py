"""Options are checked: booleans are booleans, strings are from their list, numbers are numbers."""

import math

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like.engine import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_real,
)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_a_flag_is_a_bool_of_python_or_numpy(value):
    got = check_flag("op", "causal", value)
    assert type(got) is bool
    assert got == bool(value)


@pytest.mark.parametrize(
    "value", ["no", "False", "", 0, 1, 1.0, None, [], np.ones(1, bool), np.int64(1)]
)
def test_a_flag_is_nothing_else(value):
    with pytest.raises(ValueError, match=r"^\[op\] causal is .*, expected True or False$"):
        check_flag("op", "causal", value)


def test_a_choice_is_from_its_list():
    assert check_choice("op", "reduction", "sum", ("mean", "sum", "none")) == "sum"
    for value in ("avg", "", None, 1, ["mean"], "Mean"):
        with pytest.raises(
            ValueError, match=r"^\[op\] reduction is .*, expected 'mean', 'sum' or 'none'$"
        ):
            check_choice("op", "reduction", value, ("mean", "sum", "none"))


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_an_integer_is_python_s_or_numpy_s(value):
    got = check_integer("op", "n", value, least=3)
    assert type(got) is int
    assert got == 3


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "2", None, [2], np.array([2]), math.nan])
def test_an_integer_is_nothing_else(value):
    with pytest.raises(TypeError, match=r"^\[op\] n is .*, expected an integer$"):
        check_integer("op", "n", value)


def test_an_integer_has_a_least_value():
    with pytest.raises(ValueError, match=r"^\[op\] n is -1, expected an integer of at least 0$"):
        check_integer("op", "n", -1, least=0)


def test_an_integer_lies_in_its_range():
    assert check_integer("op", "n", 3, 1, 3) == 3
    for value in (0, 4):
        with pytest.raises(ValueError, match=rf"n is {value}, expected an integer from 1 to 3$"):
            check_integer("op", "n", value, 1, 3)
    with pytest.raises(ValueError, match=r"^\[op\] n is 0, expected a positive integer$"):
        check_integer("op", "n", 0, 1)
    with pytest.raises(TypeError, match=r"^\[op\] n is 1\.5, expected a seed$"):
        check_integer("op", "n", 1.5, 0, 9, "a seed")


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0)])
def test_a_number_is_python_s_or_numpy_s(value):
    got = check_number("op", "p", value, 0, 2)
    assert type(got) is float
    assert got == 2


@pytest.mark.parametrize("value", [True, "2", None, 1j, np.ones(1), np.True_])
def test_a_number_is_nothing_else(value):
    with pytest.raises(TypeError, match=r"^\[op\] p is .*, expected a finite number$"):
        check_number("op", "p", value)


@pytest.mark.parametrize("value", [-1, 3, math.nan, math.inf])
def test_a_number_lies_in_its_range(value):
    with pytest.raises(ValueError, match=r"^\[op\] p is .*, expected 0 to 2$"):
        check_number("op", "p", value, 0, 2, "0 to 2")


def test_a_range_is_described():
    for limits, value, expected in (
        ({}, math.inf, "a finite number"),
        ({"least": 0}, math.inf, "a number of at least 0"),
        ({"least": 0, "most": 1}, 1.5, "a number from 0 to 1"),
        ({"least": 0, "below": 1}, 1, "a number from 0 to less than 1"),
    ):
        with pytest.raises(ValueError, match=rf"^\[op\] p is {value}, expected {expected}$"):
            check_number("op", "p", value, **limits)
    assert check_number("op", "p", math.inf, 0, math.inf) == math.inf
    with pytest.raises(ValueError, match="expected a finite number"):
        check_number("op", "p", 10**400)


def test_a_real_is_any_number_or_a_tensor_of_one():
    for value in (7, 7.0, np.float16(7), np.array([[7]]), tg.Tensor([7.0])):
        got = check_real("op", "metric", value)
        assert type(got) is float
        assert got == 7
    assert math.isnan(check_real("op", "metric", math.nan))
    for value in ("7", None, True, np.True_, 1j, np.complex64(1), np.ones(2), tg.ones(2), [7]):
        with pytest.raises(TypeError, match=r"^\[op\] metric is .*, expected a number$"):
            check_real("op", "metric", value)
    with pytest.raises(ValueError, match="metric is too large for a float"):
        check_real("op", "metric", 10**400)

"""Rows that share a test: all of them run, and a failure or a skip says of which."""

import pytest
from grouped import grouped

import tinygrad_like as tg


def groups_of(test):
    """{id of a test: its rows}, as pytest reads them."""
    return {each.id: each.values[0] for each in params_of(test)}


def params_of(test):
    (mark,) = test.pytestmark
    assert mark.args[0] == "rows"
    return mark.args[1]


def test_rows_share_the_test_of_their_group():
    seen = []

    @grouped("n kind", [(1, int), (2.0, float), (3, int)], by=lambda n, kind: kind.__name__)
    def test(n, kind, fixture):
        seen.append((n, kind, fixture, tg.rand(()).item()))

    groups = groups_of(test)
    assert groups == {"int": [(1, int), (3, int)], "float": [(2.0, float)]}
    test(rows=groups["int"], fixture="given")
    first, second = seen
    assert (first[:3], second[:3]) == ((1, int, "given"), (3, int, "given"))
    assert first[3] == second[3], "the random numbers of a row depend on those before it"


def test_a_failure_names_its_row_and_hides_no_other():
    @grouped("n", range(4), by=lambda n: "all")
    def test(n):
        assert n % 2, f"{n} is even"

    with pytest.raises(AssertionError) as error:
        test(rows=groups_of(test)["all"])
    heading, first, second = str(error.value).split("\n\n")
    assert heading == "2 of 4 rows fail: 0, 2"
    assert first.startswith("0: AssertionError: 0 is even")
    assert second.startswith("2: AssertionError: 2 is even")


def test_all_but_the_first_rows_are_long():
    @grouped("n", [1, 2, 3, -1], by=lambda n: "above" if n > 0 else "below", brief=2)
    def test(n):
        pass

    assert groups_of(test) == {"above": [(1,), (2,)], "below": [(-1,)], "above-others": [(3,)]}
    assert [[mark.name for mark in each.marks] for each in params_of(test)] == [[], [], ["long"]]


def test_a_skip_says_of_how_many_rows():
    @grouped("n", range(3), by=lambda n: "some" if n else "all")
    def test(n):
        if n != 2:
            pytest.skip("no such number")

    for group, reason in (("all", "no such number"), ("some", "1 of 2 rows: no such number")):
        with pytest.raises(pytest.skip.Exception) as skip:
            test(rows=groups_of(test)[group])
        assert str(skip.value) == reason


def test_groups_that_come_together_are_one_test():
    @grouped("n", range(-2, 5), by=abs, brief=1, together=lambda n: "even" if n % 2 == 0 else "odd")
    def test(n):
        pass

    short = {"even": [(-2,), (0,), (4,)], "odd": [(-1,), (3,)]}
    assert groups_of(test) == short | {"even-others": [(2,)], "odd-others": [(1,)]}


def test_without_groups_all_rows_are_one_test_of_the_other_parameters():
    seen = []

    @pytest.mark.parametrize("letter", "ab")
    @grouped("n", iter(range(3)))
    def test(letter, n):
        seen.append((letter, n))

    assert [mark.args[0] for mark in test.pytestmark] == ["letter"]
    test(letter="a")
    test(letter="b")
    assert seen == [(letter, n) for letter in "ab" for n in range(3)]

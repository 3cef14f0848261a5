"""Many rows in few tests: pytest keeps some kilobytes for each test, in each of its processes."""

import functools
import inspect

import pytest

import tinygrad_like as tg


def grouped(names, rows, by=None, brief=None, together=str):
    """Like `pytest.mark.parametrize(names, rows)`, but all rows of a group share one test.

    The rows of a group run one after the other, each with the random numbers that it would see
    alone. One that fails stops none of the others; the message names all that fail.

    Args:
        names: the names of the arguments, with spaces between them.
        rows: the values of the arguments, one tuple for each row; of one argument the value itself.
        by: the group of a row, which is the test's id: a function of the row's values. Without it
            all rows are one test.
        brief: how many rows of each group make up its test; the others are one more test, marked
            `long`. A number or a function of the group; None for all.
        together: the id of the test that a group is part of, a function of the group; by default
            each group is a test. It does not change which rows are `long`.
    """
    names = names.split()
    every = [row if len(names) > 1 else (row,) for row in rows]
    groups = {}
    for values in every if by is not None else ():
        groups.setdefault(by(*values), []).append(values)

    def decorate(test):
        @functools.wraps(test)
        def run_all(rows=tuple(every), **fixtures):
            run_each(functools.partial(test, **fixtures), names, rows)

        parameters = inspect.signature(test).parameters
        kept = [parameter for name, parameter in parameters.items() if name not in names]
        if by is None:
            run_all.__signature__ = inspect.Signature(kept)
            return run_all
        rows = inspect.Parameter("rows", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run_all.__signature__ = inspect.Signature([rows, *kept])
        return pytest.mark.parametrize("rows", _tests(groups, brief, together))(run_all)

    return decorate


def _tests(groups, brief, together):
    """Tests of the first rows of their groups, and long ones of the others."""
    short, long = {}, {}
    for name, rows in groups.items():
        count = brief(name) if callable(brief) else brief
        count = len(rows) if count is None else count
        short.setdefault(together(name), []).extend(rows[:count])
        long.setdefault(f"{together(name)}-others", []).extend(rows[count:])
    tests = [pytest.param(rows, id=name) for name, rows in short.items() if rows]
    marked = [(name, rows) for name, rows in long.items() if rows]
    return tests + [pytest.param(r, id=name, marks=pytest.mark.long) for name, r in marked]


def run_each(test, names, rows):
    """Call a test for each row, then raise what failed; without failures, pass on what skipped."""
    failures, skips = {}, []
    for row in rows:
        tg.seed(0)
        try:
            test(**dict(zip(names, row, strict=True)))
        except pytest.skip.Exception as skip:
            skips.append(str(skip))
        except (Exception, pytest.fail.Exception) as error:
            failures[name_of(row)] = error
    if failures:
        heading = f"{len(failures)} of {len(rows)} rows fail: {', '.join(failures)}"
        texts = [f"{row}: {type(error).__name__}: {error}" for row, error in failures.items()]
        raise AssertionError("\n\n".join([heading, *texts])) from next(iter(failures.values()))
    if skips:
        some = f"{len(skips)} of {len(rows)} rows: " if len(skips) < len(rows) else ""
        pytest.skip(some + skips[0])


def name_of(row):
    """The values of a row as text: by their names, where they have one."""
    return "-".join(str(getattr(v, "name", getattr(v, "__name__", v))) for v in row)

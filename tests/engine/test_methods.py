"""The table of Tensor's operators and methods says what they are: names, arguments, defaults."""

import inspect

import pytest
from grouped import grouped

from tinygrad_like import Tensor
from tinygrad_like.engine import METHODS, complete
from tinygrad_like.engine.methods import Methods


def arguments(function):
    """(name, default) of what follows the Tensor; in `tg` attributes have a star before them."""
    return [
        (p.name, p.kind is p.VAR_POSITIONAL, p.kind is p.VAR_KEYWORD, p.default)
        for p in list(inspect.signature(function).parameters.values())[1:]
    ]


@grouped("name", METHODS)
def test_a_method_is_declared_as_it_is(name):
    declared, method = vars(Methods)[name], vars(Tensor)[name]
    assert declared is not method
    if isinstance(declared, property):
        assert isinstance(method, property)
    elif name.startswith("__"):  # Python gives operators their arguments in place
        assert len(arguments(declared)) == len(arguments(method))
    else:
        assert arguments(declared) == arguments(method)


def test_nothing_is_missing_and_nothing_undeclared():
    functions = {name: vars(Tensor)[name] for name in METHODS}

    class Other(Methods):
        pass

    complete(Other, functions)
    assert Other.exp is Tensor.exp
    without_exp = {name: f for name, f in functions.items() if name != "exp"}
    for wrong in (without_exp, functions | {"exponential": Tensor.exp}):
        with pytest.raises(TypeError, match=r"\[Tensor\].*exp"):
            complete(Other, wrong)


def test_an_attribute_that_tensors_do_not_have_is_refused():
    with pytest.raises(AttributeError, match="transposed"):
        Tensor([1.0]).transposed  # noqa: B018

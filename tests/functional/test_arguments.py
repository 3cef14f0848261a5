"""What derivatives are taken by: trees, names of parameters; and what is returned beside them."""

import dataclasses
from collections import namedtuple

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like.functional.trees import flatten, map_tree

Line = namedtuple("Line", "w b")


@dataclasses.dataclass
class Layer:
    w: object
    b: object
    power: int = dataclasses.field(default=2, metadata={"static": True})


W, B = np.array([1.0, 2.0, 3.0]), np.array(0.5)
TREES = {
    "dict": {"w": W, "b": B},
    "list": [W, B],
    "tuple": (W, B),
    "named": Line(W, B),
    "dataclass": Layer(W, B),
    "nested": {"layers": [Layer(W, {"b": B}), None]},
}


def loss(tree, scale=1.0):
    """A sum of (w^2 b) scale, for a tree of two leaves."""
    (w, b), _ = flatten(tree)
    return (w**2 * b).sum() * scale


def assert_equal(found, expected):
    leaves, build = flatten(expected)
    assert type(found) is type(expected)
    for a, b in zip(build.leaves_of(found), leaves, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def like(tree, w, b):
    return flatten(tree)[1]([w, b])


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_a_derivative_by_a_tree_is_a_tree_like_it(tree):
    slope = like(tree, 2 * W * B, (W**2).sum())
    assert_equal(tg.grad(loss)(tree), slope)
    value, found = tg.value_and_grad(loss)(tree)
    assert value.item() == 7
    assert_equal(found, slope)
    assert_equal(tg.vjp(loss, tree)[1](2.0)[0], like(tree, 4 * W * B, 2 * (W**2).sum()))
    assert_equal(tg.jacobian(loss)(tree), slope)
    along = like(tree, W, B)
    assert tg.jvp(loss, (tree,), (along,))[1].item() == pytest.approx(21)
    assert_equal(tg.hvp(loss, tree, along), like(tree, 4 * W * B, 2 * (W**2).sum()))


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_the_hessian_by_a_tree_is_a_tree_of_trees(tree):
    by_w = like(tree, np.diag(2 * B * np.ones(3)), 2 * W)
    by_b = like(tree, 2 * W, np.zeros(()))
    rows, build = flatten(tree)[0], flatten(tree)[1]
    hessian = tg.hessian(loss)(tree)
    blocks = flatten(hessian)[0]
    assert len(blocks) == len(rows) ** 2
    for found, expected in zip(blocks, [*flatten(by_w)[0], *flatten(by_b)[0]], strict=True):
        np.testing.assert_allclose(found, expected)
    assert_equal(hessian, build([by_w, by_b]))


def test_results_may_be_trees_too():
    f = lambda x: {"square": x * x, "both": (x.sum(), [3 * x])}  # noqa: E731
    value, pull_back = tg.vjp(f, W)
    np.testing.assert_array_equal(value["both"][1][0].numpy(), 3 * W)
    (found,) = pull_back({"both": (1.0, [np.ones(3)]), "square": np.ones(3)})
    np.testing.assert_allclose(found, 2 * W + 4)
    _, along = tg.jvp(f, (W,), (np.ones(3),))
    np.testing.assert_allclose(along["square"].numpy(), 2 * W)
    assert along["both"][0].item() == 3
    for direction in ("forward", "reverse", "auto"):
        blocks = tg.jacobian(f, direction=direction)(W)
        np.testing.assert_allclose(blocks["square"], np.diag(2 * W))
        np.testing.assert_allclose(blocks["both"][0], np.ones(3))
        np.testing.assert_allclose(blocks["both"][1][0], 3 * np.eye(3))


def test_leaves_keep_their_form():
    tree = {"array": W, "tensor": tg.Tensor(W), "number": 2.0}
    found = tg.grad(lambda t: (t["array"] * t["tensor"]).sum() * t["number"])(tree)
    assert [type(x) for x in found.values()] == [np.ndarray, tg.Tensor, tg.Tensor]
    inside = []
    tg.grad(lambda t: inside.append(t) or (t["array"] * t["tensor"] * t["number"]).sum())(tree)
    assert all(type(x) is tg.Tensor for x in inside[0].values())
    assert tree["number"] == 2.0


def test_second_derivatives_nest_through_trees():
    outer = tg.grad(lambda t: (tg.grad(loss)(t)["w"] * tg.Tensor(W)).sum())
    found = outer({"w": W, "b": B})
    np.testing.assert_allclose(found["w"], 2 * B * W)
    np.testing.assert_allclose(found["b"], 2 * (W * W).sum())


def test_an_argument_is_chosen_by_name():
    def f(a, b=2.0, *, c):
        return (a * b * c).sum()

    np.testing.assert_allclose(tg.grad(f, "a")(W, c=3.0), 6 * np.ones(3))
    assert tg.grad(f, "b")(W, 5.0, c=3.0).item() == 18
    assert tg.grad(f, "b")(W, c=3.0, b=5.0).item() == 18
    da, dc = tg.grad(f, ("a", "c"))(a=W, c=3.0)
    np.testing.assert_allclose(da, 6 * np.ones(3))
    assert dc.item() == 12
    da, db = tg.grad(f, (0, "b"))(W, 5.0, c=3.0)
    assert db.item() == 18
    assert tg.hessian(lambda x, y: (x * y * y).sum(), "y")(W, 2.0).item() == 12
    assert tg.jacobian(lambda **k: k["x"] * 2, "x")(x=3.0).item() == 2
    gradient = tg.grad(f, "c")
    assert tg.grad(gradient, "a")(1.0, c=3.0).item() == 2  # names reach through grad


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: tg.grad(f, "z"), ValueError, r"argnums is 'z', but .* of f are a, b, c"),
        (lambda f: tg.grad(f, ("a", "z")), ValueError, r"argnums is \('a', 'z'\), but"),
        (lambda f: tg.grad(f, "b")(W, c=1.0), ValueError, r"f was called without 'b'"),
        (lambda f: tg.hessian(f, ("a",)), TypeError, r"expected one integer or name"),
        (lambda f: tg.grad(f)({"x": W, "n": 1}, c=1.0), TypeError, r'argument 0\["n"\] has dtype'),
        (lambda f: tg.grad(f, "c")(W, c=["relu"]), TypeError, r"argument c\[0\] is a str"),
        (lambda f: tg.grad(f)(tg.nn.ReLU(), c=1.0), TypeError, r"is a ReLU.*functional_call"),
        (lambda f: tg.grad(lambda t: t["a"].sum())({"a": W, "b": [W]}), tg.GraphError,
         r'its argument 0\["b"\]\[0\]:.*allow_unused=True'),
        (lambda f: tg.grad(lambda x: [x.sum()])(W), ValueError, r"expected a scalar"),
        (lambda f: tg.vjp(lambda x: {"a": x, "b": 1}, W), TypeError, r'int as value\["b"\]'),
        (lambda f: tg.vjp(lambda x: {"a": x}, W)[1]({"b": W}), ValueError,
         r"\[vjp\] gradient is a dict with the keys 'b', expected"),
        (lambda f: tg.vjp(lambda x: {"a": x}, W)[1]({"a": B}), ValueError,
         r'\[vjp\] gradient\["a"\] has shape \(\), expected \(3,\)'),
        (lambda f: tg.jacobian(f, direction="back"), ValueError, r"direction is 'back'"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_by_their_path(call, error, message):
    with pytest.raises(error, match=message):
        call(lambda a, b=2.0, *, c: (a * b * c).sum())


def test_unused_leaves_get_zeros_if_allowed():
    found = tg.grad(lambda t: t["a"].sum(), allow_unused=True)({"a": W, "b": [W, None]})
    np.testing.assert_array_equal(found["b"][0], np.zeros(3))
    assert found["b"][1] is None


# has_aux


def with_aux(x):
    y = x * x
    return y.sum(), {"y": y, "name": "square", "count": 3}


def test_aux_is_passed_on_outside_the_graph():
    gradient, aux = tg.grad(with_aux, has_aux=True)(W)
    np.testing.assert_allclose(gradient, 2 * W)
    assert not aux["y"].requires_grad
    assert (aux["name"], aux["count"]) == ("square", 3)
    (value, aux), _ = tg.value_and_grad(with_aux, has_aux=True)(W)
    np.testing.assert_allclose(aux["y"].numpy(), W * W)
    value, pull_back, aux = tg.vjp(with_aux, W, has_aux=True)
    np.testing.assert_allclose(pull_back(1.0)[0], 2 * W)
    value, along, aux = tg.jvp(with_aux, (W,), (W,), has_aux=True)
    assert along.item() == 28
    value, push, aux = tg.linearize(with_aux, W, has_aux=True)
    assert push(W).item() == 28
    jacobian, aux = tg.jacobian(with_aux, has_aux=True)(W)
    np.testing.assert_allclose(jacobian, 2 * W)
    hessian, aux = tg.hessian(with_aux, has_aux=True)(W)
    np.testing.assert_allclose(hessian, 2 * np.eye(3))
    assert not value.requires_grad
    assert not aux["y"].requires_grad


def test_aux_is_recorded_if_something_around_is():
    def outer(x):
        gradient, aux = tg.grad(with_aux, has_aux=True)(x)
        return (gradient * aux["y"]).sum()  # 2 x^3

    np.testing.assert_allclose(tg.grad(outer)(W), 6 * W**2)
    w = tg.Tensor(2.0, requires_grad=True)
    _, aux = tg.grad(lambda x: (x * x, w * 3), has_aux=True)(1.0)
    aux.backward()
    assert w.grad.item() == 3


def test_without_a_pair_has_aux_is_refused():
    with pytest.raises(TypeError, match=r"\[grad\] f returned Tensor, expected the pair"):
        tg.grad(lambda x: x * x, has_aux=True)(1.0)
    with pytest.raises(ValueError, match=r"or if the rest .* has_aux=True"):
        tg.grad(lambda x: (x.sum(), x))(W)
    with pytest.raises(TypeError, match=r"with has_aux=True"):
        tg.grad(with_aux)(W)


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_leaves_stay_on_their_device(device):
    tree = map_tree(lambda x: tg.Tensor(x, device=device), {"w": W, "b": B})
    found = tg.grad(loss)(tree)
    assert found["w"].device == device
    np.testing.assert_allclose(found["w"].numpy(), 2 * W * B)
    for direction in ("forward", "reverse"):
        found = tg.jacobian(lambda t: t["w"] * t["b"], direction=direction)(tree)
        np.testing.assert_allclose(found["w"].numpy(), np.diag(np.full(3, B)))
        np.testing.assert_allclose(found["b"].numpy(), W)

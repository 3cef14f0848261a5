"""Trees of leaves: taken apart, built again, compared, named."""

import dataclasses
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like.functional.trees import flatten, map_tree, paths, spread_prefix

Point = namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: object
    bias: object = None
    activation: str = dataclasses.field(default="relu", metadata={"static": True})
    fan_in: int = dataclasses.field(init=False, metadata={"static": True})

    def __post_init__(self):
        object.__setattr__(self, "fan_in", len(self.weight))


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    a: object
    b: object


ARRAY = np.ones((2, 3))
TREES = {
    "leaf": (ARRAY, [ARRAY]),
    "none": (None, []),
    "empty": ([], []),
    "list": ([1, [2, 3], None], [1, 2, 3]),
    "tuple": ((1, (), (2,)), [1, 2]),
    "dict": ({"b": 1, "a": {"c": 2}, 3: 4}, [1, 2, 4]),
    "ordered": (OrderedDict(b=1, a=2), [1, 2]),
    "named": (Point(1, Point(2, 3)), [1, 2, 3]),
    "dataclass": (Layer([1, 2], {"x": 3}), [1, 2, 3]),
    "slotted": (Slotted(1, [2]), [1, 2]),
    "strings": (("relu", 1.5), ["relu", 1.5]),
}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_built_again_from_its_leaves(name):
    tree, expected = TREES[name]
    leaves, build = flatten(tree)
    assert all(a is b for a, b in zip(leaves, expected, strict=True))
    again = build(leaves)
    assert type(again) is type(tree)
    assert again is tree or again == tree
    assert len(paths(tree)) == len(leaves) == build.count
    with pytest.raises(ValueError, match=rf"\[build\] got {len(leaves) + 1} leaves"):
        build([*leaves, 1])


def test_tensors_and_modules_are_leaves():
    layer = tg.nn.Sequential(tg.nn.Dense(2, 2))
    x = tg.zeros((2, 2))
    leaves, _ = flatten([x, layer])
    assert leaves[0] is x
    assert leaves[1] is layer


def test_what_a_container_has_beside_its_leaves_is_kept():
    tree = defaultdict(list, a=1)
    built = map_tree(lambda x: -x, tree)
    assert built["a"] == -1
    assert built["new"] == []
    assert tree == {"a": 1}
    layer = map_tree(lambda x: -x, Layer([1, 2], 3, "tanh"))
    assert (layer.weight, layer.bias, layer.activation, layer.fan_in) == ([-1, -2], -3, "tanh", 2)


def test_structures_are_equal_whatever_the_order_of_a_dict():
    structure = flatten({"a": 1, "b": [2, None]})[1]
    assert structure == flatten({"b": [5, None], "a": 1})[1]
    for other in ({"a": 1}, {"a": 1, "b": (2, None)}, {"a": 1, "b": [2, 3]}, [1, [2, None]]):
        assert structure != flatten(other)[1]


def test_trees_are_mapped_by_key():
    assert map_tree(lambda x, y, z: (x, y, z), 1, 2, 3) == (1, 2, 3)
    first, second = {"a": 1, "b": (2, 3)}, {"b": (20, 30), "a": 10}
    assert map_tree(lambda x, y: x + y, first, second) == {"a": 11, "b": (22, 33)}
    assert map_tree(lambda x: x + 1, {"a": None, "b": []}) == {"a": None, "b": []}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": 1}, r"\[map_tree\] tree 1 is a dict with the keys 'a', expected .* 'a', 'b'$"),
        ([1, 2], r"tree 1 is a list of 2, expected a dict with the keys 'a', 'b'"),
        ({"a": 1, "b": 2}, r'tree 1\["b"\] is an? int, expected a tuple of 2'),
        ({"a": 1, "b": ARRAY}, r'tree 1\["b"\] is one array of shape \(2, 3\), expected a tuple'),
        ({"a": 1, "b": (2, 3, 4)}, r'tree 1\["b"\] is a tuple of 3, expected a tuple of 2'),
        ({"a": None, "b": (2, 3)}, r'tree 1\["a"\] is None, expected a single value'),
        (
            {"a": 1, "b": (2, {})},
            r'tree 1\["b"\]\[1\] is a dict with the keys \(none\), expected a',
        ),
    ],
)
def test_another_structure_is_refused_with_its_place(other, message):
    with pytest.raises(ValueError, match=message):
        map_tree(lambda x, y: x, {"a": 1, "b": (2, 3)}, other)


def test_paths_are_python():
    tree = ({"w": 1, 2: 3}, [Point(4, 5)], Layer([6]))
    names = paths(tree, "args")
    assert [eval(name, {"args": tree}) for name in names] == flatten(tree)[0]
    assert names[0] == 'args[0]["w"]'
    assert names[-1] == "args[2].weight[0]"


def test_a_prefix_gives_each_leaf_a_value():
    tree = (1, {"w": 2, "b": (3, 4)}, None)
    assert spread_prefix(0, tree) == [0, 0, 0, 0]
    assert spread_prefix(None, tree) == [None] * 4
    assert spread_prefix((0, None, None), tree) == [0, None, None, None]
    assert spread_prefix((0, {"b": 1, "w": None}, 5), tree) == [0, None, 1, 1]
    assert spread_prefix((0, {"b": (1, 2), "w": 3}, None), tree) == [0, 3, 1, 2]
    assert spread_prefix(0, None) == []


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ((0, 1), r"\[vmap\] in_axes is a tuple of 2, expected a tuple of 3"),
        ([0, 1, 2], r"in_axes is a list of 3, expected a tuple of 3"),
        (((0,), 1, 2), r"in_axes\[0\] is a tuple of 1, but there is a single value"),
        ((0, {"w": 1}, 2), r"in_axes\[1\] is a dict with the keys 'w', expected .* 'w', 'b'"),
    ],
)
def test_a_prefix_of_another_structure_is_refused(prefix, message):
    with pytest.raises(ValueError, match=message):
        spread_prefix(prefix, (1, {"w": 2, "b": 3}, 4), owner="vmap", name="in_axes")

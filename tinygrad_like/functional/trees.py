"""Trees: leaves in nested containers, as the arguments and results of a derivative may be.

A container is a dict, a list, a tuple, a named tuple or an instance of a dataclass; None is a
tree without leaves. Everything else is a leaf: Tensors, arrays, numbers, and what no derivative
can be taken with respect to, such as a string or a Module. A field of a dataclass that is
declared with `field(metadata={"static": True})` belongs to the container and holds no leaf.

>>> leaves, build = flatten({"w": 1.0, "b": [2.0, 3.0]})
>>> leaves
[1.0, 2.0, 3.0]
>>> build([10.0, 20.0, 30.0])
{'w': 10.0, 'b': [20.0, 30.0]}
"""

import copy
import dataclasses
from collections import OrderedDict, defaultdict

from tinygrad_like import backend
from tinygrad_like.engine import Tensor
from tinygrad_like.engine.errors import describe

DICTS = (dict, OrderedDict, defaultdict)


class Structure:
    """The containers of a tree without its leaves; called with leaves, it builds such a tree.

    Two structures are equal if they have the same containers with the same keys and lengths. The
    order in which a dict got its keys does not matter.
    """

    __slots__ = ("children", "count", "empty", "keys", "kind")

    def __init__(self, kind, keys=(), children=(), empty=None):
        self.kind = kind  # the class of the container; LEAF, or NoneType
        self.keys = keys
        self.children = children
        self.empty = empty  # a container like it without values, where its class needs one
        self.count = 1 if kind is LEAF else sum(child.count for child in children)

    def __call__(self, leaves):
        """The tree of this structure with these leaves, a list of as many as `count`."""
        if len(leaves) != self.count:
            raise ValueError(f"[build] got {len(leaves)} leaves, expected {self.count}")
        return leaves[0] if self.kind is LEAF else self._built(iter(leaves))

    def _built(self, leaves):
        if self.kind is LEAF:
            return next(leaves)
        values = [child._built(leaves) for child in self.children]
        if self.kind is list:
            return values
        if self.kind is tuple:
            return tuple(values)
        if self.kind is dict:
            return dict(zip(self.keys, values, strict=True))
        if self.kind is NOTHING:
            return None
        if issubclass(self.kind, tuple):
            return self.kind._make(values)
        new = copy.copy(self.empty)
        if issubclass(self.kind, dict):
            new.update(zip(self.keys, values, strict=True))
        else:
            for key, value in zip(self.keys, values, strict=True):
                object.__setattr__(new, key, value)  # also where the dataclass is frozen
        return new

    def __eq__(self, other):
        if not isinstance(other, Structure):
            return NotImplemented
        if self.kind is not other.kind or len(self.keys) != len(other.keys):
            return False
        children = dict(zip(other.keys, other.children, strict=True))
        return all(
            key in children and child == children[key]
            for key, child in zip(self.keys, self.children, strict=True)
        )

    def leaves_of(self, tree, owner="tree", name="tree"):
        """The leaves of another tree of this structure, in the order of this one.

        Raises ValueError where the tree has other containers, keys or lengths, in a message that
        starts with `[owner]` and names the place in `name`.
        """
        if self.kind is LEAF:
            if members(tree) is not None:
                raise ValueError(f"[{owner}] {name} is {_shown(tree)}, expected a single value")
            return [tree]
        return [
            leaf
            for path, child, value in self._beside(tree, owner, name)
            for leaf in child.leaves_of(value, owner, path)
        ]

    def prefix_of(self, prefix, owner, name):
        """For each leaf, the value that `prefix` has for it, see `spread_prefix`."""
        if prefix is None or members(prefix) is None:
            return [prefix] * self.count
        if self.kind is LEAF:
            raise ValueError(
                f"[{owner}] {name} is {_shown(prefix)}, but there is a single value in its place"
            )
        return [
            value
            for path, child, below in self._beside(prefix, owner, name)
            for value in child.prefix_of(below, owner, path)
        ]

    def _beside(self, tree, owner, name):
        """[(path, child of this structure, value)] for a tree whose top must be like this one's."""
        found, kind = members(tree), type(tree)
        if found is None or kind is not self.kind:
            raise ValueError(
                f"[{owner}] {name} is {_shown(tree)}, expected {_title(self.kind, self.keys)}"
            )
        values = dict(found)
        missing = [key for key in self.keys if key not in values]
        extra = [key for key in values if key not in self.keys]
        if missing or extra:
            raise ValueError(
                f"[{owner}] {name} is {_title(kind, [key for key, _ in found])}, expected "
                f"{_title(kind, self.keys)}"
            )
        return [
            (name + _step(kind, key), child, values[key])
            for key, child in zip(self.keys, self.children, strict=True)
        ]

    def paths(self, name):
        """The name of every leaf, such as `args[0]["w"]`, if the tree's own is `name`."""
        if self.kind is LEAF:
            return [name]
        return [
            path
            for key, child in zip(self.keys, self.children, strict=True)
            for path in child.paths(name + _step(self.kind, key))
        ]

    def __repr__(self):
        return f"Structure({self(self.paths('*'))!r})"


class LEAF:
    """The kind of a structure that is one leaf."""


NOTHING = type(None)
ONE_LEAF = Structure(LEAF)


def flatten(tree):
    """The leaves of a tree, and what builds a tree of the same structure.

    Returns:
        (leaves, build): a list of the leaves, the values of a dict in the dict's own order; and
        the `Structure`, of which `build(new_leaves)` makes a tree.
    """
    found = members(tree)
    if found is None:
        return [tree], ONE_LEAF
    leaves, keys, children = [], [], []
    for key, value in found:
        below, child = flatten(value)
        leaves += below
        keys.append(key)
        children.append(child)
    kind = type(tree)
    return leaves, Structure(kind, tuple(keys), tuple(children), _emptied(tree, kind))


def members(tree):
    """[(key, value)] of what a container holds; None for a leaf."""
    kind = type(tree)
    if kind is Tensor or kind in backend.BY_TYPE:
        return None
    if kind is tuple or kind is list:
        return list(enumerate(tree))
    if kind in DICTS:
        return list(tree.items())
    if tree is None:
        return []
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        return list(zip(kind._fields, tree, strict=True))
    if dataclasses.is_dataclass(kind):
        return [
            (field.name, getattr(tree, field.name))
            for field in dataclasses.fields(kind)
            if not field.metadata.get("static")
        ]
    return None


def paths(tree, name="tree"):
    """The name of each leaf of a tree for error messages, in the order of `flatten`.

    >>> paths(({"w": 1.0}, 2.0), "args")
    ['args[0]["w"]', 'args[1]']
    """
    return flatten(tree)[1].paths(name)


def map_tree(f, tree, *others, owner="map_tree"):
    """The tree of `f(leaf, ...)` for each leaf of a tree, and the same leaves of the other trees.

    Raises ValueError if another tree has not the structure of the first.

    >>> map_tree(lambda x, y: x + y, {"w": 1, "b": 2}, {"b": 20, "w": 10})
    {'w': 11, 'b': 22}
    """
    leaves, build = flatten(tree)
    if build is ONE_LEAF and not others:
        return f(tree)
    beside = [build.leaves_of(other, owner, f"tree {i}") for i, other in enumerate(others, start=1)]
    return build([f(*each) for each in zip(leaves, *beside, strict=True)])


def spread_prefix(prefix, tree, *, owner="spread_prefix", name="prefix"):
    """One value for each leaf of a tree, from a tree that may end above the leaves.

    Where the prefix has a value and the tree a container, the value counts for all leaves in it.
    None is a value of the prefix, as any other that is not a container.

    Raises ValueError where the prefix has a container and the tree has another, or a leaf.

    >>> spread_prefix((0, None), (1.0, {"w": 2.0, "b": 3.0}))
    [0, None, None]
    >>> spread_prefix((0, {"w": 1, "b": None}), (1.0, {"w": 2.0, "b": 3.0}))
    [0, 1, None]
    """
    return flatten(tree)[1].prefix_of(prefix, owner, name)


def _emptied(tree, kind):
    """A container of this class without its values, to be copied; None if the class will do."""
    if kind in (list, tuple, dict, NOTHING) or isinstance(tree, tuple):
        return None
    empty = copy.copy(tree)
    if isinstance(tree, dict):
        empty.clear()
        return empty
    for key, _ in members(tree):
        object.__setattr__(empty, key, None)
    return empty


def _step(kind, key):
    """What a path adds for a member of a container."""
    if kind in (list, tuple):
        return f"[{key}]"
    if kind in DICTS:
        return f'["{key}"]' if isinstance(key, str) else f"[{key!r}]"
    return f".{key}"


def _shown(tree):
    """A tree in an error message: its container and keys, or what the leaf is."""
    found = members(tree)
    if found is not None:
        return _title(type(tree), [key for key, _ in found])
    if isinstance(tree, Tensor) or backend.of(tree) is not None:
        return f"one array of shape {tree.shape}"
    return describe(tree)


def _title(kind, keys):
    """A container in an error message."""
    if kind is NOTHING:
        return "None"
    if kind in (list, tuple):
        return f"a {kind.__name__} of {len(keys)}"
    if kind in DICTS:
        return f"a {kind.__name__} with the keys {', '.join(map(repr, keys)) or '(none)'}"
    return f"a {kind.__name__}"

"""Evaluation: a function run once on fresh inputs, ready to be differentiated.

Every derivative starts with one. The arguments to differentiate by are trees; each of their leaves
becomes a Tensor of its own that a backward walk can stop at.
"""

import inspect
import operator
import threading

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    GraphError,
    Tensor,
    enable_grad,
    errors,
    gradients,
    inside,
    mode,
    nodes_below,
    wrap,
)
from tinygrad_like.functional.trees import ONE_LEAF, flatten, map_tree
from tinygrad_like.ops.arrays.shape import reshape


def function(owner, f):
    """`f`, if it can be called; TypeError that says what to call otherwise."""
    if isinstance(f, Tensor):
        raise TypeError(
            f"[{owner}] the first argument is a Tensor, expected a function. For the gradient of a "
            "result that is there, call loss.backward() and read w.grad; for that of a function, "
            "write it: tg.grad(lambda w: ...)(w)"
        )
    if not callable(f):
        raise TypeError(f"[{owner}] f is {errors.describe(f)}, expected a function of Tensors")
    return f


class Chosen:
    """The arguments that `argnums` chooses: by position, by the name of a parameter, or several.

    Raises TypeError if `argnums` is none of these, ValueError for a name that f does not have.
    """

    __slots__ = ("argnums", "owner", "parameters", "places", "several")

    def __init__(self, owner, f, argnums):
        self.owner, self.argnums = owner, argnums
        self.several = isinstance(argnums, (tuple, list))
        try:
            self.places = tuple(map(_place, argnums if self.several else [argnums]))
        except TypeError:
            got = errors.describe(argnums) if hasattr(argnums, "shape") else repr(argnums)
            raise TypeError(
                f"[{owner}] argnums is {got}, expected an integer, the name of a parameter, or a "
                "tuple of these; "
                f"the arguments of f are given to what {owner} returns: {owner}(f)(x)"
            ) from None
        self.parameters = []
        if any(isinstance(place, str) for place in self.places):
            self.parameters = self._parameters_of(f)

    def _parameters_of(self, f):
        """The names of f's positional parameters, after a check of the names in argnums."""
        try:
            parameters = inspect.signature(f).parameters.values()
        except ValueError:  # of a function that is not written in Python
            return []
        named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            for place in self.places:
                if isinstance(place, str) and place not in named:
                    raise ValueError(
                        f"[{self.owner}] argnums is {self.argnums!r}, but the parameters of f are "
                        f"{', '.join(named) or 'none'}; "
                        f"the arguments of f are given to what {self.owner} returns: "
                        f"{self.owner}(f)(x)"
                    )
        return [p.name for p in parameters if p.name in named and p.kind is not p.KEYWORD_ONLY]

    def find(self, args, kwargs):
        """[where each chosen argument is]: an index of `args`, or a key of `kwargs`."""
        found = []
        for place in self.places:
            if isinstance(place, str) and place not in kwargs:
                index = self.parameters.index(place) if place in self.parameters else len(args)
                if index >= len(args):
                    raise ValueError(
                        f"[{self.owner}] argnums is {self.argnums!r}, but f was called without "
                        f"{place!r}; give it a value to differentiate at"
                    )
                found.append(index)
                continue
            if not isinstance(place, str) and not -len(args) <= place < len(args):
                raise ValueError(
                    f"[{self.owner}] argnums is {self.argnums!r}, but f was given {len(args)} "
                    "arguments"
                )
            found.append(place)
        return found

    def in_their_form(self, results):
        """The results for the chosen arguments: one, or a tuple, as `argnums` is."""
        return tuple(results) if self.several else results[0]


def _place(argnum):
    if isinstance(argnum, str):
        return argnum
    if isinstance(argnum, (bool, Tensor)):
        raise TypeError
    return operator.index(argnum)


class _Nesting(threading.local):
    derived = False  # whether a derivative was taken inside the innermost one under way


_nesting = _Nesting()


class Evaluation:
    """One run of f: its inputs and outputs as lists of leaves, and the graph between them.

    Args:
        owner: the public function at work, for error messages.
        f: a function of trees, which returns a tree of Tensors.
        args, kwargs: what f is called with.
        places: the arguments to differentiate by: indices of `args`, or keys of `kwargs`.
        allow_unused: whether an input that the outputs do not depend on is accepted.
        has_aux: whether f returns a pair, of which only the first member is differentiated.
    """

    def __init__(self, owner, f, args, kwargs, places, allow_unused=False, has_aux=False):
        self.owner, self.places = owner, places
        self.given = []  # the leaves of the chosen arguments
        self.inputs = []  # the same as fresh Tensors
        self.structures = []  # of each chosen argument
        args = list(args)
        for place in places:
            group = kwargs if type(place) is str else args
            leaves, build = flatten(group[place])
            self.structures.append(build)
            self.given += leaves
            if build is ONE_LEAF:
                group[place] = fresh = self._fresh(leaves[0], place, 0)
                self.inputs.append(fresh)
            else:
                fresh = [self._fresh(x, place, i, build) for i, x in enumerate(leaves)]
                group[place] = build(fresh)
                self.inputs += fresh
        _nesting.derived = False
        try:
            with enable_grad():
                result = f(*args, **kwargs)
            of_first_order = not _nesting.derived
        finally:
            _nesting.derived = True
        self._aux = None
        if has_aux:
            result, self._aux = self._pair(result)
        self._read(result)
        below = self._below(self.outputs)
        if of_first_order and not allow_unused:
            self._refuse_unused(below)
        for x in self.inputs:
            if x.is_leaf:
                x.node.finished = True
        # The derivative must itself be recorded if it depends on anything that is.
        self.create_graph = mode.grad and depends_on_recorded(below)

    def _fresh(self, x, place, i, build=ONE_LEAF):
        """An input that the walk can stop at: a leaf, or a new node above a recorded tensor."""
        if isinstance(x, Tensor):
            x = inside(x if mode.grad else x.detach())
            if x.node is not None:
                return reshape(x, x.shape)
            t = wrap(x._array, None, x.version)
        else:
            try:
                t = inside(Tensor(x))
            except TypeError as error:
                if hasattr(x, "dtype"):
                    raise
                cure = "; to differentiate by a Module's parameters, see tg.functional_call"
                raise TypeError(
                    f"[{self.owner}] {_path(place, i, build)} is {errors.describe(x)}, expected a "
                    "Tensor, an array or a number, or a dict, list, tuple or dataclass of these"
                    + (cure if callable(x) else "")
                ) from error
        if t.dtype.kind not in INEXACT:
            raise TypeError(
                f"[{self.owner}] {_path(place, i, build)} has dtype {t.dtype}, expected a "
                "floating one; write 2.0 instead of 2, or choose other argnums"
            )
        t.requires_grad = True
        return t

    def _pair(self, result):
        """(value, aux) that f returned."""
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"[{self.owner}] f returned {_kind(result)}, expected the pair (value, aux), as "
                "has_aux=True says"
            )
        return result

    def _read(self, result):
        """Take f's result apart, and check its leaves."""
        self.outputs, self.build = flatten(result)
        for i, y in enumerate(self.outputs):
            if not isinstance(y, Tensor):
                where, hint = "", ""
                if self.build is not ONE_LEAF:
                    where = f" as {self.build.paths('value')[i]}"
                    hint = "; what is only passed on is the second of a pair, with has_aux=True"
                raise TypeError(
                    f"[{self.owner}] f returned {_kind(y)}{where}, expected one Tensor{hint}"
                )

    def _below(self, tensors):
        first, *others = map(nodes_below, tensors) if tensors else [set()]
        return first.union(*others) if others else first

    def _refuse_unused(self, below):
        """Raise GraphError for an input that no output depends on.

        A part of the graph that f freed by a backward pass of its own says nothing about it.
        """
        for i, x in enumerate(self.inputs):
            if x.node not in below and not any(node.saved is None for node in below):
                name = self.paths()[i].removeprefix("argument ")
                raise GraphError(
                    f"[{self.owner}] the output of f does not depend on its argument {name}: f "
                    "must compute with its own arguments, not with Tensors of the same name from "
                    "outside (`lambda w: model(x)`), and not by way of .numpy(), detach() or "
                    "no_grad(); pass allow_unused=True to get zeros"
                )

    def paths(self):
        """The name of each input, such as `argument 0["w"]`."""
        pairs = zip(self.places, self.structures, strict=True)
        return [path for place, build in pairs for path in build.paths(f"argument {place}")]

    def value(self):
        """f's value; outside the graph, unless something around this call is recorded."""
        return self.build(self.outputs if self.create_graph else list(map(_left, self.outputs)))

    def aux(self):
        """The second member of f's result, its Tensors detached as those of the value are."""
        tensors = [x for x in flatten(self._aux)[0] if isinstance(x, Tensor)]
        if mode.grad and depends_on_recorded(self._below(tensors)):
            return self._aux
        return map_tree(lambda x: _left(x) if isinstance(x, Tensor) else x, self._aux)

    def is_recorded(self, tensors):
        """Whether what is computed from the derivative and these Tensors must be recorded."""
        return mode.grad and (self.create_graph or any(t.node is not None for t in tensors))

    def pull_back(self, seeds, outputs=None, retain_graph=False):
        """The gradients of the inputs, Tensors; `seeds` are Tensors or None, one per output."""
        return gradients(
            self.outputs if outputs is None else outputs,
            self.inputs,
            seeds,
            create_graph=self.is_recorded([g for g in seeds if g is not None]),
            retain_graph=retain_graph,
        )

    def in_given_form(self, found):
        """One tree per chosen argument of what was found for each input, a list of Tensors.

        Where an array was given, an array comes back.
        """
        leaves = [
            d.data if backend.of(x) is not None and not d.requires_grad else d
            for x, d in zip(self.given, found, strict=True)
        ]
        trees, start = [], 0
        for build in self.structures:
            end = start + build.count
            trees.append(leaves[start] if build is ONE_LEAF else build(leaves[start:end]))
            start = end
        return trees

    def leaves_like(self, like, build, tree, name):
        """The leaves of a tree as Tensors of the shapes of `like`, a list of Tensors."""
        leaves = build.leaves_of(tree, self.owner, name)
        tensors = []
        for i, (x, y) in enumerate(zip(leaves, like, strict=True)):
            t = x if isinstance(x, Tensor) else Tensor(x, dtype=y.dtype, device=y.device)
            if t.shape != y.shape:
                raise ValueError(
                    f"[{self.owner}] {build.paths(name)[i]} has shape {t.shape}, expected {y.shape}"
                )
            tensors.append(t)
        return tensors


def _left(x):
    """A Tensor outside the graph of an evaluation; inside vmap, in that of all examples still."""
    return wrap(x._array, None, x.version) if mode.grad else x.detach()


def _path(place, i, build):
    return build.paths(f"argument {place}")[i]


def _kind(x):
    return type(x).__name__


def depends_on_recorded(nodes):
    """Whether a leaf is among these nodes that is not one of a derivative's own."""
    return any(node.plan is None and not node.finished for node in nodes)

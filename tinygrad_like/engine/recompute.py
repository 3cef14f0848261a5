"""Recomputing instead of storing: what a checkpointed function saved is dropped and made again.

A checkpointed function is recorded like any other; then what its nodes have saved is dropped. When
the walk comes to such a node, it runs the function a second time, on the same inputs and random
numbers, and puts what the second run saves in its place. The graph that is walked stays that of
the first run: all sums are made in the same order, so every gradient, of every order, has the
same bits as without a checkpoint, and a parameter that the function closes over is a leaf like
any other.
"""

from functools import partial
from operator import attrgetter
from typing import Any

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import errors
from tinygrad_like.engine.containers import tensors_in
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.modes import Switch, enable_grad, mode
from tinygrad_like.engine.tensor import backend_of, next_serial
from tinygrad_like.generator import GENERATOR, get_rng_state, set_rng_state


def checkpoint(f, *inputs):
    """`f(*inputs)`, storing only the inputs for the backward pass, which runs `f` once more.

    It saves memory (of a block: its input, not all that lies between) for about a third more time.
    Gradients, of all orders, are bitwise those of `f(*inputs)`, dropout included: the second run
    draws the same random numbers. The running statistics of BatchNorm move once.

    Args:
        f: a function or Module that returns Tensors, also in tuples, lists or dicts. What it does
            must depend on its inputs, its parameters and the random stream alone.
        inputs: Tensors, or anything else that `f` takes.

    Raises:
        TypeError: if `f` is not callable, or returns no Tensors.
        GraphError: if `f` changes an input in place. In the backward pass: if an input was
            changed in place since, or `f` does not repeat what it did.

    >>> import tinygrad_like as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> tg.checkpoint(lambda x: tg.exp(x * x), x).sum().backward()
    """
    if not callable(f):
        raise TypeError(f"[checkpoint] f is {errors.describe(f)}, expected a function or Module")
    return _Rerun(f, inputs).first() if mode.grad else f(*inputs)


class Dropped:
    """Stands in a node for what it had saved, until the walk needs it."""

    __slots__ = ("place", "rerun")

    def __init__(self, rerun, place):
        self.rerun, self.place = rerun, place

    def bring_back(self):
        """What the second run saves at this place."""
        saved = self.rerun.take(self.place)
        return saved.bring_back() if type(saved) is Dropped else saved  # a checkpoint inside


class _Rerun:
    """A checkpointed call: what its second run needs, and what shows that it was the same."""

    def __init__(self, f, inputs):
        self.f, self.inputs = f, inputs
        self.tensors = tensors_in(inputs)
        self.versions = [x.version[0] for x in self.tensors]
        self.random, self.autocast = get_rng_state(), mode.autocast
        self.saved: Any = None  # what the second run has saved, by place

    def first(self):
        """Run f, and drop what it has saved."""
        outputs, nodes = self._run()
        if not tensors_in(outputs):
            raise TypeError(
                f"[checkpoint] f returned {errors.describe(outputs)}, expected a Tensor, or a "
                "tuple, list or dict of them"
            )
        self._check_versions("f changed it: then f cannot run again; let it return a new tensor")
        if nodes:
            self.calls, self.checksums = _calls(nodes), _checksums(outputs)
        for place, node in enumerate(nodes):
            node.saved = Dropped(self, place)
        return outputs

    def take(self, place):
        """What the second run has saved at a place, which can be taken only once."""
        if self.saved is None:
            self._run_again()
        saved, self.saved[place] = self.saved[place], None
        return saved

    def _run(self):
        """(f's outputs, the nodes below them that have saved anything, in the order of calls)."""
        start = next_serial()
        outputs = self.f(*self.inputs)
        nodes = list(dict.fromkeys(t.node for t in tensors_in(outputs)))
        nodes = [node for node in nodes if node is not None and node.serial > start]
        seen = set(nodes)
        for node in nodes:  # grows while it is walked
            for p in node.parents:
                if p is not None and p.serial > start and p not in seen:
                    seen.add(p)
                    nodes.append(p)
        return outputs, sorted((n for n in nodes if n.saved), key=attrgetter("serial"))

    def _run_again(self):
        self._check_versions("it is needed for the backward pass: change a copy")
        again = partial(setattr, mode, "recomputing", mode.recomputing)
        back = [again, GENERATOR.back()]
        try:
            with Undoing(back), Switch("autocast", self.autocast), enable_grad():
                mode.recomputing = True
                set_rng_state(self.random)
                outputs, nodes = self._run()
        except Exception as error:
            errors.annotate(error, "(in the second run of a checkpointed function)")
            raise
        if _calls(nodes) != self.calls:
            raise _not_the_same("made other calls")
        if _checksums(outputs) != self.checksums:
            raise _not_the_same("returned other values")
        self.saved = [node.saved for node in nodes]
        for node in nodes:
            node.saved = ()
        self.f = self.inputs = self.tensors = None

    def _check_versions(self, reason):
        for i, (x, at) in enumerate(zip(self.tensors, self.versions, strict=True)):
            if x.version[0] != at:
                raise GraphError(
                    f"[checkpoint] input tensor {i} of shape {x.shape} was changed in place "
                    f"(it was at version {at}, now {x.version[0]}); {reason}"
                )


def _calls(nodes):
    """Which ops were called for which gradients, and the shapes of their outputs."""
    return [(node.plan, node.shape) for node in nodes]


def _checksums(outputs):
    return [backend_of(t).fingerprint(t.data) for t in tensors_in(outputs)]


def _not_the_same(what):
    return GraphError(
        f"[checkpoint] f {what} when it ran again for the backward pass. It must depend on its "
        "inputs, its parameters and the library's random numbers alone: look for a parameter that "
        "was changed before backward (an optimizer's step), train() or eval() in between, hooks or "
        "taps that came or went, random numbers of another library"
    )

"""What a recorded call keeps, and what its backward runs: one plan for each set of inputs."""

from operator import itemgetter

import numpy as np

from tinygrad_like.engine import errors
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.tensor import Tensor

# What a rule can ask for, see Op.
INPUT, OUT, SHAPE, ATTRIBUTE, EXTRA, BACKEND, NEEDS = range(7)


class Plan:
    """For one op and one set of inputs that need a gradient: what to save, and what to run."""

    __slots__ = ("backward", "needs", "only_input", "op", "plain", "read", "saves", "steps")

    def __init__(self, op, mask, count):
        self.op = op
        self.plain = not (op.backward or op.several)  # its rules can run one by one
        self.needs = tuple(bool(mask >> i & 1) for i in range(count))
        self.backward = op.backward
        active = [i for i in range(count) if mask >> i & 1]
        rules: list = [(i, None, []) for i in active]
        wanted: list = []
        if op.backward:
            wanted += op.backward_wants
            if op.composite:  # the second order runs it on the inputs and the attributes
                wanted += [(INPUT, i) for i in range(len(op.inputs))]
                wanted += [(ATTRIBUTE, name) for name in op.attributes]
        else:
            for i in active:
                name = op.inputs[i]
                if name not in op.rules:
                    raise GraphError(
                        f"[{op.name}] is not differentiable by {name}; "
                        "detach() it if it is meant as a constant"
                    )
                rules[active.index(i)] = i, op.rules[name], op.wants[name]
                wanted += op.wants[name]
        self.saves = tuple(dict.fromkeys(wanted))
        self.only_input = None  # (where, name), if one input is all that is saved
        if len(self.saves) == 1 and self.saves[0][0] == INPUT and not op.variadic:
            where = self.saves[0][1]
            self.only_input = where, op.inputs[where]
        self.read = _reader(self.saves, op.backward_wants) if op.backward else None
        self.steps = tuple((i, rule, _reader(self.saves, wants)) for i, rule, wants in rules)

    def save(self, args, arrays, attributes, out, counters, extra, be):
        """What the rules will read, and (counter, version, name) of each Tensor among it."""
        op = self.op
        if self.only_input is not None:
            where, name = self.only_input
            return (arrays[where],), (_version(args[where], name),)
        saved: list = []
        versions: list = []
        for kind, where in self.saves:
            if kind == INPUT:
                if op.variadic:
                    saved.append(tuple(arrays))
                    names = errors.input_names(op, len(arrays))
                    versions.extend(map(_version, args, names))
                else:
                    saved.append(arrays[where])
                    x = args[where]  # as _version, written out
                    counter = x.version if type(x) is Tensor else _NO_COUNTER
                    versions.append((counter, counter[0], op.inputs[where]))
            elif kind == OUT:
                saved.append(out)
                versions += [(counter, counter[0], "the output") for counter in counters]
            elif kind == SHAPE:
                saved.append(
                    tuple(map(np.shape, arrays)) if op.variadic else np.shape(arrays[where])
                )
            elif kind == ATTRIBUTE:
                saved.append(attributes[where] if where in attributes else op.attributes[where])
            elif kind == EXTRA:
                saved.append(extra[where])
            else:
                saved.append(be if kind == BACKEND else self.needs)
        return saved, versions


_NO_COUNTER = [0]


def _version(x, name):
    """A Tensor's version counter and where it stands; raw arrays and numbers have none."""
    counter = x.version if type(x) is Tensor else _NO_COUNTER
    return counter, counter[0], name


def _reader(saves, wanted):
    """A function from what was saved to the sequence of what one rule wants of it."""
    places = [saves.index(w) for w in wanted]
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0, 0))


class OutputPlan:
    """The plan of a node that stands for the k-th output of an op with several."""

    __slots__ = ("k", "op", "plain", "steps")

    def __init__(self, op, k):
        self.op, self.k, self.plain, self.steps = op, k, False, ()

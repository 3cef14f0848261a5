"""What a recorded call keeps, and what its backward runs: one plan for each set of inputs."""

import functools
from operator import itemgetter

from tinygrad_like import backend
from tinygrad_like.engine import errors
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.tensor import Tensor

# What a rule can ask for, see Op.
INPUT, OUT, SHAPE, ATTRIBUTE, EXTRA, BACKEND, NEEDS = range(7)


class Plan:
    """For one op and one set of inputs that need a gradient: what to save, and what to run."""

    __slots__ = ("backward", "lasting", "needs", "op", "plain", "read", "save", "saves", "steps")

    def __init__(self, op, mask, count):
        self.op = op
        self.plain = not (op.backward or op.several)  # its rules can run one by one
        # Views of several parts save no array, and parts may be differentiated one after another.
        self.lasting = op.several and op.view
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
        self.save = _saver(op, self.saves, self.needs)
        self.read = _reader(self.saves, op.backward_wants) if op.backward else None
        self.steps = tuple((i, rule, _reader(self.saves, wants)) for i, rule, wants in rules)

    def gradients(self, saved, g):
        """What the rules return for a gradient of the output, in a sequence or a dict by input."""
        if self.read is not None:  # one function for all inputs
            return self.backward(g, *self.read(saved))
        return {i: rule(g, *read(saved)) for i, rule, read in self.steps}


_NO_COUNTER = [0]


def _version(x, name):
    """A Tensor's version counter and where it stands; raw arrays and numbers have none."""
    counter = x.version if type(x) is Tensor else _NO_COUNTER
    return counter, counter[0], name


def _output_version(counter):
    return counter, counter[0], "the output"


def _copy(x):
    """A copy of an array; anything else unchanged."""
    return x.copy() if type(x) in backend.BY_TYPE else x


# What a call's saved values are read from, and (counter, version, name) of those that can change,
# as text for `_saver`: {where} is the number of an input, or the name of an attribute.
_VALUES = {
    INPUT: "arrays[{where}]",
    OUT: "out",
    SHAPE: 'getattr(arrays[{where}], "shape", ())',
    ATTRIBUTE: "attributes.get({where!r}, default_{where})",
    EXTRA: "extra[{where}]",
    BACKEND: "be",
    NEEDS: "needs",
}
_VERSIONS = {
    INPUT: "((c := x.version if type(x := args[{where}]) is Tensor else none), c[0], {name!r})",
    OUT: '(c := counters[0], c[0], "the output")',
}
_VALUES_OF_MANY = {  # of an op with *inputs
    INPUT: "tuple(arrays)",
    SHAPE: 'tuple([getattr(a, "shape", ()) for a in arrays])',
}
_VERSIONS_OF_MANY = {  # of an op with *inputs, or with several outputs
    INPUT: "*map(version, args, names(len(arrays)))",
    OUT: "*map(output_version, counters)",
}


def _saver(op, saves, needs):
    """Returns a function of a call: the values to save, and the version of each Tensor's memory.

    It is written out as text for these `saves` and compiled, since each recorded call runs it: a
    loop over them takes 0.15 to 0.2 microseconds more, which is a twentieth of a small op. The
    text is put together from the tables above and the op's own parameter names, never from values.
    """
    known = {"Tensor": Tensor, "none": _NO_COUNTER, "needs": needs, "copy": _copy}
    known |= {"version": _version, "output_version": _output_version}
    known |= {"names": functools.partial(errors.input_names, op)}
    known |= {f"default_{name}": default for name, default in op.attributes.items()}
    values, versions = [], []
    for kind, where in saves:
        text = (_VALUES_OF_MANY if op.variadic else _VALUES).get(kind, _VALUES[kind])
        value = text.format(where=where)
        values.append(f"copy({value})" if where in op.copied else value)
        if kind in _VERSIONS:
            many = op.several if kind == OUT else op.variadic
            name = op.inputs[where] if kind == INPUT else None
            text = (_VERSIONS_OF_MANY if many else _VERSIONS)[kind]
            versions.append(text.format(where=where, name=name))
    call = "args, arrays, attributes, out, counters, extra, be"
    return eval(f"lambda {call}: ([{', '.join(values)}], [{', '.join(versions)}])", known)


def _reader(saves, wanted):
    """Returns a function that picks one rule's arguments from the saved values."""
    places = [saves.index(w) for w in wanted]
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0, 0))


class OutputPlan:
    """The plan of a node that stands for the k-th output of an op with several."""

    __slots__ = ("k", "lasting", "op", "plain", "steps")

    def __init__(self, op, k):
        self.op, self.k, self.plain, self.lasting, self.steps = op, k, False, False, ()

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


def _saver(op, saves, needs):
    """A function of a call: what its rules will read, and (counter, version, name) of each Tensor.

    It is written out for these `saves` and compiled: a loop over them takes as long as a small op.
    """
    known = {"Tensor": Tensor, "version": _version, "none": _NO_COUNTER, "needs": needs}
    known |= {"output_version": _output_version, "copy": _copy}
    values, versions = [], []
    for kind, where in saves:
        if kind == INPUT and op.variadic:
            known["names"] = functools.partial(errors.input_names, op)
            values.append("tuple(arrays)")
            versions.append("*map(version, args, names(len(arrays)))")
        elif kind == INPUT:
            values.append(f"arrays[{where}]")
            counter = f"c := x.version if type(x := args[{where}]) is Tensor else none"
            versions.append(f"(({counter}), c[0], {op.inputs[where]!r})")
        elif kind == OUT:
            values.append("out")
            one, each = '(c := counters[0], c[0], "the output")', "*map(output_version, counters)"
            versions.append(each if op.several else one)
        elif kind == SHAPE and op.variadic:
            values.append('tuple([getattr(a, "shape", ()) for a in arrays])')
        elif kind == SHAPE:
            values.append(f'getattr(arrays[{where}], "shape", ())')
        elif kind == ATTRIBUTE:
            known[f"default_{where}"] = op.attributes[where]
            value = f"attributes.get({where!r}, default_{where})"
            values.append(f"copy({value})" if where in op.copied else value)
        elif kind == EXTRA:
            values.append(f"extra[{where}]")
        else:
            values.append("be" if kind == BACKEND else "needs")
    call = "args, arrays, attributes, out, counters, extra, be"
    return eval(f"lambda {call}: ([{', '.join(values)}], [{', '.join(versions)}])", known)


def _reader(saves, wanted):
    """A function from what was saved to the sequence of what one rule wants of it."""
    places = [saves.index(w) for w in wanted]
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0, 0))


class OutputPlan:
    """The plan of a node that stands for the k-th output of an op with several."""

    __slots__ = ("k", "lasting", "op", "plain", "steps")

    def __init__(self, op, k):
        self.op, self.k, self.plain, self.lasting, self.steps = op, k, False, False, ()

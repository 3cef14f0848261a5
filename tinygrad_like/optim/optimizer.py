"""Optimizer: what every optimizer shares: groups, steps, states.

A step is one kernel call per parameter, in place, on flat arrays: one compiled kernel serves every
shape. It is planned first, and then made for all parameters or for none: see engine/changes.py.
"""

from functools import partial
from itertools import repeat
from typing import ClassVar

from tinygrad_like.engine import SparseRows, commit, mode, run_through
from tinygrad_like.engine.errors import describe
from tinygrad_like.optim import rows, states
from tinygrad_like.optim.parameters import (
    CHECKS,
    Checks,
    as_list,
    check_names,
    check_tensors,
    check_trainable,
    checked_number,
    checked_setting,
)
from tinygrad_like.optim.states import Slot


class Optimizer:
    """Updates parameters by their gradients.

    Args:
        params: Tensors that require a gradient; or groups of them, dicts with "params" and
            their own settings: `[{"params": [w], "weight_decay": 0.1}, {"params": [b]}]`.
        settings: for the groups that do not set their own.

    The groups are in `param_groups`, as in PyTorch. Their settings and their lists of parameters
    can be changed at any time: the next step checks them. A parameter keeps its state when it
    moves to another group; a new one starts without.

    Raises:
        TypeError: if params is not an iterable of Tensors, or a setting is not a number.
        ValueError: if there are no parameters, if one is not a leaf, does not require a gradient or
            is given twice, and if a setting is out of range.
    """

    kernel: str  # the name of the kernel that makes a step
    buffers: tuple[str, ...]  # the names of the arrays that it takes beside a parameter
    checks: ClassVar[Checks] = CHECKS  # of settings that are not single numbers
    # The settings that have to be 0 for a gradient of SparseRows; None: such are refused.
    off_with_rows: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, params, **settings):
        owner = type(self).__name__
        listed = as_list(owner, params)
        groups = listed if isinstance(listed[0], dict) else [{"params": listed}]
        self._defaults, self._keys = settings, {"params", *settings}
        self.param_groups = [self._group(group) for group in groups]
        params = [p for group in self.param_groups for p in group["params"]]
        check_trainable(owner, params)
        self._slots = [[Slot(p) for p in group["params"]] for group in self.param_groups]
        # For each group: what it held at the last step, the types of that, the checked settings.
        self._checked: list[tuple[dict, list, dict]] = [({}, [], {}) for _ in self.param_groups]

    def _group(self, group):
        """A group as it was given, with all settings, checked."""
        owner = type(self).__name__
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(
                f"[{owner}] a group is {describe(group)}, expected a dict with 'params'"
            )
        own = {name: value for name, value in group.items() if name != "params"}
        options = self._checked_settings({**self._defaults, **own})
        return {"params": as_list(owner, group["params"]), **options}

    def _checked_settings(self, settings):
        """Settings of a group as plain Python values, all within their ranges."""
        owner = type(self).__name__
        check_names(owner, settings, tuple(self._defaults))
        checked = {
            name: checked_setting(owner, name, settings[name], self.checks)
            for name in self._defaults
        }
        return self._together(checked)

    def _together(self, options):
        """These checked settings; ValueError if they exclude each other."""
        return options

    def _kept(self, group):
        """The names of the buffers that a step needs with these settings: all, as a rule."""
        return self.buffers

    def _initial(self, group):
        """{buffer: the number that it begins with}; those that are not there begin with zeros."""
        return {}

    def _shape(self, name, shape):
        """The shape of a buffer of a parameter of `shape`."""
        return shape

    def _settings(self, group, steps):
        """What the kernel takes after the arrays: floats and booleans."""
        raise NotImplementedError

    def step(self):
        """Update every parameter that has a gradient and requires one.

        If anything is raised meanwhile (no memory, Ctrl-C), either all are updated or none.

        Raises:
            TypeError, ValueError: if a group's settings or parameters were changed to invalid ones.
            DeviceError: if a gradient lies on another device than its parameter.
        """
        if "profile" not in mode.changed:
            commit(self._plan())
            return
        with mode.changed["profile"].part("optimizer", self):
            commit(self._plan())

    def _plan(self, replaced=None):
        """The changes that make a step, for `commit`: nothing is changed here.

        `replaced`, {node: Tensor or SparseRows}, has gradients to use instead of the nodes' own.
        """
        if len(self._slots) != len(self.param_groups):
            self._match()
        changes, stepped, counts, versions, numbers = [], [], [], [], []
        for k, (group, slots) in enumerate(zip(self.param_groups, self._slots, strict=True)):
            params, options = group["params"], self._options(k, group)
            if type(params) is not list or len(params) != len(slots):
                self._match()
                return self._plan(replaced)
            names, climbs = self._kept(options), options.get("maximize")
            count = settings = None
            for i, (p, slot) in enumerate(zip(params, slots, strict=True)):
                if p is not slot.param:
                    self._match()
                    return self._plan(replaced)
                node = p.node
                if node is None or node.grad is None:
                    continue
                array = p._array
                grad = node.grad if replaced is None else replaced[node]
                steps = slot.steps + 1
                if steps != count:
                    count, settings = steps, self._settings(options, float(steps))
                if array is not slot.array or names != slot.names or slot.be.k is not slot.k:
                    slot = self._fitted(slot, names, options, settings)
                    changes.append(partial(slots.__setitem__, i, slot))
                if type(grad) is SparseRows:
                    grad = -grad if climbs else grad
                    changes += rows.planned(self, slot, grad, options, settings)
                else:
                    changes += self._planned_whole(slot, grad._array, climbs, settings)
                version = p.version
                stepped.append(slot)
                counts.append(steps)
                versions.append(version)
                numbers.append(version[0] + 1)
        changes.append(partial(run_through, map(setattr, stepped, repeat("steps"), counts)))
        changes.append(partial(run_through, map(list.__setitem__, versions, repeat(0), numbers)))
        return changes

    def _planned_whole(self, slot, grad, climbs, settings):
        """The changes that make the step of one parameter by a raw gradient of all its elements."""
        array = slot.array
        if grad.dtype is not array.dtype or type(grad) is not type(array):
            grad = states.converted(type(self).__name__, grad, slot.param)
        if climbs:
            grad = -grad
        if slot.plan is not None:
            return slot.plan(grad.ravel(), settings)
        param = array.ravel()
        plan = slot.be.k.planner(self.kernel, param, *slot.beside)
        whole = partial(array.__setitem__, ..., param.reshape(array.shape))
        return [*plan(grad.ravel(), settings), whole]

    def _fitted(self, slot, names, options, settings):
        """A slot for the parameter's present array.

        The kernel runs once on empty arrays, so that it is not compiled between two parameters.
        """
        slot = slot.fitted(names, self._initial(options), self._shape)
        slot.beside = [slot.buffers[n] if n in names else None for n in self.buffers]
        planner, array = slot.be.k.planner, slot.array
        if array.flags.c_contiguous:
            slot.plan = planner(self.kernel, array.reshape(-1), *slot.beside)
        none = array.ravel()[:0]
        beside = [None if a is None else a[:0] for a in slot.beside]
        commit(planner(self.kernel, none, *beside)(none, settings))
        return slot

    def _options(self, k, group):
        """The settings of a group as plain values, checked if they differ from the last step's.

        Types are compared too: 1 equals True, but is not taken for it.
        """
        known, types, options = self._checked[k]
        try:
            if group == known and list(map(type, group.values())) == types:
                return options
        except ValueError:  # of an array among them: its == has no single answer
            pass
        owner, before, known, options = type(self).__name__, known, {**group}, {**options}
        if group.keys() != self._keys:
            check_names(owner, group, ("params", *self._defaults))
            lacking = ", ".join(sorted(self._keys - group.keys()))
            raise ValueError(
                f"[{owner}] param_groups[{k}] has no {lacking}; add groups with add_param_group"
            )
        for name, value in group.items():
            if name == "params" or (name in before and value is before[name]):
                continue
            options[name] = checked_setting(owner, name, value, self.checks)
            if type(value) is list:  # it may change in place: check it at every step
                known[name] = None
        self._together(options)
        self._checked[k] = known, list(map(type, group.values())), options
        return options

    def _all_options(self):
        """The settings of all groups as plain values, checked."""
        if len(self._slots) != len(self.param_groups):
            self._match()
        return [self._options(k, group) for k, group in enumerate(self.param_groups)]

    def _match(self):
        """Find the state of each parameter that is in the groups now; a new one starts without."""
        owner = type(self).__name__
        slots = {id(slot.param): slot for slots in self._slots for slot in slots}
        lists = []
        for k, group in enumerate(self.param_groups):
            if not isinstance(group, dict) or "params" not in group:
                raise TypeError(
                    f"[{owner}] param_groups[{k}] is {describe(group)}, expected a dict with "
                    "'params'; add groups with add_param_group"
                )
            lists.append(as_list(owner, group["params"]) if group["params"] != [] else [])
        params = [p for listed in lists for p in listed]
        check_tensors(owner, params)
        check_trainable(owner, [p for p in params if id(p) not in slots])
        matched = [[slots.get(id(p)) or Slot(p) for p in listed] for listed in lists]
        commit(
            [
                *(
                    partial(group.__setitem__, "params", listed)
                    for group, listed in zip(self.param_groups, lists, strict=True)
                    if type(group["params"]) is not list
                ),
                partial(setattr, self, "_slots", matched),
                partial(setattr, self, "_checked", [({}, [], {}) for _ in lists]),
            ]
        )

    def add_param_group(self, group):
        """Add a group: a dict with "params" and the settings that differ from the optimizer's.

        Raises as the constructor does, also for a parameter that the optimizer has already; nothing
        is changed then.
        """
        self._matched()
        group = self._group(group)
        new = [Slot(p) for p in group["params"]]
        owner = type(self).__name__
        check_tensors(owner, [slot.param for slots in (*self._slots, new) for slot in slots])
        check_trainable(owner, group["params"])
        commit(
            [
                partial(self.param_groups.append, group),
                partial(self._slots.append, new),
                partial(self._checked.append, ({}, [], {})),
            ]
        )

    def _matched(self):
        """The slots, in the order of the parameters in the groups."""
        found = [[slot.param for slot in slots] for slots in self._slots]
        groups = [group["params"] for group in self.param_groups]
        if [list(map(id, ps)) for ps in found] != [list(map(id, ps)) for ps in groups]:
            self._match()
        return self._slots

    def zero_grad(self):
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    @property
    def lr(self):
        """The learning rate of all groups. Assigning sets it; reading needs them to agree."""
        rates = [group["lr"] for group in self.param_groups]
        if any(rate != rates[0] for rate in rates):
            raise ValueError(
                f"[lr] the groups differ in their learning rates, {rates}; use "
                "param_groups[i]['lr']"
            )
        return rates[0]

    @lr.setter
    def lr(self, value):
        value = checked_number(type(self).__name__, "lr", value)
        commit([partial(group.__setitem__, "lr", value) for group in self.param_groups])

    def state_dict(self):
        """Settings, step counts and copies of all buffers, in dicts that `io.save` can write."""
        groups = []
        for slots, options in zip(self._matched(), self._all_options(), strict=True):
            params = [slot.state() for slot in slots]
            groups.append({"settings": {**options}, "params": params})
        return {"optimizer": type(self).__name__, "groups": groups}

    def load_state_dict(self, state):
        """Go on exactly as the optimizer whose `state_dict` this is.

        Buffers are converted to the device and dtype that their parameter has now.

        Raises ValueError, and changes nothing, if the state is of another class of optimizer, or
        of parameters of another number or other shapes.
        """
        commit(self._loading(state))

    def _loading(self, state):
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        self._matched()
        settings, slots = states.loaded(self, state)
        groups = zip(self.param_groups, settings, strict=True)
        return [
            *(partial(group.update, loaded) for group, loaded in groups),
            partial(setattr, self, "_slots", slots),
        ]


def check_optimizer(owner, optimizer):
    """Raise TypeError for anything but an Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"[{owner}] optimizer is {describe(optimizer)}, expected an Optimizer")

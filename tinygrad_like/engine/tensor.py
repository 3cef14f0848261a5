"""Node and Tensor: an array, and the recorded call that made it."""

import itertools
from functools import partial
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import BY_TYPE, INEXACT
from tinygrad_like.engine import errors
from tinygrad_like.engine.casts import check_cast, check_numbers
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.methods import Methods
from tinygrad_like.engine.modes import tell_of_reading
from tinygrad_like.engine.options import check_flag

# The dtypes of Python's numbers.
DEFAULTS = {
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.complex128): np.dtype(np.complex64),
}

GRADIENTS: list[type] = []  # what `.grad` may be beside a Tensor: rows.py adds SparseRows

next_serial = itertools.count().__next__
blank = object.__new__  # blank(Tensor): without __init__, to be filled in


class _Rare:
    """What few nodes have: the defaults stand here, values in the node's dictionary."""

    __slots__ = ()
    hooks: Any = None  # functions of the gradient
    grad: Any = None  # of a leaf, or of a Tensor that retains it: its gradient
    debug: Any = None  # errors.Witness: where the call was made, and checksums
    finished = False  # of a leaf that tg.grad or a relative made: whether its function has returned


class Node(_Rare):
    """One recorded call of an op (or a leaf, whose plan is None): what the walk needs to know."""

    __slots__ = (
        *("dtype", "parents", "plan", "saved", "serial", "shape", "span", "versions"),
        "__dict__",
    )
    plan: Any  # which gradients to compute, from what; None in a leaf
    parents: Any  # the node of each input, None where it needs no gradient
    saved: Any  # what the plan's rules read, or Dropped; None once the walk has freed it
    versions: Any  # (counter, value when saved, name) of each saved input or output
    serial: int  # creation order, which is a topological order
    shape: Any  # of the output
    dtype: Any  # of the output
    span: Any  # of a call that a profile saw, and there alone: what it has noted


def new_node(plan, parents, out):
    """A node for the output `out` of a call, with nothing saved yet."""
    node = Node()
    node.plan = plan
    node.parents = parents
    node.saved = node.versions = ()
    node.serial = next_serial()
    node.shape = out.shape
    node.dtype = out.dtype
    return node


class Tensor(Methods):
    """An array that can be differentiated.

    Its operators, and the methods that are ops, are listed in methods.py.

    Args:
        data: an array, a number, nested lists of numbers, or a Tensor. It is copied, without its
            history. Python floats become float32 (the default), complex numbers complex64, arrays
            keep their dtype.
        requires_grad: whether `backward` computes `.grad` for it (floating or complex dtypes).
        dtype: a NumPy dtype to convert to.
        device: `"cpu"`, `"cuda"` or `"cuda-emulator"`. By default that of `data`, if it is a Tensor
            or an array on a GPU, and the default device (`tg.set_device`) for all else.

    A leaf can be copied and pickled, with its gradient and hooks. What is one Tensor stays one in
    the copy; memory that two Tensors share, as a view and its base do, is copied for each.

    Raises:
        TypeError: for data that cannot be made an array of numbers.
        ValueError: for values that the dtype cannot hold: 300 or NaN in uint8, 1e300 in float32.
        DeviceError: for a device that cannot be used.
    """

    # _frozen: the node of a frozen leaf. _given: whether it was an input of a Module.
    __slots__ = ("__weakref__", "_array", "_frozen", "_given", "node", "version")

    _array: Any  # of NumPy or CuPy
    _given: bool
    node: Node | None  # None where no gradient is needed
    version: list[int]  # [how often it was changed in place], shared by all Tensors on its memory

    def __init__(self, data, *, requires_grad=False, dtype=None, device=None):
        self._array = new_array(data, dtype, device)
        self.version = [0]
        self.node = None
        if requires_grad is not False:
            self.requires_grad = requires_grad

    @property
    def data(self):
        """The raw array. Assigning copies values into it, an in-place change outside the graph.

        The values may be an array or a Tensor of the same shape. The dtype and the device of
        this tensor stay: float64 values do not make a float32 parameter compute in float64.
        """
        array = self._array
        return array if type(array) in BY_TYPE else array.detached()  # the latter inside vmap

    @data.setter
    def data(self, values):
        if not self.is_leaf:
            raise GraphError("[data] this tensor was computed by a recorded op; detach() it first")
        errors.refuse_masked("data", "the array", values)
        array = values._array if type(values) is Tensor else values
        if backend.of(array) is None and not isinstance(array, np.generic):
            raise TypeError(
                f"[data] got {errors.describe(array)}, expected a raw array or a Tensor"
            )
        if array.shape != self._array.shape:
            raise ValueError(f"[data] got shape {array.shape}, expected {self._array.shape}")
        if is_parameter(self) and array.dtype.kind not in INEXACT:
            raise TypeError(f"[data] got dtype {array.dtype}, but gradients need a floating one")
        if array is not self._array:
            if not np.can_cast(array.dtype, self._array.dtype, "same_kind"):
                raise TypeError(
                    f"[data] got dtype {array.dtype}, which {self._array.dtype} cannot hold"
                )
            if type(array) is not type(self._array):
                array = new_array(array, self._array.dtype, self.device)
            check_cast("data", array, self._array.dtype)
            self._array[...] = array  # views of this tensor see it too
        self.version[0] += 1

    @property
    def grad(self):
        """The gradient that `backward` computed, a Tensor, or None.

        That of an Embedding with `sparse=True` is a `tg.SparseRows`.
        """
        node = _leaf_node(self)
        return None if node is None else node.grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            is_gradient = isinstance(value, (Tensor, *GRADIENTS))
            if not is_gradient or _kind(value) != _kind(self):
                got = _kind(value) if is_gradient else errors.describe(value)
                raise ValueError(f"[grad] got {got}, expected a Tensor of {_kind(self)}")
            if _leaf_node(self) is None:
                raise GraphError("[grad] this tensor does not require a gradient")
        for node in (self.node, getattr(self, "_frozen", None)):
            if node is not None:
                node.grad = value

    @property
    def requires_grad(self):
        """Whether a gradient is computed for this tensor. Can be set on leaves only.

        A leaf that has required one is a parameter from then on. False freezes it: Modules and
        optimizers still hold it, and True thaws it.
        """
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted):
        if self.node is not None and self.node.plan is not None:
            raise GraphError("[requires_grad] can be set on leaves only; use detach()")
        if not check_flag("requires_grad", "requires_grad", wanted):
            if self.node is not None:
                self._frozen, self.node = self.node, None
        elif self.node is None:
            if self._array.dtype.kind not in INEXACT:
                raise TypeError(errors.no_gradient_of("requires_grad", "the dtype", self.dtype))
            frozen = getattr(self, "_frozen", None)  # graphs from before end in this leaf
            self.node = frozen or new_node(None, (), self._array)

    def requires_grad_(self, wanted=True):
        """Set `requires_grad`; returns this tensor."""
        self.requires_grad = wanted
        return self

    @property
    def is_leaf(self):
        """Whether this tensor was made by the user rather than by a recorded op."""
        return self.node is None or self.node.plan is None

    @property
    def shape(self):
        """The lengths of its axes, a tuple of ints."""
        return self._array.shape

    @property
    def ndim(self):
        """The number of its axes."""
        return self._array.ndim

    @property
    def size(self):
        """The number of its elements."""
        return self._array.size

    @property
    def dtype(self):
        """The NumPy dtype of its elements."""
        return self._array.dtype

    @property
    def device(self):
        """`"cpu"`, `"cuda"` or `"cuda-emulator"`."""
        return backend.of(self._array).device

    def detach(self):
        """The same array without its history (memory and version counter are shared)."""
        return wrap(self.data, None, self.version)

    def numpy(self):
        """The values as a NumPy array, outside the graph.

        On the CPU it is a read-only view of the same memory: copy it to write. `.data` is
        the raw array itself.
        """
        tell_of_reading(self)
        view = backend.of(self._array).to_host(self._array).view()
        view.flags.writeable = False
        return view

    def item(self):
        """The value of a one-element tensor as a Python number (ValueError for others)."""
        if self.size != 1:
            raise ValueError(f"[item] got a tensor of shape {self.shape}, expected one element")
        tell_of_reading(self)
        return self._array.item()

    def tolist(self):
        """The values as nested lists of Python numbers, outside the graph (0-d: a number)."""
        return self.numpy().tolist()

    def zero_grad(self):
        """Forget the gradient."""
        self.grad = None

    def register_hook(self, hook):
        """Call `hook(gradient)` when this tensor's gradient is known; returns a remover.

        What the hook returns, unless None, takes the gradient's place.
        """
        node = self.node
        if node is None:
            raise GraphError("[register_hook] this tensor does not require a gradient")
        entry = partial(hook)  # of this call alone: a hook may be registered twice
        node.hooks = [*(node.hooks or ()), entry]

        def remove():
            node.hooks = [h for h in node.hooks or () if h is not entry] or None

        return remove

    def retain_grad(self):
        """Let `backward` keep the gradient of this tensor in `.grad` though it is no leaf."""
        node = self.node
        if node is None:
            raise GraphError("[retain_grad] this tensor does not require a gradient")
        if node.plan is not None and RETAIN not in (node.hooks or ()):
            node.hooks = [*(node.hooks or ()), RETAIN]

    def __repr__(self):
        if type(self._array) in BY_TYPE:
            array = backend.of(self._array).to_host(self._array)
            values = np.array2string(array, separator=", ", prefix="Tensor(")
        else:
            values = repr(self._array)
        notes = f", dtype={self.dtype}"
        if self.device != "cpu":
            notes += f", device={self.device!r}"
        if self.node is not None:
            plan = self.node.plan
            notes += ", requires_grad=True" if plan is None else f", op={plan.op.name}"
        return f"Tensor({values}{notes})"

    def __init_subclass__(cls):
        raise TypeError("[Tensor] cannot be inherited from; hold a Tensor as an attribute instead")

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("[len] a 0-d tensor has no length")
        return self.shape[0]

    def __bool__(self):
        if self.size != 1:
            raise ValueError(
                f"[bool] the truth of a tensor of shape {self.shape} is ambiguous; "
                "use .any() or .all()"
            )
        return bool(self.item())

    def __index__(self):
        if self.dtype.kind not in "iu" or self.ndim:
            raise TypeError(f"[index] a {self.dtype} tensor of shape {self.shape} is no index")
        return self.item()

    def __format__(self, spec):
        return format(self.item(), spec) if spec else str(self)

    __hash__ = object.__hash__

    def __reduce__(self):
        if not self.is_leaf:
            errors.refuse_copy(self.node)
        array = backend.of(self._array).to_host(self._array)
        grad = None if self.grad is None else self.grad.detach()
        role = is_parameter(self), was_given(self)
        made = array, self.requires_grad, self.device, *role, grad, self.dtype.name
        return _rebuild, made, getattr(_leaf_node(self), "hooks", None)

    def __setstate__(self, hooks):  # at last: a hook that is a method leads back to the tensor
        _leaf_node(self).hooks = hooks


def _kind(t):
    """What a gradient must have in common with its tensor."""
    return f"shape {t.shape}, {t.dtype}, on {t.device}"


def _leaf_node(t):
    """The node that holds a tensor's gradient; None if it never required one."""
    return t.node if t.node is not None else getattr(t, "_frozen", None)


def is_parameter(t):
    """Whether a Tensor is a leaf that requires a gradient, or is frozen and did."""
    return t.is_leaf and _leaf_node(t) is not None


def was_given(t):
    """Whether a Tensor was an input of a Module, in whose list it is then no parameter."""
    return getattr(t, "_given", False)


def moving(t, array, grad=None):
    """The changes, for `commit`, that give a tensor another array and gradient, and no graph.

    The array may be of any device and dtype. If the tensor has this array already, there are none.
    """
    if array is t._array:
        return []
    changes = [
        partial(object.__setattr__, t, "_array", array),
        partial(t.version.__setitem__, 0, t.version[0] + 1),
    ]
    if not t.is_leaf:
        changes.append(partial(object.__setattr__, t, "node", None))
    elif (node := _leaf_node(t)) is not None:
        changes.append(partial(object.__setattr__, node, "dtype", array.dtype))
        changes.append(partial(object.__setattr__, node, "grad", grad))
    return changes


def _rebuild(array, requires_grad, device, parameter, given, grad, dtype):
    t = Tensor(array, device=device, dtype=dtype)
    if given:
        t._given = True
    if parameter:
        t.requires_grad = True
        t.grad = grad
        t.requires_grad = requires_grad
    return t


def RETAIN(gradient):
    """The hook of `retain_grad`: the walk recognises it, and keeps the gradient on the node."""


def leaf(array):
    """A Tensor around `array` itself that requires a gradient."""
    t = wrap(array)
    t.node = new_node(None, (), array)
    return t


def wrap(array, node=None, version=None):
    """A Tensor around `array` itself, sharing `version` if given, else with a new counter."""
    t = blank(Tensor)
    t._array = array
    t.node = node
    t.version = [0] if version is None else version
    return t


def backend_of(x):
    """The backend of a Tensor or of a raw array."""
    return backend.of(x._array if type(x) is Tensor else x)


def new_array(data, dtype=None, device=None):
    """A new C-contiguous raw array with the values of `data`, see Tensor."""
    to = None if device is None else backend.get(device)
    given = isinstance(data, Tensor)  # which keeps its device
    if given:
        data = data._array
    if type(data) in backend.STAND_INS:
        return data.converted(dtype, device)
    home, numbers = backend.of(data), False
    if home is backend.CPU and to is None and not given:
        to = backend.get()
    if home is None:
        errors.refuse_tensors_within(data, Tensor)
        numbers = not hasattr(data, "dtype")
        try:
            data = np.asarray(data)
        except (TypeError, ValueError) as error:
            raise TypeError(f"[Tensor] data cannot be made an array: {error}") from None
        if dtype is None and numbers:
            dtype = DEFAULTS.get(data.dtype)
        home = backend.CPU if to is not None else backend.get()
        data = home.from_host(data) if data.dtype.kind in "biufc" else data
    have = data.dtype
    if dtype is not None and have.kind == "O":  # NumPy would make NaN of None
        raise TypeError("[Tensor] data holds objects, expected numbers (integers of 64 bits)")
    to = to or home
    asked = to if dtype is not None or home is backend.CPU else home  # bfloat16 may come to the CPU
    dtype = asked.checked_dtype("Tensor", dtype or have.newbyteorder("="))
    if numbers:
        check_numbers("Tensor", data, dtype)
    elif dtype is not have:
        check_cast("Tensor", data, dtype)
    copy = home.xp.array(data, dtype=dtype, order="C")
    if copy.dtype is not dtype:  # an unpickled array has a dtype object of its own, but kernels
        copy = copy.view(dtype)  # compare dtypes by identity
    return copy if to is home else to.from_host(home.to_host(copy))

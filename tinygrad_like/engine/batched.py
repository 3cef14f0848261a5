"""Batched: what a Tensor holds inside vmap, in place of an array: one example that stands for all.

`tg.vmap(f)` calls f once. What f computes with looks like one example: it has its shape, its dtype
and every operator. Its Tensors hold

    inner    the Tensor of all examples, whose first axis is theirs; or, unless `mapped`, a Tensor
             that all examples share
    level    the vmap that made it (see level.py): vmaps nest, and the inner Tensor may hold a
             Batched of the one around it

A call of an op on such Tensors is an op on the inner ones, see level.py. So every call makes two
records, if both are asked for: derivatives taken inside f follow the nodes of the Tensors that f
sees, derivatives of `vmap(f)` those of the inner ones. Gradient rules need no second text: they
compute with g, a Batched, as with any array.
"""

from tinygrad_like import backend
from tinygrad_like.engine.arraylike import ArrayLike
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.fit import broadcast_to
from tinygrad_like.engine.methods import Methods
from tinygrad_like.engine.tensor import new_array, wrap


class Operators(Methods):
    """The operators and methods of Tensor, which `complete` puts here for Batched."""

    __slots__ = ()


class Batched(ArrayLike, Operators):
    """One example's array, as far as f can see; it never changes. See above."""

    __slots__ = ("inner", "level", "mapped")

    node = None  # it is an array, and has no history of its own; `inner` may have one
    base = None

    def __init__(self, inner, level, mapped=True):
        self.inner, self.level, self.mapped = inner, level, mapped

    @property
    def _array(self):
        """Itself: operators are shared with Tensor, and look here for what it holds."""
        return self

    @property
    def shape(self):
        """The lengths of one example's axes."""
        shape = self.inner._array.shape
        return shape[1:] if self.mapped else shape

    @property
    def dtype(self):
        return self.inner._array.dtype

    def full(self):
        """The Tensor of all examples, (size, *shape), also where they share one."""
        if self.mapped:
            return self.inner
        return broadcast_to(self.inner, shape=(self.level.size, *self.shape))

    def aligned(self, ndim):
        """The inner Tensor with axes of length 1 in front of an example's, to have `ndim`."""
        missing = ndim - self.ndim
        if not self.mapped or missing <= 0:
            return self.inner
        return self.inner.reshape((self.level.size, *(1,) * missing, *self.shape))

    def detached(self):
        """The same values without any history, that of the inner Tensor included."""
        return Batched(self.inner.detach(), self.level, self.mapped)

    def converted(self, dtype, device):
        """A copy without history, as `Tensor(x, dtype=dtype, device=device)` has it."""
        return Batched(wrap(new_array(self.inner, dtype, device)), self.level, self.mapped)

    def copy(self):
        """Itself: nothing can write into it."""
        return self

    def __len__(self):
        if not self.ndim:
            raise TypeError("[len] a 0-d tensor has no length")
        return self.shape[0]

    def __array_ufunc__(self, ufunc, method, *inputs, out=None):
        """NumPy's arithmetic with an array on its left; `array += g` gives a new one."""
        if method != "__call__":
            raise TypeError(f"[vmap] NumPy's {ufunc.__name__}.{method} cannot see single examples")
        return super().__array_ufunc__(ufunc, method, *inputs)

    def __repr__(self):
        return f"Batched({self.shape}, {self.dtype}, one of {self.level.size})"

    def __iadd__(self, other):
        """A new one, where gradients are added up in place."""
        return self + other

    def item(self, *_, **__):
        refuse_values()

    tolist = __bool__ = __int__ = __float__ = __complex__ = __index__ = __array__ = item
    __dlpack__ = __dlpack_device__ = item

    def __setitem__(self, index, value):
        raise GraphError(
            "[vmap] a Tensor cannot be changed in place inside vmap: write `x = x + 1` for "
            "`x += 1`, and where(), scatter_add() or concatenate() for `x[i] = v`"
        )

    __hash__ = object.__hash__


def refuse_values():
    """Raise GraphError where Python or NumPy asks for the value of a single example."""
    raise GraphError(
        "[vmap] f runs once for all examples, so that the value of a single one is not known: "
        "`if x > 0`, float(x), x.item() and x.numpy() cannot work. Choose between values with "
        "tg.where, or let f return the Tensor and look at it outside vmap"
    )


def all_examples(array):
    """The raw array of all examples, for checks that hold for each of them alike."""
    while type(array) is Batched:
        array = array.inner._array
    return array


class BackendOfBatches:
    """What gradient rules and checks ask of a backend, for Batched arrays on its device."""

    def __init__(self, be):
        self.be, self.xp, self.k = be, _ArraysOfBatches(be.xp), _KernelsOfBatches(be)
        self.device, self.bfloat16 = be.device, be.bfloat16
        self.checked_dtype, self.array_type = be.checked_dtype, be.array_type

    def from_host(self, array):
        return array if type(array) is Batched else self.be.from_host(array)

    def to_host(self, array):
        return refuse_values()

    def check_index(self, name, index, size):
        index = all_examples(index)
        backend.of(index).check_index(name, index, size)

    def holds_anywhere(self, condition):
        """Whether it holds in any example: then a rule takes the way that is right for all."""
        return bool(all_examples(condition._array).any())

    def shares_memory(self, a, b):
        return False

    def fingerprint(self, array):
        array = all_examples(array)
        return backend.of(array).fingerprint(array)


class _ArraysOfBatches:
    """An array module, whose constants are shared by all examples."""

    def __init__(self, xp):
        self._xp = xp

    def __getattr__(self, name):
        return getattr(self._xp, name)

    def asarray(self, x, *args, **options):
        return x if type(x) is Batched else self._xp.asarray(x, *args, **options)

    array = asarray

    def full(self, shape, value, dtype):
        if type(value) is Batched:  # of this dtype already
            return broadcast_to(value, shape=shape)
        return self._xp.full(shape, value, dtype)

    def zeros_like(self, x):
        return Batched(wrap(self._xp.zeros(x.shape, x.dtype)), x.level, mapped=False)

    def ones_like(self, x):
        return Batched(wrap(self._xp.ones(x.shape, x.dtype)), x.level, mapped=False)


class _KernelsOfBatches:
    """The kernels that gradient rules call by themselves, in plain ops."""

    def __init__(self, be):
        self._be = be

    def spread(self, x, kept, shape):
        return broadcast_to(x.reshape(kept), shape=shape)

    def divide_by(self, x, number):
        return x / number

    def blocks(self, words):
        return self._be.k.blocks(words)


_backends: dict[int, BackendOfBatches] = {}


def _backend_of_batched(x):
    be = backend.of(all_examples(x))
    if be.device not in _backends:
        _backends[be.device] = BackendOfBatches(be)
    return _backends[be.device]


backend.STAND_INS[Batched] = _backend_of_batched

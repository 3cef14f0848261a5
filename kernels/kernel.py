"""Each kernel declares which arrays it takes; the reference computes everything else.

    KERNELS = Target("c_contiguous", np.ascontiguousarray)

    @KERNELS.kernel("g x", alike=True)
    def silu_backward(g, x):
        ...

The decorator registers the kernel and puts a check in front of it, one expression that is compiled
for the kernel's parameters: a loop over the arguments would take longer than a small kernel. If the
check fails, arrays are made ready, float16 is computed in float32 where the kernel says so, and
what is left goes to the reference kernel of the same name. So does a call for which the kernel
returns NotImplemented, as Python's own operators do.
"""

import inspect
from operator import attrgetter

import numpy as np

from .reference.contract import KERNELS as REFERENCE

REAL = np.dtype(np.float32), np.dtype(np.float64)
FLOAT16, BOOLEAN = np.dtype(np.float16), np.dtype(np.bool_)


class Target:
    """The kernels of one target by name; where it has none, those of the reference.

    Args:
        ready: the flag of an array that can be passed to a kernel, "c_contiguous" for example.
        make_ready: a function that returns such an array for any other.
        dtypes: the dtypes that the kernels compute in.
        named: the names of further dtypes, from packages that may be absent.
        refused: a function of a kernel's name and its arrays, called when their dtypes are not
            among these, before the reference computes.
    """

    def __init__(self, ready, make_ready, dtypes=REAL, named=(), refused=None):
        self.kernels = dict(REFERENCE)
        self._ready, self._make_ready = ready, make_ready
        self._dtypes, self._named, self._refused = dtypes, named, refused

    def complete_kernel(self, function):
        """Register a kernel that computes every call itself, with arrays of any layout."""
        _check_signature(function)
        function.any_layout = True
        self.kernels[function.__name__] = function
        return function

    def kernel(
        self,
        arrays="",
        *,
        others="",
        mask=None,
        dtypes=None,
        alike=False,
        any_layout=False,
        half=False,
        kept=(),
        small=None,
    ):
        """Register a function as this target's kernel of its name.

        Args:
            arrays: the names of the arrays that share one of the target's dtypes. The first of
                them is always there; `bias?` may be None.
            others: the names of further arrays, which are made ready as well.
            mask: the name of an array that is None, of booleans, or of the dtype of `arrays`.
            dtypes: what `arrays` may have instead of the target's dtypes.
            alike: whether `arrays` must have one shape.
            any_layout: whether the kernel takes arrays as they lie in memory. One whose name ends
                in `_` always does, since it changes the very arrays that it is given.
            half: whether float16 is computed in float32, and the results are rounded once.
            kept: the positions of the results that are not rounded then.
            small: (count, load). Where the last array has at most `count` elements, what `load()`
                returns computes instead: a ufunc, say, which starts sooner than a kernel.

        Raises TypeError if the reference has no kernel of this name, or one with other parameters.
        Parameters that are passed by keyword alone may be added.
        """

        def register(function):
            _check_signature(function)
            as_it_lies = any_layout or function.__name__.endswith("_")
            takes = _Takes(arrays, others, mask, dtypes or self._dtypes, self._named, alike)
            call = _checked(function, takes, "" if as_it_lies else self._ready, small)
            vars(call).update(any_layout=True, __wrapped__=function)
            call.__doc__, call.__module__ = function.__doc__, function.__module__
            otherwise = self._otherwise(call, takes, as_it_lies, half, kept)
            call.__globals__["otherwise"] = otherwise
            self.kernels[function.__name__] = call
            return call

        return register

    def _otherwise(self, call, takes, as_it_lies, half, kept):
        """The function for calls that the check in front of a kernel refuses."""
        name, function = call.__name__, call.__wrapped__
        refer, ready = REFERENCE[name], attrgetter(f"flags.{self._ready}")
        places = takes.places(list(inspect.signature(function).parameters))

        def otherwise(*args, **keywords):
            if not as_it_lies:
                args = [
                    self._make_ready(a) if i in places and _is_array(a) and not ready(a) else a
                    for i, a in enumerate(args)
                ]
            given = {places[i]: a for i, a in enumerate(args) if i in places and a is not None}
            if half and takes.are_half(given):
                return _in_single(call, args, keywords, kept)
            if takes.are_ours(given):
                result = function(*args, **keywords)
                if result is not NotImplemented:
                    return result
            elif self._refused is not None:
                self._refused(name, takes.compared(given))
            return refer(*args)

        return otherwise


class _Takes:
    """The arrays that a kernel takes, as its decorator declares them."""

    def __init__(self, arrays, others, mask, dtypes, named, alike):
        self.arrays = [name.rstrip("?") for name in arrays.split()]
        self.optional = {name.rstrip("?") for name in arrays.split() if name.endswith("?")}
        self.others, self.mask, self.alike = others.split(), mask, alike
        self.dtypes, self.named = dtypes, named

    def condition(self, ready):
        """The check as an expression of the kernel's parameters."""
        flag = f" and {{0}}.flags.{ready}" if ready else ""
        rest = "".join(f" or dtype_ is dtype_{i}" for i in range(1, len(self.dtypes)))
        checks = []
        for name in self.arrays:
            check = f"{name}.dtype is dtype_"
            if not checks:
                check = f"((dtype_ := {name}.dtype) is dtype_0{rest})"
            check += flag.format(name)
            checks.append(f"({name} is None or {check})" if name in self.optional else check)
        if self.alike:
            checks.append(" == ".join(f"{name}.shape" for name in self.arrays))
        if self.mask:
            check = f"({self.mask}.dtype is dtype_ or {self.mask}.dtype is boolean)"
            checks.append(f"({self.mask} is None or {check}{flag.format(self.mask)})")
        if ready:
            checks += [f"({name} is None or {name}.flags.{ready})" for name in self.others]
        return " and ".join(checks) or "True"

    def places(self, parameters):
        """{position: name} of the arrays among the parameters of a kernel."""
        mask = [self.mask] if self.mask else []
        return {parameters.index(name): name for name in [*self.arrays, *self.others, *mask]}

    def compared(self, given):
        """The arrays, of those given by name, whose dtypes matter."""
        mask = given.get(self.mask)
        masks = [] if mask is None or mask.dtype == BOOLEAN else [mask]
        return [given[name] for name in self.arrays if name in given] + masks

    def are_half(self, given):
        """Whether all arrays whose dtypes matter are of float16."""
        return {a.dtype for a in self.compared(given)} == {FLOAT16}

    def are_ours(self, given):
        """Whether the kernel can compute with them."""
        arrays = self.compared(given)
        if not arrays:
            return True
        dtype = arrays[0].dtype
        known = dtype in self.dtypes or dtype.name in self.named
        shapes = {a.shape for a in arrays} if self.alike else ()
        return known and all(a.dtype == dtype for a in arrays) and len(shapes) < 2


def _check_signature(function):
    """Raise TypeError unless a kernel has the parameters of the reference's."""
    name = function.__name__
    if name not in REFERENCE:
        raise TypeError(f"[kernel] {name} is no kernel of the reference: define it there first")
    ours, contract = inspect.signature(function), inspect.signature(REFERENCE[name])
    if _by_position(ours) != _by_position(contract):
        raise TypeError(
            f"[kernel] {name} has parameters {ours}, expected the reference's {contract}"
        )


def _checked(function, takes, ready, small):
    """The kernel behind its check, with the kernel's own signature."""
    signature = inspect.signature(function)
    args = ", ".join(
        f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY else str(p.replace(default=p.empty))
        for p in signature.parameters.values()
    )
    contract = ", ".join(str(p.replace(default=p.empty)) for p in _by_position(signature))
    scope = {"function": function, "refer": REFERENCE[function.__name__], "boolean": BOOLEAN}
    scope |= {f"dtype_{i}": dtype for i, dtype in enumerate(takes.dtypes)}
    lines = [f"def {function.__name__}{signature}:", f"    if {takes.condition(ready)}:"]
    if small is not None:
        count, load = small

        def first_time(*arrays):
            scope["of_few"] = load()
            return scope["of_few"](*arrays)

        scope["of_few"] = first_time
        lines.append(f"        if {takes.arrays[-1]}.size <= {count}: return of_few({args})")
    lines += [
        f"        result = function({args})",
        f"        return result if result is not NotImplemented else refer({contract})",
        f"    return otherwise({args})",
    ]
    exec("\n".join(lines), scope)
    return scope[function.__name__]


def _by_position(signature):
    return [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]


def _is_array(a):
    """Whether an argument is an array, not None and not one of NumPy's scalars."""
    return a is not None and not isinstance(a, np.generic)


def _in_single(call, args, keywords, kept):
    """Call a kernel in float32 for float16 arguments; round its results, except those `kept`."""
    results = call(*map(_single, args), **keywords)
    if not isinstance(results, tuple):
        return results.astype(FLOAT16)
    return tuple(y if y is None or i in kept else y.astype(FLOAT16) for i, y in enumerate(results))


def _single(a):
    return a.astype(np.float32) if getattr(a, "dtype", None) == FLOAT16 else a

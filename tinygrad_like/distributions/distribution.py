"""Distribution: parameters that broadcast, samples, log-probabilities, and what is derived."""

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING, result_dtype
from tinygrad_like.distributions import supports
from tinygrad_like.distributions.supports import Support
from tinygrad_like.engine import (
    Tensor,
    astype,
    backend_of,
    broadcast_to,
    check_flag,
    no_grad,
)
from tinygrad_like.engine.errors import describe
from tinygrad_like.ops.arrays.create import shape_of
from tinygrad_like.ops.elements.elementwise import exp, sqrt


def tensors_of(owner, given):
    """Parameters by name as floating Tensors of one dtype on one device; numbers follow them."""
    arrays = {k: v for k, v in given.items() if backend.of(getattr(v, "_array", v)) is not None}
    arrays = {k: v if isinstance(v, Tensor) else Tensor(v) for k, v in arrays.items()}
    floating = [x.dtype for x in arrays.values() if x.dtype.kind in FLOATING]
    dtype = result_dtype(*floating) if floating else np.dtype(np.float32)
    device = next((backend_of(x).device for x in arrays.values()), None)
    found = {}
    for name, value in given.items():
        if name in arrays:
            x = arrays[name]
            if x.dtype.kind not in (*FLOATING, "b", "i", "u"):
                raise TypeError(f"[{owner}] {name} is of {x.dtype}, expected a floating dtype")
            found[name] = x if x.dtype == dtype else astype(x, dtype=dtype)
        elif isinstance(value, (int, float, list, tuple, np.generic)):
            found[name] = Tensor(value, dtype=dtype, device=device)
        else:
            raise TypeError(f"[{owner}] {name} is {describe(value)}, expected a Tensor or numbers")
    return found


class Distribution:
    """A batch of distributions: the parameters broadcast to `batch_shape`.

    A sample has the shape `shape + batch_shape + event_shape`: the last axes, `event_shape`, are
    one event, to which `log_prob` gives one number. Parameters are Tensors, arrays or numbers;
    gradients go to those that require one.

    A subclass names its parameters with where each has to lie, `support`, and implements the
    methods with an underscore; see normal.py for a short one.

    Args:
        validate: whether parameters, and the values given to `log_prob`, `cdf` and `icdf`, are
            checked. NaN among values is let through, so that it shows. Without the checks a value
            outside the support gives whatever the formula gives there.
    """

    parameters: dict[str, Support] = supports.named()
    has_rsample = True

    def __init__(self, *, validate=True, **given):
        name = type(self).__name__
        self.validate = check_flag(name, "validate", validate)
        tensors = tensors_of(name, given)
        shapes = {}
        for key, x in tensors.items():
            ndim = self.parameters[key].event_ndim
            if x.ndim < ndim:
                raise ValueError(f"[{name}] {key} is {x.shape}, expected at least {ndim} axes")
            shapes[key] = x.shape[: x.ndim - ndim]
        try:
            self.batch_shape = np.broadcast_shapes(*shapes.values())
        except ValueError:
            given_shapes = ", ".join(f"{k}: {x.shape}" for k, x in tensors.items())
            raise ValueError(f"[{name}] the parameters do not broadcast ({given_shapes})") from None
        self._given = {}
        for key, x in tensors.items():
            events = x.shape[len(shapes[key]) :]
            self._given[key] = _broadcast(x, self.batch_shape + events)
            if self.validate:
                supports.check(name, key, self.parameters[key], x)

    def __getattr__(self, name):
        """A parameter that it was made of."""
        given = self.__dict__.get("_given", {})
        if name in given:
            return given[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def support(self) -> Support:
        """Where values lie."""
        return supports.LINE

    @property
    def _settings(self):
        """What else it was made of."""
        return {}

    @property
    def event_shape(self):
        """The shape of one event."""
        return ()

    @property
    def _like(self):
        """A parameter, whose dtype and device samples have."""
        return next(iter(self._given.values()))

    @property
    def dtype(self):
        """The dtype of samples and log-probabilities."""
        return self._like.dtype

    @property
    def _value_dtype(self):
        """The dtype in which values are taken."""
        return self.dtype

    @property
    def device(self):
        """The device of samples and log-probabilities."""
        return backend_of(self._like).device

    def __repr__(self):
        shown = [f"{k}: {x.shape}" for k, x in self._given.items()]
        shown += [f"{k}={v!r}" for k, v in self._settings.items()]
        return f"{type(self).__name__}({', '.join(shown)})"

    def expand(self, batch_shape):
        """The same distribution with its parameters broadcast to another batch shape."""
        batch_shape = shape_of("expand", batch_shape)
        ndim = len(self.batch_shape)
        lengths = zip(reversed(self.batch_shape), reversed(batch_shape), strict=False)
        if ndim > len(batch_shape) or any(n not in (1, m) for n, m in lengths):
            raise ValueError(
                f"[{type(self).__name__}] the batch shape is {self.batch_shape}, which does not "
                f"broadcast to {batch_shape}"
            )
        given = {k: _broadcast(x, batch_shape + x.shape[ndim:]) for k, x in self._given.items()}
        made = type(self)(**given, **self._settings, validate=False)
        made.validate = self.validate
        return made

    # Samples

    def sample(self, shape=()):
        """Random values of the shape `shape + batch_shape + event_shape`, without gradient."""
        with no_grad():
            return self._sample(self._sizes("sample", shape)).detach()

    def rsample(self, shape=()):
        """Like `sample`, as a differentiable function of the parameters.

        Raises NotImplementedError for distributions whose values have no such gradient.
        """
        sizes = self._sizes("rsample", shape)
        if not self.has_rsample:
            raise NotImplementedError(
                f"[{type(self).__name__}] has no differentiable samples: use sample(), and weigh "
                "by log_prob (the score function's gradient)"
            )
        return self._sample(sizes)

    def _sizes(self, method, shape):
        return shape_of(f"{type(self).__name__}.{method}", shape) + self.batch_shape

    # Probabilities

    def log_prob(self, value):
        """The logarithm of the density, or of the probability of a count or class.

        Args:
            value: broadcasts to `shape + batch_shape + event_shape`.

        Returns a Tensor of the shape `shape + batch_shape`. Raises ValueError for values outside
        the support, unless validate=False.
        """
        with np.errstate(divide="ignore", over="ignore", under="ignore"):  # at its ends
            return self._log_prob(self._value(value, self.support, "value"))

    def cdf(self, value):
        """The probability of at most `value`, element by element."""
        with np.errstate(divide="ignore", over="ignore", under="ignore"):  # at its ends
            return self._cdf(self._value(value, self.support, "value"))

    def icdf(self, probability):
        """The smallest value whose cdf is `probability`, element by element."""
        with np.errstate(divide="ignore", over="ignore", under="ignore"):  # at its ends
            return self._icdf(self._value(probability, supports.UNIT, "probability"))

    def _value(self, value, support, what):
        name = type(self).__name__
        if isinstance(value, (int, float, list, tuple)):
            value = Tensor(value, dtype=self._value_dtype, device=self.device)
        elif not isinstance(value, Tensor):
            if backend.of(value) is None and not isinstance(value, np.generic):
                raise TypeError(f"[{name}] {what} is {describe(value)}, expected a Tensor")
            value = Tensor(value, device=self.device)
        if value.dtype != self._value_dtype:
            value = astype(value, dtype=self._value_dtype)
        event = self.event_shape if support.event_ndim else ()
        self._check_shape(name, what, value, event)
        if self.validate:
            supports.check(name, what, supports.or_nan(support), value)
        return value

    def _check_shape(self, name, what, value, event):
        ndim = value.ndim - len(event)
        try:
            if value.shape[max(ndim, 0) :] != event:
                raise ValueError
            np.broadcast_shapes(value.shape[:ndim], self.batch_shape)
        except ValueError:
            wanted = f"batch shape {self.batch_shape}"
            wanted += f" and the event shape {self.event_shape}" if event else ""
            raise ValueError(
                f"[{name}] {what} is {value.shape}, which does not fit the {wanted}"
            ) from None

    # Moments

    @property
    def stddev(self):
        """The standard deviation, the square root of the variance."""
        return sqrt(self.variance)

    def perplexity(self):
        """exp(entropy)."""
        return exp(self.entropy())

    def _full(self, number):
        """A number as a Tensor of the batch shape."""
        return _broadcast(Tensor(number, dtype=self.dtype, device=self.device), self.batch_shape)


def _missing(what, why):
    def method(self, *args):
        name = type(self).__name__
        raise NotImplementedError(f"[{name}] has no {what}{why}")

    return method


for _name, _why in (
    ("_sample", ""),
    ("_log_prob", ""),
    ("_cdf", " in closed form"),
    ("_icdf", " in closed form"),
    ("entropy", " in closed form; estimate it by -d.log_prob(d.sample((n,))).mean(axis=0)"),
):
    setattr(Distribution, _name, _missing(_name.lstrip("_"), _why))


def _broadcast(x, shape):
    return x if x.shape == tuple(shape) else broadcast_to(x, tuple(shape))

"""What gradients say: their norms by layer, and how noisy they are."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import (
    Tensor,
    check_choice,
    check_integer,
    check_number,
    check_real,
    commit,
)
from tinygrad_like.engine.errors import describe
from tinygrad_like.optim.clipping import norm_of, numbers


def gradient_norms(model: Any, norm: float = 2, *, by: str = "layer") -> dict[str, float]:
    """The norms of the gradients of a model, by layer or by parameter.

    Args:
        model: a Module, after `backward`.
        norm: the order of the norm, a positive number or inf.
        by: "layer" for one norm of all parameters that a module has itself, under the module's
            path; "parameter" for one of each, under its own path.

    Returns:
        {path: norm} in the order of the model; what has no gradient is left out. The path of the
        model itself is "".

    Raises TypeError if `model` is not a Module, ValueError for other orders or groupings.

    >>> import tinygrad_like as tg
    >>> model = tg.nn.Sequential(tg.nn.Dense(2, 3), tg.nn.ReLU(), tg.nn.Dense(3, 1))
    >>> (model(tg.ones((4, 2))) ** 2).sum().backward()
    >>> list(gradient_norms(model)), list(gradient_norms(model, by="parameter"))[:2]
    (['0', '2'], ['0.weight', '0.bias'])
    """
    if not hasattr(model, "named_parameters"):
        raise TypeError(f"[gradient_norms] model is {describe(model)}, expected a Module")
    norm = check_real("gradient_norms", "norm", norm)
    if not norm > 0:
        raise ValueError(f"[gradient_norms] norm is {norm!r}, expected a positive number")
    check_choice("gradient_norms", "by", by, ("layer", "parameter"))
    found: dict[str, list[float]] = {}
    for path, p in model.named_parameters():
        if p.grad is not None:
            key = path if by == "parameter" else path.rpartition(".")[0]
            found.setdefault(key, []).append(norm_of(numbers(p.grad), norm))
    with np.errstate(all="ignore"):  # a norm that is inf or NaN is what is asked for
        return {path: norm_of(np.array(norms), norm) for path, norms in found.items()}


class NoiseScale:
    """The simple noise scale of gradients, from their norms at two sizes of a batch.

    B = tr(S) / |G|^2, with the covariance S of the gradients of single samples, and their mean G.
    A batch much smaller than B makes noisy steps; one much larger wastes samples. The two sizes
    are, for example, those of a part and of all parts of an accumulated gradient. Both
    terms are averaged over updates before they are divided: each one is noisy itself.

    Args:
        small, large: the sizes of the batches.
        decay: of the moving averages, from 0 to less than 1.

    Raises TypeError or ValueError for other sizes, decays or norms.
    Source: McCandlish et al. 2018, "An empirical model of large-batch training", appendix A.1.

    >>> noise = NoiseScale(small=8, large=64)
    >>> noise.update([2.0, 2.2], 1.5)   # of two small batches, and of the large one
    >>> round(noise.value, 1)
    10.2
    """

    def __init__(self, small: int, large: int, decay: float = 0.99):
        self.small = check_integer("NoiseScale", "small", small, 1)
        self.large = check_integer("NoiseScale", "large", large, self.small + 1)
        self.decay = check_number("NoiseScale", "decay", decay, 0, below=1)
        self._sums = (0, 0.0, 0.0)  # updates, and the averages of tr(S) and |G|^2

    def update(self, small: Any, large: Any) -> None:
        """Take in the norms of the gradients of mean losses over a small and a large batch.

        `small` may be a list of norms, of several small batches.
        """
        few = small if isinstance(small, list | tuple) else [small]
        if not few:
            raise ValueError("[NoiseScale] small is empty, expected at least one norm")
        norms = [check_number("NoiseScale", "small", _number(each), 0) for each in few]
        mean = sum(norm * norm for norm in norms) / len(norms)
        whole = check_number("NoiseScale", "large", _number(large), 0) ** 2
        trace = (mean - whole) / (1 / self.small - 1 / self.large)
        square = (self.large * whole - self.small * mean) / (self.large - self.small)
        count, old_trace, old_square = self._sums
        self._sums = (
            count + 1,
            self.decay * old_trace + (1 - self.decay) * trace,
            self.decay * old_square + (1 - self.decay) * square,
        )

    @property
    def value(self) -> float:
        """The noise scale, in samples; inf where the gradient drowns in noise.

        Raises ValueError before the first update.
        """
        count, trace, square = self._sums
        if not count:
            raise ValueError("[NoiseScale] nothing was measured yet: call update first")
        return _ratio(trace, square)

    def state_dict(self) -> dict[str, Any]:
        """The sizes, the decay and the averages so far."""
        count, trace, square = self._sums
        sizes = {"small": self.small, "large": self.large, "decay": self.decay}
        return {**sizes, "updates": count, "trace": trace, "square": square}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state. Raises ValueError, and changes nothing, if it does not fit."""
        commit(self._loading(state))

    def _loading(self, state: Any) -> list[Any]:
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        expected = {"small": self.small, "large": self.large, "decay": self.decay}
        try:
            own = {name: state[name] for name in expected}
            sums = (
                check_integer("NoiseScale", "updates", state["updates"], 0),
                check_real("NoiseScale", "trace", state["trace"]),
                check_real("NoiseScale", "square", state["square"]),
            )
        except (LookupError, TypeError) as error:
            raise ValueError(
                f"[NoiseScale] the state is none of a NoiseScale: {error!r}; nothing was changed"
            ) from error
        if own != expected:
            raise ValueError(
                f"[NoiseScale] the state is of {own}, expected {expected}; nothing was changed"
            )
        return [partial(setattr, self, "_sums", sums)]


def noise_scale(gradients: Iterable[Any]) -> float:
    """The simple noise scale, in samples, from the gradients of single samples.

    Args:
        gradients: for each parameter a Tensor or array (N, ...) with the gradients of N samples, as
            `tg.vmap(tg.grad(loss))` returns them; N is at least 2.

    Returns:
        tr(S) / |G|^2 by unbiased estimates of both; inf where that of |G|^2 is not positive.

    Raises TypeError for a single array, ValueError for N < 2 or arrays of different N.

    >>> round(noise_scale([np.array([[1.0, 0.0], [3.0, 2.0]])]), 3)
    1.333
    """
    if hasattr(gradients, "shape") or not hasattr(gradients, "__iter__"):
        raise TypeError(
            f"[noise_scale] gradients is {describe(gradients)}, expected a list with an array "
            "(N, ...) for each parameter"
        )
    arrays = [g.data if isinstance(g, Tensor) else np.asarray(g) for g in gradients]
    counts = {a.shape[0] if a.ndim else 0 for a in arrays}
    if len(counts) != 1 or counts <= {0, 1}:
        raise ValueError(
            f"[noise_scale] got arrays of {[a.shape for a in arrays]}, expected one N of at least "
            "2 on the first axis of all"
        )
    (n,) = counts
    trace = square = 0.0
    for a in arrays:
        xp = backend.of(a).xp
        wide = a.astype(np.float64)
        mean = wide.mean(0)
        trace += float(xp.square(wide - mean).sum()) / (n - 1)
        square += float(xp.square(mean).sum())
    return _ratio(trace, square - trace / n)


def _ratio(trace: float, square: float) -> float:
    return trace / square if square > 0 else math.inf


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value

"""PyTorch's own samples of its ops (OpInfo), given to PyTorch and to this library.

The tables in opinfo_*.py say how the library is called with the arguments of PyTorch's ops, in
`ROWS`: {the OpInfo's name: a function of PyTorch's arguments}.
"""

import random
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from oracle import torch
from torch_samples import from_testing

import tinygrad_like as tg
from tinygrad_like.engine import gradients

MOST = 40  # samples of an op, drawn from all that PyTorch has

# What PyTorch calls an option.
IN_TORCH = {
    "dim": "axis",
    "dims": "axis",
    "keepdim": "keepdims",
    "kernel_size": "size",
    "output_size": "size",
}


def call(function, options="", inputs=1, **names):
    """`function`, called with PyTorch's arguments: the inputs, then options by position or name.

    Args:
        options: their names in PyTorch, in order, with spaces between them.
        inputs: how many arguments stand before them.
        names: what we call an option, beyond IN_TORCH.
    """
    options, names = options.split(), {**IN_TORCH, **names}

    def called(*args, **kwargs):
        given = {**dict(zip(options, args[inputs:], strict=False)), **kwargs}
        return function(*args[:inputs], **{names.get(k, k): v for k, v in given.items()})

    return called


def infos():
    """PyTorch's records of its ops, by their names."""
    records = from_testing("common_methods_invocations").op_db
    return {info.name + "." * bool(info.variant_test_name) + info.variant_test_name: info
            for info in records}  # fmt: skip


def dtypes_of(info):
    """The dtypes in which an op is compared: float64 and complex128, or else another one."""
    known = info.supported_dtypes("cpu")
    found = [dtype for dtype in (torch.float64, torch.complex128) if dtype in known]
    return found or [d for d in (torch.int64, torch.bool, torch.float32) if d in known][:1]


def drawn(info, dtype):
    """At most MOST of the samples, always the same ones.

    They are drawn in a thread, where the stack is short: each time that PyTorch sets a seed, it
    writes the whole stack down.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_drawn, info, dtype).result()


def _drawn(info, dtype):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - which the samples draw from
    random.seed(0)
    differentiable = info.supports_autograd and dtype in info.supported_backward_dtypes("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = list(info.sample_inputs("cpu", dtype, requires_grad=differentiable))
    return samples if len(samples) <= MOST else random.sample(samples, MOST)


def mapped(function, value):
    """Apply a function to all that is no list, tuple, dict or slice."""
    if isinstance(value, (list, tuple)):
        items = [mapped(function, item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: mapped(function, item) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(mapped(function, v) for v in (value.start, value.stop, value.step)))
    return function(value)


def flat(outputs):
    """The outputs in order: tensors, numbers, and `...` for one that is not compared."""
    found = []
    mapped(found.append, outputs)
    return found


class Sides:
    """The arguments of a sample for PyTorch and for us, and what of them requires a gradient."""

    def __init__(self, sample):
        self.leaves, self.torchs_leaves = [], []
        arguments = ((sample.input, *sample.args), sample.kwargs)
        self.torchs_arguments = mapped(self.torchs, arguments)
        self.arguments = mapped(self.ours, arguments)

    def torchs(self, value):
        if not isinstance(value, torch.Tensor):
            return value
        value, wanted = self.copy_of(value), value.requires_grad
        if wanted:
            self.torchs_leaves.append(value.requires_grad_())
        return value

    def ours(self, value):
        if isinstance(value, torch.dtype):
            return np.dtype(str(value).partition(".")[2])
        if not isinstance(value, torch.Tensor):
            return value
        x = tg.Tensor(self.copy_of(value).numpy(force=True), requires_grad=value.requires_grad)
        if value.requires_grad:
            self.leaves.append(x)
        return x

    @staticmethod
    def copy_of(tensor):
        """A few samples have weights of float32, which would round all that is computed."""
        copied = tensor.detach().clone()
        return copied.double() if copied.dtype == torch.float32 else copied


def close(found, expected, what, tolerance):
    """Assert that one of our Tensors is PyTorch's, in shape, values and, if floating, dtype."""
    found, expected = found.numpy(), expected.numpy(force=True)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    if expected.dtype.kind in "fcb":
        assert found.dtype == expected.dtype, f"{what}: {found.dtype}, expected {expected.dtype}"
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=1e-3)
    try:
        np.testing.assert_allclose(found, expected, tolerance, tolerance * largest)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from None


def weights_of(outputs, seed):
    """Random weights for PyTorch's outputs that have gradients, None for the others."""
    rng, found = np.random.default_rng(seed), []
    for y in outputs:
        if not y.requires_grad:
            found.append(None)
            continue
        w = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1, 1], y.shape)
        if y.is_complex():
            w = w + 1j * rng.uniform(0.5, 1.5, y.shape)
        found.append(torch.as_tensor(w).to(y.dtype))
    return found


def total(outputs, weights, of_weights):
    """The sum of the outputs with their weights; of complex ones the real part."""
    pairs = zip(outputs, weights, strict=True)
    terms = [(y * of_weights(w)).sum().real for y, w in pairs if w is not None]
    return sum(terms[1:], terms[0])


def gradients_of_torch(outputs, weights, leaves, create_graph):
    y = total(outputs, weights, lambda w: w)
    found = torch.autograd.grad(y, leaves, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]


def our_gradients(outputs, weights, leaves, create_graph):
    y = total(outputs, weights, lambda w: tg.Tensor(w.numpy()))
    if not y.requires_grad:  # a gradient that is constant
        return [tg.zeros_like(x) for x in leaves]
    return gradients([y], leaves, create_graph=create_graph)


def compare(info, row, sample, tolerance, alike=False):
    """Assert that a sample gives the same here and there, in values and both orders of gradients.

    Args:
        tolerance: the relative error of values; that of gradients is 10 times as large for each
            order.
        alike: whether only shapes and dtypes are compared, those of random numbers.

    Returns the order up to which there was something to compare.
    """
    sides, process = Sides(sample), sample.output_process_fn_grad
    found = flat(process(row(*sides.arguments[0], **sides.arguments[1])))
    expected = flat(process(info.op(*sides.torchs_arguments[0], **sides.torchs_arguments[1])))
    assert len(found) == len(expected), f"{len(found)} outputs, expected {len(expected)}"
    pairs = [(x, y) for x, y in zip(found, expected, strict=True) if x is not ...]
    numbers = [(x, y) for x, y in pairs if not isinstance(y, torch.Tensor)]
    assert all(x == y for x, y in numbers), f"outputs {numbers}"
    found, expected = ([p[i] for p in pairs if isinstance(p[1], torch.Tensor)] for i in (0, 1))
    if alike:
        assert [x.shape for x in found] == [tuple(y.shape) for y in expected]
        return 0
    differentiable = info.supports_autograd + (info.supports_autograd and info.supports_gradgrad)
    for order, what in enumerate(("output", "gradient", "second-order gradient")):
        for i, (x, y) in enumerate(zip(found, expected, strict=True)):
            close(x, y, f"{what} {i}", tolerance * 10**order)
        weights = weights_of(expected, order)
        if order >= differentiable or all(w is None for w in weights):
            return order
        more = order + 1 < differentiable
        expected = gradients_of_torch(expected, weights, sides.torchs_leaves, more)
        found = our_gradients(found, weights, sides.leaves, more)
    return 2

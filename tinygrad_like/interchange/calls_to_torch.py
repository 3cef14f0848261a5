"""Functions and models of PyTorch's in our programs; arrays go over by DLPack."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import GraphError, Tensor, mode, wrap
from tinygrad_like.functional import custom_gradient
from tinygrad_like.functional.trees import flatten
from tinygrad_like.interchange.sharing import apart, shared, shared_with_torch, torch_for
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.arrays.create import from_dlpack


def from_torch_function(f: Any) -> Any:
    """A function of PyTorch's tensors as one of Tensors, through which their gradients flow.

    Args:
        f: a function, or a `torch.nn.Module`.

    Returns:
        For a function one of the same arguments: Tensors and arrays in them, also in tuples, lists
        and dicts, reach f as PyTorch's on the same memory, and PyTorch's in what f returns come
        back as Tensors. For a module a Module of ours whose parameters are on the memory of its
        own; `train()` and `eval()` set the modes of both, and buffers stay the module's.

    Derivatives of any order are exact; from the second on f runs once more, so that what it draws
    at random would differ. Inside `tg.vmap` it is refused.

    Raises:
        GraphError: if the result depends on a tensor of PyTorch's that requires a gradient and is
            no argument, or if an argument or the result was changed before the backward pass.
        ImportError: without PyTorch.

    >>> erfcx = from_torch_function(torch.special.erfcx)  # doctest: +SKIP
    >>> tg.grad(lambda x: erfcx(x).sum())(tg.ones(3))  # doctest: +SKIP
    """
    torch = torch_for("from_torch_function")
    if isinstance(f, torch.nn.Module):
        return OfTorch(f)
    if not callable(f):
        raise TypeError(
            f"[from_torch_function] f is a {type(f).__name__}, expected a function or a module"
        )

    @wraps(f)
    def on_tensors(*args: Any, **kwargs: Any) -> Any:
        leaves, build = flatten((args, kwargs))
        places = [
            i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.dtype.kind in INEXACT
        ]
        arrays = [wrap(x) if backend.of(x) is not None else x for x in leaves]
        fixed = [
            shared_with_torch(torch, x) if isinstance(x, Tensor) and i not in places else x
            for i, x in enumerate(arrays)
        ]

        def run(*moving: Any) -> list[Any]:
            whole = list(fixed)
            for i, x in zip(places, moving, strict=True):
                whole[i] = x
            args, kwargs = build(whole)
            result = _called(f, args, kwargs)
            is_of_torch = type(result).__module__ == "torch.return_types"  # of sort and the like
            return flatten(tuple(result) if is_of_torch else result)

        found = _recorded(torch, run)(*(leaves[i] for i in places))
        _note_changes((x, t) for x, t in zip(arrays, fixed, strict=True) if x is not t)
        return found

    return on_tensors


def _called(f: Callable, args: Sequence, kwargs: dict) -> Any:
    """What f returns; GraphError if it changes an argument whose gradient is needed."""
    try:
        return f(*args, **kwargs)
    except RuntimeError as error:
        if "leaf Variable" not in str(error):
            raise
        raise GraphError(
            "[from_torch_function] f changes an argument in place, and its gradient is needed: let "
            f"f change x.clone(), or make a module with inplace=False ({error})"
        ) from error


def _note_changes(pairs: Iterable[tuple[Any, Any]]) -> None:
    """Count the changes in place of PyTorch's tensors as changes of the Tensors beside them."""
    for x, t in pairs:
        if t._version:
            if any(stride < 0 for stride in x.data.strides):  # PyTorch had a copy
                x.data[...] = t.detach().numpy()
            x.version[0] += 1


def _recorded(torch: Any, run: Callable) -> Callable:
    """A function of Tensors that computes by `run`, whose gradients are PyTorch's.

    `run` takes PyTorch's tensors, and returns the leaves of a result and what builds it of them.
    """

    @custom_gradient
    def call(*xs: Tensor) -> tuple[Any, Callable]:
        needed = mode.grad and any(x.requires_grad for x in xs)
        inputs = [shared_with_torch(torch, x).requires_grad_(needed) for x in xs]
        with torch.set_grad_enabled(mode.grad):
            leaves, build = run(*inputs)
        _note_changes(zip(xs, inputs, strict=True))
        outputs = [y for y in leaves if isinstance(y, torch.Tensor)]
        if len(outputs) < len(leaves):
            other = next(y for y in leaves if not isinstance(y, torch.Tensor))
            raise TypeError(
                f"[from_torch_function] f returned a {type(other).__name__}, expected tensors"
            )
        _refuse_others(outputs, inputs)
        values = [apart(shared(y), xs) for y in outputs]
        seen = [(x, x.version[0]) for x in (*xs, *values)]
        live = [i for i, y in enumerate(outputs) if y.requires_grad]

        def pull_back(g: Any) -> tuple:
            if any(x.version[0] != at for x, at in seen):
                raise GraphError(
                    "[from_torch_function] an argument or the result was changed in place before "
                    "the backward pass"
                )
            every = flatten(g)[0]
            gs = [every[i] for i in live]
            if mode.grad:
                return tuple(_recorded(torch, _gradient(torch, run, live, len(xs)))(*xs, *gs))
            seeds = [shared_with_torch(torch, g) for g in gs]
            found = _gradients_of(torch, [outputs[i] for i in live], inputs, seeds)
            return tuple(apart(shared(d), gs) for d in found)

        return build(values), pull_back

    return call


def _gradients_of(torch: Any, outputs: list, inputs: Sequence, seeds: Sequence, **how: bool) -> Any:
    if not outputs:
        return [torch.zeros_like(x) for x in inputs]
    how = {"retain_graph": True, **how}
    return torch.autograd.grad(outputs, inputs, seeds, materialize_grads=True, **how)


def _gradient(torch: Any, run: Callable, live: list[int], count: int) -> Callable:
    """The gradients as what `_recorded` takes: of `count` inputs and of the live outputs' gs."""

    def pulled_back(*both: Any) -> Any:
        inputs = [x if x.requires_grad else x.requires_grad_() for x in both[:count]]
        with torch.enable_grad():
            leaves, _ = run(*inputs)
        outputs = [leaves[i] for i in live]
        found = _gradients_of(torch, outputs, inputs, both[count:], create_graph=True)
        return flatten(tuple(found))

    return pulled_back


def _refuse_others(outputs: list, inputs: list) -> None:
    """Raise GraphError if outputs depend on a tensor that requires a gradient and is no input."""
    leaves = [y for y in outputs if y.requires_grad and y.grad_fn is None]
    nodes = [y.grad_fn for y in outputs if y.grad_fn is not None]
    seen = set(nodes)
    for node in nodes:  # grows while it is walked
        leaves += [node.variable] if hasattr(node, "variable") else []
        below = {parent for parent, _ in node.next_functions if parent is not None} - seen
        seen |= below
        nodes += below
    known = {id(x) for x in inputs}
    for leaf in leaves:
        if id(leaf) not in known:
            raise GraphError(
                "[from_torch_function] the result depends on a tensor of shape "
                f"{tuple(leaf.shape)} that requires a gradient and is no argument: it would get "
                "none. Pass it as an argument, detach() it, or give the module that has it"
            )


class OfTorch(Module):
    """A Module that computes by one of PyTorch's, see `from_torch_function`."""

    def __init__(self, module: Any):
        self.module = module
        self.weights = {
            name: from_dlpack(p.detach()).requires_grad_().requires_grad_(p.requires_grad)
            for name, p in module.named_parameters()
        }
        self.training = module.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What PyTorch's module computes of Tensors."""
        torch = torch_for("from_torch_function")
        if self.module.training is not self.training:
            self.module.train(self.training)

        def call(weights: dict, args: tuple, kwargs: dict) -> Any:
            return torch.func.functional_call(self.module, weights, args, kwargs)

        return from_torch_function(call)(self.weights, args, kwargs)

"""Functions of Tensors in PyTorch's programs, and functions of PyTorch's in ours.

Arrays go over by DLPack, on the same memory. Each library records its own part of a computation,
and its gradient is one step of the other's backward pass.
"""

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import GraphError, Tensor, mode, no_grad, wrap
from tinygrad_like.functional import custom_gradient, functional_call, jvp, vjp, vmap
from tinygrad_like.functional.trees import flatten
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.arrays.create import from_dlpack


def _torch(name: str) -> Any:
    """PyTorch. Raises ImportError, in the name of a function, if it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"[{name}] needs PyTorch: pip install 'tinygrad-like[oracle]'") from error
    return torch


def _has_gradients(t: Any) -> bool:
    """Whether the dtype of a tensor of PyTorch's is one that has gradients."""
    return t.is_floating_point() or t.is_complex()


def _shared(t: Any) -> Tensor:
    """A Tensor on the memory of one of PyTorch's."""
    return from_dlpack(t.detach().resolve_conj().resolve_neg())


def _shared_with_torch(torch: Any, x: Tensor) -> Any:
    """A tensor of PyTorch's on the memory of a Tensor, or on a copy if that runs backward."""
    x = x.detach()
    backward = any(stride < 0 for stride in getattr(x.data, "strides", ()))
    return torch.from_dlpack(x.copy() if backward else x)


def _apart(x: Tensor, others: Sequence[Tensor]) -> Tensor:
    """`x` without its history, copied if it lies in the memory of one of the others."""
    x = x.detach()
    return x.copy() if any(np.may_share_memory(x, other) for other in others) else x


# A function of ours in PyTorch

OUTPUT = object()  # where a Tensor stands in what a function returns


def as_torch(f: Any) -> Any:
    """A function of Tensors as one of PyTorch's tensors, through which its gradients flow.

    Args:
        f: a function, or a Module.

    Returns:
        For a function one of the same arguments: tensors of PyTorch's in them, also in tuples,
        lists and dicts, reach f as Tensors on the same memory, and Tensors in what f returns come
        back as PyTorch's. For a Module a `torch.nn.Module` whose parameters, under the same names,
        are on the memory of its own, so that an optimizer of either library trains both; `train()`
        and `eval()` set the modes of both, and buffers stay the Module's.

    Derivatives of any order are exact, by `create_graph=True` and by `torch.func`; from the second
    on f runs once more, so that what it draws at random would differ. `torch.vmap` of it is
    `tg.vmap` of f. PyTorch notices if arguments or results were changed in place before the
    backward pass. Inside `torch.compile` it has to be `torch.compiler.disable(as_torch(f))`.

    Raises:
        GraphError: if the result depends on a Tensor that requires a gradient and is no argument:
            it would get none.
        ImportError: without PyTorch.

    >>> softmax = as_torch(tg.softmax)  # doctest: +SKIP
    >>> softmax(torch.ones(3, requires_grad=True))[0].backward()  # doctest: +SKIP
    """
    torch = _torch("as_torch")
    if isinstance(f, Module):
        return _module_of_torch()(f)
    if not callable(f):
        raise TypeError(f"[as_torch] f is a {type(f).__name__}, expected a function or a Module")

    @wraps(f)
    def on_torch(*args: Any, **kwargs: Any) -> Any:
        leaves, build = flatten((args, kwargs))
        tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
        recording = torch.is_grad_enabled()
        needed = recording and any(t.requires_grad for t in tensors)
        call = _Call(f, leaves, build, recording, needed)
        return call.value(_applied().apply(call, *tensors))

    return on_torch


class _Call:
    """One call of a function of ours by PyTorch.

    Args:
        f: a function of `build(leaves)`, the pair (args, kwargs).
        recording: whether PyTorch records.
        needed: whether one of the tensors requires a gradient.
    """

    def __init__(self, f: Callable, leaves: list[Any], build: Any, recording: bool, needed: bool):
        torch = _torch("as_torch")
        self.f, self.build, self.recording, self.needed = f, build, recording, needed
        self.places = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
        tensors = [leaves[i] for i in self.places]
        self.moving = [i for i, t in enumerate(tensors) if _has_gradients(t)]
        # Not the tensors themselves: PyTorch frees those that it saves after its backward pass.
        self.leaves = [None if isinstance(x, torch.Tensor) else x for x in leaves]
        self.pull_back: Any = None

    def run(self, tensors: Sequence[Any]) -> tuple[Any, ...]:
        """What f computes, as PyTorch's tensors; a gradient that is needed is kept for later."""
        torch = _torch("as_torch")
        inputs = [_shared(t) for t in tensors]
        if self.needed:
            found, self.pull_back = vjp(
                lambda *xs: self.outputs(inputs, xs),
                *(inputs[i] for i in self.moving),
                allow_unused=True,
            )
        elif self.recording:
            found = self.outputs(inputs)
        else:
            with no_grad():
                found = self.outputs(inputs)
        if any(y.requires_grad for y in found):
            raise GraphError(
                "[as_torch] the result depends on a Tensor that requires a gradient and is no "
                "argument: it would get none. Pass it as an argument, detach() it, or give the "
                "Module that has it"
            )
        return tuple(_shared_with_torch(torch, _apart(y, inputs)) for y in found)

    def outputs(self, inputs: Sequence[Tensor], moving: Sequence[Tensor] = ()) -> list[Tensor]:
        """The Tensors that f returns, with `moving` in the places of inputs that have gradients."""
        inputs = list(inputs)
        for i, x in zip(self.moving, moving, strict=False):
            inputs[i] = x
        leaves = list(self.leaves)
        for i, x in zip(self.places, inputs, strict=True):
            leaves[i] = x
        args, kwargs = self.build(leaves)
        results, self.of_results = flatten(self.f(*args, **kwargs))
        self.others = [OUTPUT if isinstance(y, Tensor) else y for y in results]
        return [y for y in results if isinstance(y, Tensor)]

    def value(self, outputs: Sequence[Any]) -> Any:
        """What f returned, with PyTorch's tensors in it."""
        rest = iter(outputs)
        return self.of_results([next(rest) if y is OUTPUT else y for y in self.others])

    def gradients(self, gs: Sequence[Any]) -> list[Any]:
        """The gradients of the inputs, None for those of integers."""
        torch = _torch("as_torch")
        found: list[Any] = [None] * len(self.places)
        seeds = [_shared(g.contiguous()) for g in gs]
        for i, g in zip(self.moving, self.pull_back(seeds), strict=True):
            found[i] = _shared_with_torch(torch, _apart(g, seeds))
        return found

    def along(self, inputs: list[Tensor], directions: list[Tensor]) -> list[Tensor]:
        """The derivatives of the outputs along directions of the inputs that have gradients."""
        xs = tuple(inputs[i] for i in self.moving)
        return jvp(lambda *xs: self.outputs(inputs, xs), xs, tuple(directions))[1]

    def gradient(self, count: int) -> Callable:
        """The gradients as a function of Tensors, of the `count` inputs and of the outputs' gs."""

        def pulled_back(*both: Tensor) -> list[Tensor]:
            inputs, gs = list(both[:count]), list(both[count:])
            xs = [inputs[i] for i in self.moving]
            return list(vjp(lambda *xs: self.outputs(inputs, xs), *xs, allow_unused=True)[1](gs))

        return pulled_back


@cache
def _applied() -> Any:
    """The autograd function that runs a _Call."""
    torch = _torch("as_torch")
    base: Any = torch.autograd.Function

    class TinygradLike(base):
        @staticmethod
        def forward(call: _Call, *tensors: Any) -> Any:
            return call.run(tensors)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
            ctx.call, *tensors = inputs
            ctx.count = len(tensors)
            ctx.save_for_backward(*tensors, *output)
            ctx.save_for_forward(*tensors, *output)
            ctx.mark_non_differentiable(*(y for y in output if not _has_gradients(y)))

        @staticmethod
        def backward(ctx: Any, *gs: Any) -> tuple:
            tensors = ctx.saved_tensors[: ctx.count]
            if ctx.call.pull_back is not None and not torch.is_grad_enabled():
                return None, *ctx.call.gradients(gs)
            found: list[Any] = [None] * ctx.count
            moved = as_torch(ctx.call.gradient(ctx.count))(*tensors, *gs)
            for i, g in zip(ctx.call.moving, moved, strict=True):
                found[i] = g
            return None, *found

        @staticmethod
        def jvp(ctx: Any, _: None, *tangents: Any) -> tuple:
            tensors = ctx.saved_tensors[: ctx.count]
            moving = [tangents[i] for i in ctx.call.moving]
            pairs = zip(moving, (tensors[i] for i in ctx.call.moving), strict=True)
            directions = [torch.zeros_like(x) if t is None else t for t, x in pairs]
            return tuple(as_torch(ctx.call.along)(list(tensors), directions))

        @staticmethod
        def vmap(info: Any, in_dims: tuple, call: _Call, *tensors: Any) -> tuple:
            """Of all examples at once, by `tg.vmap`."""
            of_all = vmap(lambda *xs: call.outputs(xs), in_axes=in_dims[1:])
            found = as_torch(of_all)(*tensors)
            return tuple(found), (0,) * len(found)

    return TinygradLike


@cache
def _module_of_torch() -> Any:
    """The class of PyTorch's modules that compute by one of ours."""
    torch = _torch("as_torch")
    base: Any = torch.nn.Module

    class TinygradLikeModule(base):
        """A Module of tinygrad_like's, with parameters on the memory of its own."""

        def __init__(self, module: Module):
            super().__init__()
            self.__dict__["module"] = module
            for path, p in module.named_parameters():
                home, name = self, path
                while "." in name:
                    first, _, name = name.partition(".")
                    if first not in home._modules:
                        home.add_module(first, torch.nn.Module())
                    home = home._modules[first]
                parameter = torch.nn.Parameter(torch.from_dlpack(p.detach()), p.requires_grad)
                home.register_parameter(name, parameter)
            self.training = module.training

        def train(self, mode: bool = True) -> Any:
            """Set the mode of this module and of the one that computes."""
            self.module.train(mode)
            return super().train(mode)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            def call(weights: dict, args: tuple, kwargs: dict) -> Any:
                return functional_call(self.module, weights, *args, **kwargs)

            return as_torch(call)(dict(self.named_parameters()), args, kwargs)

    return TinygradLikeModule


# A function of PyTorch's here


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
    torch = _torch("from_torch_function")
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
            _shared_with_torch(torch, x) if isinstance(x, Tensor) and i not in places else x
            for i, x in enumerate(arrays)
        ]

        def run(*moving: Any) -> list[Any]:
            whole = list(fixed)
            for i, x in zip(places, moving, strict=True):
                whole[i] = x
            args, kwargs = build(whole)
            result = f(*args, **kwargs)
            is_of_torch = type(result).__module__ == "torch.return_types"  # of sort and the like
            return flatten(tuple(result) if is_of_torch else result)

        return _recorded(torch, run)(*(leaves[i] for i in places))

    return on_tensors


def _recorded(torch: Any, run: Callable) -> Callable:
    """A function of Tensors that computes by `run`, whose gradients are PyTorch's.

    `run` takes PyTorch's tensors, and returns the leaves of a result and what builds it of them.
    """

    @custom_gradient
    def call(*xs: Tensor) -> tuple[Any, Callable]:
        needed = mode.grad and any(x.requires_grad for x in xs)
        inputs = [_shared_with_torch(torch, x).requires_grad_(needed) for x in xs]
        with torch.set_grad_enabled(mode.grad):
            leaves, build = run(*inputs)
        outputs = [y for y in leaves if isinstance(y, torch.Tensor)]
        if len(outputs) < len(leaves):
            other = next(y for y in leaves if not isinstance(y, torch.Tensor))
            raise TypeError(
                f"[from_torch_function] f returned a {type(other).__name__}, expected tensors"
            )
        _refuse_others(outputs, inputs)
        values = [_apart(_shared(y), xs) for y in outputs]
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
            seeds = [_shared_with_torch(torch, g) for g in gs]
            found = _gradients_of(torch, [outputs[i] for i in live], inputs, seeds)
            return tuple(_apart(_shared(d), gs) for d in found)

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
        torch = _torch("from_torch_function")
        if self.module.training is not self.training:
            self.module.train(self.training)

        def call(weights: dict, args: tuple, kwargs: dict) -> Any:
            return torch.func.functional_call(self.module, weights, args, kwargs)

        return from_torch_function(call)(self.weights, args, kwargs)

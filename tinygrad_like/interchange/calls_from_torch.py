"""Functions and models of ours in PyTorch's programs.

Arrays go over by DLPack, on the same memory. Each library records its own part of a computation,
and its gradient is one step of the other's backward pass.
"""

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

from tinygrad_like.engine import GraphError, Tensor, commit, moving, no_grad
from tinygrad_like.functional import functional_call, jvp, vjp, vmap
from tinygrad_like.functional.trees import flatten
from tinygrad_like.interchange.sharing import (
    apart,
    has_gradients,
    shared,
    shared_with_torch,
    torch_for,
)
from tinygrad_like.nn.base.module import Module

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
    torch = torch_for("as_torch")
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
        torch = torch_for("as_torch")
        self.f, self.build, self.recording, self.needed = f, build, recording, needed
        self.places = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
        tensors = [leaves[i] for i in self.places]
        self.moving = [i for i, t in enumerate(tensors) if has_gradients(t)]
        # Not the tensors themselves: PyTorch frees those that it saves after its backward pass.
        self.leaves = [None if isinstance(x, torch.Tensor) else x for x in leaves]
        self.pull_back: Any = None

    def run(self, tensors: Sequence[Any]) -> tuple[Any, ...]:
        """What f computes, as PyTorch's tensors; a gradient that is needed is kept for later."""
        torch = torch_for("as_torch")
        inputs = [shared(t) for t in tensors]
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
        self._tell_changes(tensors, inputs)
        if any(y.requires_grad for y in found):
            raise GraphError(
                "[as_torch] the result depends on a Tensor that requires a gradient and is no "
                "argument: it would get none. Pass it as an argument, detach() it, or give the "
                "Module that has it"
            )
        return tuple(shared_with_torch(torch, apart(y, inputs)) for y in found)

    def _tell_changes(self, tensors: Sequence[Any], inputs: Sequence[Tensor]) -> None:
        """Tell PyTorch which of its tensors f has changed in place; GraphError if that matters."""
        changed = [t for t, x in zip(tensors, inputs, strict=True) if x.version[0]]
        if changed and self.needed:
            raise GraphError(
                "[as_torch] f changes an argument in place, and a gradient is needed: write "
                "`x = x + 1` for `x += 1`, or let f change x.copy()"
            )
        for t in changed:
            if not t.is_inference():
                torch_for("as_torch").autograd.graph.increment_version(t)

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
        torch = torch_for("as_torch")
        found: list[Any] = [None] * len(self.places)
        seeds = [shared(g.contiguous()) for g in gs]
        for i, g in zip(self.moving, self.pull_back(seeds), strict=True):
            found[i] = shared_with_torch(torch, apart(g, seeds))
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
    torch = torch_for("as_torch")
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
            ctx.mark_non_differentiable(*(y for y in output if not has_gradients(y)))

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
    torch = torch_for("as_torch")
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

        def __reduce__(self) -> tuple:
            """Copies and pickles are made again, with parameters on the memory of their Module."""
            frozen = [name for name, p in self.named_parameters() if not p.requires_grad]
            return _made_again, (self.module, frozen)

        def _apply(self, fn: Callable, recurse: bool = True) -> Any:
            """Convert or move the parameters (`double()`, `to()`), and the Module with them."""
            super()._apply(fn, recurse)
            converted = {path: shared(p).data for path, p in self.named_parameters()}
            pairs = [(p, converted[path]) for path, p in self.module.named_parameters()]
            if pairs:
                self.module.to(pairs[0][1].dtype)  # its buffers
                commit([change for own, array in pairs for change in moving(own, array, None)])
            return self

        def train(self, mode: bool = True) -> Any:
            """Set the mode of this module and of the one that computes."""
            self.module.train(mode)
            return super().train(mode)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            def call(weights: dict, args: tuple, kwargs: dict) -> Any:
                return functional_call(self.module, weights, *args, **kwargs)

            return as_torch(call)(dict(self.named_parameters()), args, kwargs)

    return TinygradLikeModule


def _made_again(module: Module, frozen: Sequence[str]) -> Any:
    """What `as_torch` makes of a Module, with some parameters frozen."""
    made = as_torch(module)
    for name, p in made.named_parameters():
        p.requires_grad_(name not in frozen)
    return made

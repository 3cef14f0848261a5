"""Module: a function with parameters. What it holds, and which of it is state, see holder.py."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from reprlib import recursive_repr
from textwrap import indent
from typing import TYPE_CHECKING, Any, TypeVar, final

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import Tensor, commit, mark_given, mode, moving, next_serial
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.holder import held
from tinygrad_like.nn.base.hooks import Hooked
from tinygrad_like.nn.base.state import StateError, StateReport, loading
from tinygrad_like.nn.base.summary import head, table

if TYPE_CHECKING:
    from tinygrad_like.pictures import Graph

Self = TypeVar("Self", bound="Module")


class Module(Hooked):
    """A function with parameters. A subclass sets attributes and defines `forward`.

    Calling the module runs `forward`. No call of `super().__init__()` is needed.

    It can be copied (`copy.deepcopy`) and pickled, together with its optimizer if both are in one
    tuple: what is tied or shared stays so. A pickle runs code when it is loaded, so load only those
    of people you trust, and hand weights on by `tg.io.save(path, model.state_dict())`.

    >>> import tinygrad_like as tg
    >>> from tinygrad_like import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.layers = [nn.Dense(4, 8), nn.Dense(8, 2, bias=False)]
    ...     def forward(self, x):
    ...         return self.layers[1](tg.tanh(self.layers[0](x)))
    >>> net = Net()
    >>> net(tg.zeros((3, 4))).shape
    (3, 2)
    >>> [path for path, _ in net.named_parameters()]
    ['layers.0.weight', 'layers.0.bias', 'layers.1.weight']
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call returns: every subclass defines it."""
        name = type(self).__name__
        raise TypeError(f"[{name}] has no forward: define `def forward(self, x)` in class {name}")

    @final
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._transient is None:
            self._begin()
        running = mode.running
        outermost = not running
        try:
            if outermost:
                running.append(next_serial())
                for x in args:
                    if type(x) is not Tensor or x.node is not None:
                        mark_given(x)
                if kwargs:
                    mark_given(kwargs)
            hooks = self._hooks
            if hooks is None:
                return self.forward(*args, **kwargs)
            return hooks.call(self, args, kwargs)
        except (ValueError, TypeError, IndexError) as error:
            _locate(error, self)
            raise
        finally:
            if outermost:
                running.clear()

    # What it holds; for parameters and buffers see holder.py

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """(path, module) of this module, whose path is "", and of all below it."""
        modules: Any = self._named_holders()
        return modules

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """{path: a copy, without history} of all parameters and (persistent) buffers.

        Raises StateError if two Tensors have one path (dict keys 0 and "0").
        """
        return {path: Tensor(x) for path, x in self._leaves_by_path().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> StateReport:
        """Copy the values of a state into the parameters and buffers, which stay the same objects.

        Args:
            state: {path: Tensor or array}, as `state_dict` or `tg.io.load` returns it. Values
                are converted to the dtype and device of their parameter.
            strict: whether all must fit. If not, what fits is loaded.

        Returns:
            The StateReport of what did not fit.

        Raises:
            StateError: with a full report, if strict and the state does not fit; and for a state
                of PyTorch's, which `tg.interchange.load_torch` reads. Nothing is changed then.
        """
        strict = arguments.flag("load_state_dict", "strict", strict)
        report, changes = loading(type(self).__name__, self._leaves_by_path(), state, strict)
        commit(changes)
        return report

    def _loading(self, state: Mapping[str, Any]) -> list[partial]:
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        return loading(type(self).__name__, self._leaves_by_path(), state, strict=True)[1]

    def _leaves_by_path(self) -> dict[str, Tensor]:
        leaves: dict[str, Tensor] = {}
        transient = {
            id(vars(module)[name])
            for _, module in self.named_modules()
            for name, persistent in module._registered.items()
            if not persistent and name in vars(module)
        }
        for path, x in self._named_leaves():
            if id(x) in transient:
                continue
            if path in leaves:
                raise StateError(f"[state_dict] two Tensors have the path {path!r}: rename one")
            leaves[path] = x
        return leaves

    # Modes, gradients, places

    def train(self: Self, mode: bool = True) -> Self:
        """Set `.training` on this module and all below it (Dropout and BatchNorm heed it)."""
        mode = arguments.flag("train", "mode", mode)
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def requires_grad_(self: Self, wanted: bool = True) -> Self:
        """Set `requires_grad` of all parameters: False freezes them, and an optimizer skips them.

        They stay parameters. To freeze only a part: `model.freeze("encoder")`.
        """
        for p in self.parameters():
            p.requires_grad = wanted
        return self

    def freeze(self: Self, *patterns: str) -> Self:
        """Set `requires_grad` to False for all parameters, or those that the patterns name.

        Patterns are those of `parameters`: paths of parameters, or of what holds them. Raises
        ValueError, and freezes nothing, if one of them names no parameter.

        >>> from tinygrad_like import nn
        >>> model = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 1))
        >>> [p.requires_grad for p in model.freeze("0", "*.bias").parameters()]
        [False, False, True, False]
        """
        for p in self._named_by("freeze", patterns) if patterns else self.parameters():
            p.requires_grad = False
        return self

    def unfreeze(self: Self, *patterns: str) -> Self:
        """Set `requires_grad` to True for all parameters, or those that the patterns name.

        The inverse of `freeze`, with the same patterns and errors.
        """
        for p in self._named_by("unfreeze", patterns) if patterns else self.parameters():
            p.requires_grad = True
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters, frozen ones included."""
        for p in self.parameters():
            p.zero_grad()

    def to(self: Self, device_or_dtype: Any) -> Self:
        """Move parameters, buffers and gradients to a device, or cast floating ones to a dtype.

        In place: the Tensors stay the same objects, so an optimizer that has them goes on. If
        memory runs out or Ctrl-C interrupts, none is moved.

        Raises DeviceError if the argument is neither a usable device nor a dtype, TypeError if it
        is a dtype that is not floating.
        """
        leaves = [x for _, x in self._named_leaves()]
        for device in {x.device for x in leaves} or {"cpu"}:  # errors come before any change
            target = Tensor(0.0, device=device).to(device_or_dtype)
            if target.dtype.kind not in FLOATING:
                raise TypeError(f"[to] dtype is {target.dtype}, expected a floating one")
        changes = []
        for x in leaves:
            if x.dtype.kind in FLOATING or backend.is_device(device_or_dtype):
                grad = None if x.grad is None else x.grad.detach().to(device_or_dtype)
                changes += moving(x, x.detach().to(device_or_dtype).data, grad)
        commit(changes)
        return self

    # To look at

    def graph(self, *inputs: Any, loss: Callable[[Any], Any] | None = None) -> "Graph":
        """A picture of what a call on some inputs computes, see `tg.pictures.Graph`.

        The model runs on the inputs, in its present mode: once to compile and warm up, and up to
        three times to be timed, of which the least time of each op counts. Parameters, their
        gradients, buffers and the random stream are as before then. Each call of a module is a box
        that can be folded, and lines lead from what is recorded for a backward pass to its users.

        Args:
            loss: a function of the output, whose value is a Tensor with one element. Then its ops
                are in the picture, too, and a backward pass shows the norms of all gradients, and
                what it takes.

        Raises TypeError for a loss that is none.

        >>> from tinygrad_like import nn
        >>> model = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 1))
        >>> picture = model.graph(tg.ones((2, 4)), loss=lambda y: (y * y).mean())
        >>> picture.save("model.html")
        """
        from tinygrad_like import pictures

        return pictures.of_model(self, inputs, loss)

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows: a tree of modules with their parameters."""
        from tinygrad_like.pictures import notebook

        return notebook.of_module(self)

    @recursive_repr("...")
    def __repr__(self) -> str:
        below = [f"({path}): {x!r}" for path, x in held(self) if isinstance(x, Module)]
        if not below:
            return head(self)
        return head(self)[:-1] + "\n" + indent("\n".join(below), "  ") + "\n)"

    def summary(self, *inputs: Any) -> str:
        """A table: a row for each module, with the number of parameters that it holds itself.

        With example inputs, `forward` runs on them once (without recording, in evaluation mode);
        buffers and the random stream are as before then. Further columns show the shape of a
        module's output, the mean, standard deviation and fraction of zeros of its elements, and the
        FLOPs of the call with all that is in it ("?": some op has no count, see
        tinygrad_like/inspect/flops).
        """
        return table(self, inputs)


# Errors


def _locate(error: Exception, caller: Module) -> None:
    """Write the path of the innermost module that an error came through into its message.

    Each caller on the error's way up writes anew what it adds to the first message, so that the
    last one, the outermost module, counts as "model".
    """
    if len(error.args) > 1 or not all(isinstance(a, str) for a in error.args):
        return
    first = ("".join(error.args), None, "")
    message, inner, path = getattr(error, "_came_through", first)
    if inner is not None:
        found = (p for p, m in caller.named_modules() if m is inner)
        step = next(found, type(inner).__name__)  # a module that named_modules does not find
        path = ".".join(filter(None, [step, path]))
    error._came_through = message, caller, path  # type: ignore[attr-defined]
    where = f"in model.{path}" if path else f"in {type(caller).__name__}"
    error.args = (f"{message} ({where})".lstrip(),)

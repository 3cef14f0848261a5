"""Hooks of a Module: functions that see, and may replace, what goes into a call and comes out.

The names, arguments and order are PyTorch's:

    forward_pre     before `forward`: the arguments
    forward         after it: the output
    backward_pre    in a backward pass: the gradient with respect to the output
    backward        after that: the gradients with respect to the positional arguments, too

For a module without hooks `_hooks` is None, and a call runs `forward` at once. Hooks of gradients
need gates.py.
"""

import threading
import weakref
from collections.abc import Callable
from typing import Any

from tinygrad_like.engine import check_flag, errors, mark_given, mode
from tinygrad_like.nn.base.gates import Gates
from tinygrad_like.nn.base.holder import Holder

KINDS = "forward_pre", "forward", "backward_pre", "backward"
CHANGING = threading.RLock()  # the hooks of a module: threads may tap the same one


class Hooked(Holder):
    """The base class of Module: its hooks."""

    _hooks: Any = None  # the Hooks of a module; on the class, what a profile sees calls by

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> "Handle":
        """Call `hook(module, args)` before each `forward`.

        Args:
            hook: it returns None, or new positional arguments: a tuple of them, or the only one.
            prepend: whether it runs before the hooks that are registered already.
            with_kwargs: whether it is `hook(module, args, kwargs)`, which returns None or the pair
                (args, kwargs).

        Returns:
            A Handle: `remove()` ends it, or the end of a `with` block.

        Hooks belong to the object: copies, pickles and `state_dict` know nothing of them. In the
        second run of a `tg.checkpoint` they run once more; inside `tg.vmap` they see one example.

        >>> import tinygrad_like as tg
        >>> layer = tg.nn.ReLU()
        >>> with layer.register_forward_pre_hook(lambda module, args: args[0] + 1):
        ...     layer(tg.zeros(2)).tolist()
        [1.0, 1.0]
        """
        options = {"prepend": prepend, "with_kwargs": with_kwargs}
        return _registered("register_forward_pre_hook", self, "forward_pre", hook, options)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> "Handle":
        """Call `hook(module, args, output)` after each `forward`.

        Args:
            hook: it returns None, or a new output.
            prepend: whether it runs before the hooks that are registered already.
            with_kwargs: whether it is `hook(module, args, kwargs, output)`.
            always_call: whether it runs, with None for the output, if `forward` raises.

        Returns:
            A Handle, see `register_forward_pre_hook`.

        >>> import tinygrad_like as tg
        >>> layer, shapes = tg.nn.Dense(3, 2), []
        >>> handle = layer.register_forward_hook(lambda m, args, out: shapes.append(out.shape))
        >>> y = layer(tg.zeros((5, 3)))
        >>> handle.remove()
        >>> shapes
        [(5, 2)]
        """
        options = {"prepend": prepend, "with_kwargs": with_kwargs, "always_call": always_call}
        return _registered("register_forward_hook", self, "forward", hook, options)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> "Handle":
        """Call `hook(module, grad_output)` when the gradients of a call's output are known.

        Args:
            hook: grad_output is a tuple with the gradient of each output (a list or a dict of
                gradients for an output that is one), None for those without. It returns None, or
                new gradients: such a tuple, or the only gradient.
            prepend: whether it runs before the hooks that are registered already.

        Returns:
            A Handle, see `register_forward_pre_hook`.

        The hook does not change the order in which a backward pass sums gradients.

        >>> import tinygrad_like as tg
        >>> layer, x = tg.nn.ReLU(), tg.ones(2, requires_grad=True)
        >>> with layer.register_full_backward_pre_hook(lambda module, g: (10 * g[0],)):
        ...     layer(x).sum().backward()
        >>> x.grad.tolist()
        [10.0, 10.0]
        """
        options = {"prepend": prepend}
        return _registered("register_full_backward_pre_hook", self, "backward_pre", hook, options)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> "Handle":
        """Call `hook(module, grad_input, grad_output)` when a call's gradients are known.

        Args:
            hook: both are tuples as in `register_full_backward_pre_hook`, grad_input with an item
                for each positional argument. It returns None, or a new grad_input. Where no
                argument has a gradient, grad_input holds None and cannot be replaced.
            prepend: whether it runs before the hooks that are registered already.

        Returns:
            A Handle, see `register_forward_pre_hook`.

        The gradients of an argument that is used in the module and beside it (a residual
        connection) are summed in the module first, and may differ in the last bit from those of a
        model without such a hook.

        >>> import tinygrad_like as tg
        >>> layer, x = tg.nn.Dense(3, 2), tg.ones((5, 3), requires_grad=True)
        >>> with layer.register_full_backward_hook(lambda m, g_in, g_out: print(g_in[0].shape)):
        ...     layer(x).sum().backward()
        (5, 3)
        """
        options = {"prepend": prepend}
        return _registered("register_full_backward_hook", self, "backward", hook, options)


class Handle:
    """A registered hook of a module, which `remove()` takes off again."""

    def __init__(self, module: Any, kind: str, hook: Callable, options: dict[str, bool]):
        self.module, self.kind, self.hook = weakref.ref(module), kind, hook
        self.with_kwargs = options.get("with_kwargs", False)
        self.always_call = options.get("always_call", False)
        self.is_there = True

    def remove(self) -> None:
        """Take the hook off its module; a second time it does nothing.

        It does not run in backward passes of earlier calls either.
        """
        module, self.is_there = self.module(), False
        if module is None:
            return
        with CHANGING:
            hooks = vars(module).get("_hooks")
            if hooks is not None:
                kept = tuple(h for h in getattr(hooks, self.kind) if h is not self)
                setattr(hooks, self.kind, kept)
                if not any(getattr(hooks, kind) for kind in KINDS):
                    vars(module).pop("_hooks", None)

    def __enter__(self) -> "Handle":
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def _registered(
    function: str, module: Any, kind: str, hook: Callable, options: dict[str, bool]
) -> Handle:
    if not callable(hook):
        raise TypeError(f"[{function}] hook is {errors.describe(hook)}, expected a function")
    options = {name: check_flag(function, name, value) for name, value in options.items()}
    handle = Handle(module, kind, hook, options)
    with CHANGING:
        hooks = vars(module).setdefault("_hooks", Hooks())
        others = getattr(hooks, kind)
        setattr(hooks, kind, (handle, *others) if options["prepend"] else (*others, handle))
    return handle


class Hooks:
    """The hooks of one module, a tuple of Handles of each kind, in the order in which they run."""

    def __init__(self) -> None:
        self.forward_pre: tuple[Handle, ...] = ()
        self.forward: tuple[Handle, ...] = ()
        self.backward_pre: tuple[Handle, ...] = ()
        self.backward: tuple[Handle, ...] = ()

    def call(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The result of a call of the module, which a profile sees, too."""
        around = type(module)._hooks
        if around is None:
            return self.forward_with_hooks(module, args, kwargs)
        return around.call(module, args, kwargs, self.forward_with_hooks)

    def forward_with_hooks(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Run `forward`, and the hooks before and after it."""
        waiting = [h for h in self.forward if h.always_call]
        try:
            if self.forward_pre:
                args, kwargs = self._before(module, args, kwargs)
            gates = None
            if (self.backward_pre or self.backward) and mode.grad:
                gates = Gates(module, self.backward_pre, self.backward)
                args = gates.enter(args)
            out = module.forward(*args, **kwargs)
            for handle in self.forward:
                given = (args, kwargs, out) if handle.with_kwargs else (args, out)
                if handle in waiting:
                    waiting.remove(handle)
                new = handle.hook(module, *given)
                if new is not None:
                    out = new
            return out if gates is None else gates.leave(out)
        except Exception:
            for handle in waiting:
                given = (args, kwargs, None) if handle.with_kwargs else (args, None)
                handle.hook(module, *given)
            raise

    def _before(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """(args, kwargs) after the hooks before `forward`."""
        for handle in self.forward_pre:
            if handle.with_kwargs:
                new = handle.hook(module, args, kwargs)
                if new is not None:
                    args, kwargs = _pair(new)
            else:
                new = handle.hook(module, args)
                if new is not None:
                    args = new if isinstance(new, tuple) else (new,)
            if new is not None:
                mark_given((args, kwargs))
        return args, kwargs


def _pair(new: Any) -> tuple[tuple, dict[str, Any]]:
    """What a hook with keywords returned, checked."""
    if isinstance(new, tuple) and len(new) == 2:
        args, kwargs = new
        if isinstance(args, tuple) and isinstance(kwargs, dict):
            return args, kwargs
    raise TypeError(
        f"[register_forward_pre_hook] the hook returned {errors.describe(new)}, expected None or "
        "the pair (args, kwargs) of a tuple and a dict"
    )

"""tap: what passes through the modules of a model, read or replaced by their paths."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tinygrad_like.engine import Tensor, all_examples, check_choice, errors, mode
from tinygrad_like.engine.containers import refilled, tensors_in
from tinygrad_like.inspect.statistics import Statistics
from tinygrad_like.nn.base.holder import places_in
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.base.patterns import named

ON = "output", "input", "gradient"
KEEP = "last", "all", "statistics"


class tap(Mapping):
    """What passes through modules of a model, by path, while a `with` block runs.

    Args:
        model: a Module; it is not changed.
        patterns: of paths of modules, as in `model.freeze`, but here a pattern names the modules
            alone and not what is in them; `""` is the model itself. Without one: all modules.
        on: `"output"`, `"input"` (the only positional argument, or a tuple of them; of a call
            without any, the dict of those by keyword) or `"gradient"`, that of the output.
        keep: `"last"`, what passed in the last call, with its history; `"all"`, a list with an
            item for each call; `"statistics"`, the Statistics of all floating elements of all
            calls.
        replace: a function of a path and what passes there; what it returns goes on in place of
            that, unless it is None. What is kept is what came in.

    The block's object is a mapping {path: what was kept} of the modules that were called, or came
    to their gradients, in that order. After the block nothing of it is left in the model.

    In the second run of a `tg.checkpoint` nothing is kept once more. Inside `tg.vmap`, `replace`
    sees one example; what is kept are all of them, with their axis first.

    Raises:
        TypeError: if `model` is not a Module, or `replace` not a function.
        ValueError: if a pattern names no module, or for another value of `on` or `keep`; in the
            block, if what `replace` returns cannot go on in place of arguments or a gradient.

    Example:
        >>> import tinygrad_like as tg
        >>> model = tg.nn.Sequential(tg.nn.Dense(4, 8), tg.nn.ReLU(), tg.nn.Dense(8, 2))
        >>> x = tg.ones((3, 4))
        >>> with tg.tap(model, "[01]") as seen:
        ...     y = model(x)
        >>> {path: h.shape for path, h in seen.items()}
        {'0': (3, 8), '1': (3, 8)}
        >>> with tg.tap(model, "*", on="gradient", keep="statistics") as seen:
        ...     model(x).sum().backward()
        >>> seen["2"].mean
        1.0
        >>> with tg.tap(model, "1", replace=lambda path, h: 0 * h):
        ...     bool((model(x) == model[2].bias).all())
        True
    """

    def __init__(
        self,
        model: Module,
        *patterns: str,
        on: str = "output",
        keep: str = "last",
        replace: Callable[[str, Any], Any] | None = None,
    ):
        if not isinstance(model, Module):
            raise TypeError(f"[tap] model is {errors.describe(model)}, expected a Module")
        if replace is not None and not callable(replace):
            raise TypeError(
                f"[tap] replace is {errors.describe(replace)}, expected a function of a path and "
                "what passes there, or None"
            )
        self._on = check_choice("tap", "on", on, ON)
        self._keep = check_choice("tap", "keep", keep, KEEP)
        self._replace = replace
        self._places = _modules(model, patterns)
        self._handles: list[Any] = []
        self._seen: dict[str, Any] = {}

    def __enter__(self) -> "tap":
        if self._handles:
            raise RuntimeError("[tap] this one is open already: make another")
        for path, module in self._places:
            self._handles.append(self._registered(path, module))
        return self

    def __exit__(self, *_: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _registered(self, path: str, module: Module) -> Any:
        if self._on == "output":
            return module.register_forward_hook(lambda m, args, out: self._passes(path, out))
        if self._on == "gradient":

            def gradient(m: Module, gs: tuple) -> Any:
                value = gs[0] if len(gs) == 1 else gs
                new = self._passes(path, value)
                if new is None:
                    return None
                if type(value) is Tensor and getattr(new, "shape", None) != value.shape:
                    raise _not_in_place_of(path, new, f"a Tensor of shape {value.shape}")
                return new if isinstance(new, tuple) else (new,)

            return module.register_full_backward_pre_hook(gradient)

        def arguments(m: Module, args: tuple, kwargs: dict[str, Any]) -> Any:
            new = self._passes(path, kwargs if not args else args[0] if len(args) == 1 else args)
            if new is None:
                return None
            if not args:
                if not isinstance(new, dict):
                    raise _not_in_place_of(path, new, "a dict of the arguments by keyword")
                return args, new
            if len(args) == 1:
                return (new,), kwargs
            if not isinstance(new, tuple) or len(new) != len(args):
                raise _not_in_place_of(path, new, f"a tuple of the {len(args)} arguments")
            return new, kwargs

        return module.register_forward_pre_hook(arguments, with_kwargs=True)

    def _passes(self, path: str, value: Any) -> Any:
        """Keep a value that passes at a path; returns its replacement, or None."""
        if not mode.recomputing:
            if self._keep == "statistics":
                found = self._seen.setdefault(path, Statistics())
                for x in tensors_in(value):
                    if x.dtype.kind in "fc" or x.dtype.kind == "V":
                        found.add(x)
            elif self._keep == "all":
                self._seen.setdefault(path, []).append(_of_all(value))
            else:
                self._seen.pop(path, None)
                self._seen[path] = _of_all(value)
        return None if self._replace is None else self._replace(path, value)

    def __getitem__(self, path: str) -> Any:
        try:
            return self._seen[path]
        except KeyError:
            known = ", ".join(map(repr, self._seen)) or "nothing yet"
            raise KeyError(f"[tap] nothing has passed at {path!r}; seen: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen)

    def __len__(self) -> int:
        return len(self._seen)

    def __repr__(self) -> str:
        if self._keep != "statistics":
            return f"tap({', '.join(map(repr, self._seen))})"
        return "\n".join(f"{path or '(model)'}: {x!r}" for path, x in self._seen.items()) or "tap()"


def _not_in_place_of(path: str, new: Any, expected: str) -> Exception:
    """The error for what `replace` returned, if it cannot go on in place of what passed."""
    got = f"{len(new)} items" if isinstance(new, tuple) else errors.describe(new)
    return ValueError(f"[tap] replace returned {got} at {path!r}, expected {expected}, or None")


def _modules(model: Module, patterns: tuple[str, ...]) -> list[tuple[str, Module]]:
    """(path, module) of the modules that patterns name, each once, at its first path."""
    places: list[tuple[str, Any]] = [("", model)]
    places += [(path, x) for path, _, _, x in places_in(model) if isinstance(x, Module)]
    if not patterns:
        return list(model.named_modules())
    found: dict[int, tuple[str, Any]] = {}
    for pattern in patterns:
        for path, module in named("tap", pattern, places, "module", whole=True):
            found.setdefault(id(module), (path, module))
    return list(found.values())


def _of_all(value: Any) -> Any:
    """A value with all examples of the vmaps that run, in place of one example."""
    if isinstance(value, (tuple, list, dict)):
        return refilled(value, map(_of_all, value.values() if isinstance(value, dict) else value))
    if type(value) is Tensor:
        while all_examples(value._array) is not value._array:
            value = value._array.full()
    return value

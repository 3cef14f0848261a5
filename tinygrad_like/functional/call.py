"""functional_call: a Module as a function of its parameters."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import Tensor, commit, errors
from tinygrad_like.functional.trees import map_tree
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.base.state import mistyped


def functional_call(model, parameters, *args, **kwargs):
    """`model(*args, **kwargs)`, computed with the given Tensors instead of the model's own.

    Derivatives of all orders then come by a dict of parameters: see the example. There they are
    recorded in turn, as the model's own parameters require a gradient; those at `state_dict()`, or
    at `tg.stop_gradient(dict(model.named_parameters()))`, are not, and cost less.

    Args:
        model: an nn.Module.
        parameters: {path: Tensor or array} with paths as in `model.state_dict()`. What is not
            given stays the model's own. Tied weights count once, at their first path. Each has the
            shape of the Tensor whose place it takes; its dtype may differ, as long as it is
            floating where that one is.
        args, kwargs: what the model is called with.

    Returns:
        What the model returns. A parameter among it is the given one.

    A forward that updates a buffer (BatchNorm in training) updates the given Tensor and never the
    model's, whose place it takes; of a given array it updates a copy, which is dropped. Buffers
    that are not given are the model's own and are updated as in any call.

    The model holds the given Tensors while it runs, and its own again afterwards, also if forward
    raises or Ctrl-C interrupts it. So another thread must not use the same model meanwhile. A
    `checkpoint` inside the model runs again in the backward pass, on the model's own parameters:
    it raises GraphError then if these have other values.

    Raises:
        TypeError: if `model` is no Module, `parameters` no dict, or a value no Tensor or array.
        ValueError: for a path that the model does not have, naming those like it, or a value of
            another shape.

    Example:
        >>> import tinygrad_like as tg
        >>> model, x = tg.nn.Dense(3, 2), tg.ones((4, 3))
        >>> loss = lambda parameters: (tg.functional_call(model, parameters, x) ** 2).sum()
        >>> gradient = tg.grad(loss)(dict(model.named_parameters()))
        >>> {path: g.shape for path, g in gradient.items()}
        {'weight': (3, 2), 'bias': (2,)}
    """
    if not isinstance(model, Module):
        raise TypeError(f"[functional_call] model is {errors.describe(model)}, expected a Module")
    if not isinstance(parameters, Mapping):
        raise TypeError(
            f"[functional_call] parameters is {errors.describe(parameters)}, expected a dict "
            "{path: Tensor}, such as dict(model.named_parameters())"
        )
    if model._transient is None:
        model._begin()
    pairs = _pairs(model, parameters)
    places = _places(model, {id(own) for own, _ in pairs})
    back = [_setting(home, key, own) for home, key, own in places]
    for own, _ in pairs:
        back += _becoming(own, own)
    with Undoing(back):
        commit([change for own, new in pairs for change in _becoming(own, new)])
        result = model(*args, **kwargs)
        now = [(own, _at(home, key)) for home, key, own in places]
    by_own = {id(own): new for own, new in pairs}
    for own, value in now:
        if isinstance(value, Tensor) and value is not own:
            by_own[id(own)].data = value.detach()
    return map_tree(lambda x: by_own.get(id(x), x), result)


def _pairs(model, parameters):
    """[(a Tensor of the model, the Tensor that is to take its place)], checked."""
    own = dict(model._named_leaves())
    pairs = []
    for path, value in parameters.items():
        if path not in own:
            close = get_close_matches(str(path), own, 3)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else _known(own)
            raise ValueError(
                f"[functional_call] {type(model).__name__} has no parameter or buffer {path!r}; "
                f"{hint}"
            )
        problem = mistyped(value, own[path])
        if problem is not None:
            raise TypeError(f"[functional_call] {path} is {problem}")
        if tuple(value.shape) != own[path].shape:
            raise ValueError(
                f"[functional_call] {path} has shape {tuple(value.shape)}, expected "
                f"{own[path].shape}"
            )
        if not isinstance(value, Tensor):
            value = Tensor(value, device=own[path].device)
        pairs.append((own[path], value))
    return pairs


def _known(own):
    """The paths that a model has, for an error message."""
    paths = list(own)
    more = ", ..." if len(paths) > 8 else ""
    return f"it has {', '.join(paths[:8])}{more}" if paths else "it has none"


def _becoming(own, new):
    """The changes, for `commit`, that give a Tensor the array, graph and version of another."""
    return [
        partial(object.__setattr__, own, name, getattr(new, name))
        for name in ("_array", "node", "version")
    ]


def _places(model, wanted):
    """[(dict or list, key, Tensor)] where Modules hold the Tensors with these ids.

    A forward may put another Tensor there, which must not stay.
    """
    found, seen = [], set()
    homes = [vars(module) for _, module in model.named_modules()]
    for home in homes:  # grows while it is walked
        for key, value in home.items() if isinstance(home, dict) else enumerate(home):
            if type(value) is Tensor and id(value) in wanted:
                found.append((home, key, value))
            elif type(value) in (list, dict) and id(value) not in seen:
                seen.add(id(value))
                homes.append(value)
    return found


def _setting(home, key, value):
    """The change that puts a Tensor back; a list becomes as it was, whatever its length now."""
    if isinstance(home, list):
        return partial(home.__setitem__, slice(None), home.copy())
    return partial(home.__setitem__, key, value)


def _at(home, key):
    """What is in a place now, None if it is gone."""
    if isinstance(home, list):
        return home[key] if key < len(home) else None
    return home.get(key)

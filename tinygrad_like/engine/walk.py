"""The backward walk: nodes by falling serial number, each node's rules, gradients summed."""

from operator import attrgetter
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT, DeviceError
from tinygrad_like.engine import errors
from tinygrad_like.engine.accumulate import accumulate
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.fit import astype, conjugated, fit, itself
from tinygrad_like.engine.hooks import kept, run_hooks
from tinygrad_like.engine.modes import Switch, enable_grad, mode
from tinygrad_like.engine.options import check_flag
from tinygrad_like.engine.plan import ATTRIBUTE, EXTRA, INPUT, NEEDS, OUT, OutputPlan
from tinygrad_like.engine.recompute import Dropped
from tinygrad_like.engine.rows import SparseRows, plus
from tinygrad_like.engine.tensor import Node, Tensor, backend_of, leaf, new_node, wrap

_serial = attrgetter("serial")


def walk(seeds, retain_graph=False, create_graph=False, targets=None, partial=False, run=None):
    """Carry gradients from the outputs of a graph to its leaves.

    The work for every node is in one loop here, since a Python call per node would cost too much;
    what only few nodes need is in the functions below.

    Args:
        seeds: (node, gradient) pairs to start from (gradients as Tensors under create_graph).
        retain_graph: keep what the nodes saved.
        create_graph: run the rules on Tensors and record them (implies retain_graph).
        targets: nodes whose gradients are wanted; only what leads to them is computed.
            None: the leaves.
        partial: whether the walk stops at a target, so that its gradient does not count again
            in those of the targets below it.
        run: what runs the rules of each node in place of `_gradients`, for a profile.

    Returns:
        {node: gradient} for the leaves or targets that were reached: raw arrays that nothing
        else holds, or Tensors under create_graph.
    """
    nodes, useful = _reachable([node for node, _ in seeds], targets, partial)
    ordinary = not create_graph and targets is None and run is None
    grads: dict[Node, Any] = {}
    owned: set[Node] = set()  # nodes whose gradient the walk alone holds, and may change
    widened: set[Node] = set()  # nodes of a half type, whose gradients are added up in float32
    found = {}
    for node, g in seeds:
        grads[node] = _sum(grads[node], g, node, owned, widened) if node in grads else g
    while nodes:
        node = nodes.pop()
        g = gi = gs = grads.pop(node, None)
        if g is None:
            continue
        if widened and node in widened:
            g = astype(g, dtype=node.dtype)
        if node.hooks is not None:
            g = run_hooks(node, g)
            owned.discard(node)
        plan = node.plan
        if plan is None or (targets is not None and node in targets):
            found[node] = _result(g, node in owned, targets)
            if plan is None or partial or _ends_here(node, targets, useful):
                continue
        saved, parents = node.saved, node.parents
        if saved is None:
            raise errors.freed(node)
        for counter, at, _ in node.versions:
            if counter[0] != at:
                raise errors.stale(node)
        if type(saved) is Dropped:
            saved = node.saved = saved.bring_back()
        if ordinary and plan.plain and node.debug is None:
            gs = None  # each rule runs below, in its turn
        else:
            plan, gs = (run or _gradients)(node, plan, saved, g, grads, useful, create_graph)
        try:
            for i, rule, read in plan.steps:
                gi = rule(g, *read(saved)) if gs is None else gs[i]
                p = parents[i]
                if gi.shape != p.shape or gi.dtype is not p.dtype:
                    gi = fit(gi, p)
                have = grads.get(p)
                if have is None:
                    grads[p] = gi
                    if p.plan is None and not create_graph and _is_fresh(plan, gi, g, gs):
                        owned.add(p)
                elif create_graph or p not in owned or gi.dtype.itemsize == 2 or _is_rows(gi):
                    grads[p] = _sum(have, gi, p, owned, widened)
                else:
                    have += gi
                    grads[p] = have  # a NumPy scalar does not change in place
        except Exception as error:
            if not hasattr(gi, "shape"):
                raise errors.no_gradient(plan.op, i, gi) from None
            _say_where(error, node, plan)
            raise
        if not (retain_graph or create_graph or plan.lasting):
            node.saved, node.parents = None, ()
    return found


def _result(g, is_own, targets):
    """A gradient as the walk returns it; rows stay rows for `backward` alone."""
    if targets is not None and type(g) is SparseRows:
        return g.to_dense()._array
    return g if is_own else kept(g)


def _reachable(roots, targets, partial=False):
    """The nodes below `roots` by rising serial, and those that lead to `targets` (None: all).

    With `partial` nothing is below a target.
    """
    seen, nodes = set(roots), list(dict.fromkeys(roots))
    # Parents are older than their children: nothing below the oldest target can lead to one.
    oldest = min((node.serial for node in targets), default=-1) if targets is not None else -1
    for node in nodes:  # grows while it is walked
        if node.serial <= oldest or (partial and node in targets):
            continue
        for p in node.parents:
            if p is not None and p not in seen:
                seen.add(p)
                nodes.append(p)
    nodes.sort(key=_serial)
    if targets is None:
        return nodes, None
    useful: set[Node] = set()
    for node in nodes:
        # A freed node's parents are unknown: it counts as useful, so that the walk refuses it,
        # unless it is older than all targets.
        freed = node.saved is None and node.serial > oldest
        if node in targets or freed or not useful.isdisjoint(node.parents):
            useful.add(node)
    return [node for node in nodes if node in useful], useful


def _ends_here(target, targets, useful):
    """Whether nothing below a target leads to another one, as far as its graph still exists."""
    if target.saved is None and any(node.serial < target.serial for node in targets):
        raise errors.freed(target)
    return useful.isdisjoint(target.parents)


def _gradients(node, plan, saved, g, grads, useful, create_graph):
    """(the plan to follow, the gradients by input) in all but the ordinary case."""
    if type(plan) is OutputPlan:
        outputs = grads.setdefault(node.parents[0], [None] * len(node.parents[0].shape))
        k = plan.k
        outputs[k] = g if outputs[k] is None else outputs[k] + g
        return plan, None
    if node.debug is not None:
        node.debug.verify(plan, saved)
    if plan.op.several:
        g = tuple(g) if plan.op.partial else _fill_outputs(node, g)
    try:
        if create_graph:
            saved = _as_tensors(node, plan, saved)
        if useful is not None:
            plan, saved = _narrow(node, plan, saved, useful)
        if create_graph and plan.op.composite:
            return plan, _through_composite(plan, saved, g)
        if not create_graph and "vmap" in mode.changed:
            found = mode.changed["vmap"].backward(plan, saved, g)
            if found is not NotImplemented:
                return plan, found
        return plan, plan.gradients(saved, g)
    except Exception as error:
        _say_where(error, node, plan)
        raise


def _say_where(error, node, plan):
    """Add to an error in a gradient rule which op the rule belongs to."""
    errors.annotate(error, f"(in the gradient of {plan.op.name}{errors.called_at(node)})")


def _as_tensors(node, plan, saved):
    """What was saved as Tensors: inputs with their parents' nodes, outputs with the node itself."""
    counters = (counter for counter, _, _ in node.versions)
    tensors = []
    for (kind, where), x in zip(plan.saves, saved, strict=True):
        if kind == INPUT and plan.op.variadic:
            x = tuple(_tensor(a, p, next(counters)) for a, p in zip(x, node.parents, strict=True))
        elif kind == INPUT:
            x = _tensor(x, node.parents[where], next(counters))
        elif kind == OUT and plan.op.several:
            x = tuple(
                wrap(o, _output_node(plan, k, node, o), next(counters)) for k, o in enumerate(x)
            )
        elif kind == OUT:
            x = wrap(x, node, next(counters))
        elif kind == EXTRA and not plan.op.composite and getattr(x, "dtype", None) is not None:
            refuse_floating_extra(plan, where, x)
        tensors.append(x)
    return tensors


def _tensor(x, node, counter):
    return x if backend.of(x) is None else wrap(x, node, counter)


def refuse_floating_extra(plan, where, x):
    """Raise GraphError for a saved intermediate result, through which gradients would pass."""
    if x.dtype.kind in INEXACT:
        raise GraphError(
            f"[{plan.op.name}] has no second derivative: its rule reads {plan.op.saves[where]!r}, "
            "an intermediate result whose own gradient is unknown; give the op a composite"
        )


def _output_node(plan, k, node, array):
    return new_node(OutputPlan(plan.op, k), [node], array) if array.dtype.kind in INEXACT else None


def _narrow(node, plan, saved, useful):
    """The plan that computes only the gradients which lead to a target, and what it reads."""
    mask = sum(1 << i for i, *_ in plan.steps if node.parents[i] in useful)
    narrow = plan.op.plan(mask, len(plan.needs))
    have = dict(zip(plan.saves, saved, strict=True))
    have[NEEDS, 0] = narrow.needs
    return narrow, [have[what] for what in narrow.saves]


def _through_composite(plan, saved, g):
    """The gradients of a fused op as Tensors: run its definition, and walk back through that."""
    inputs, found = _by_composite(plan, saved, g, itself, create_graph=True)
    return {
        i: found[x.node] if x.node in found else wrap(backend_of(x).xp.zeros_like(x._array))
        for i, x in inputs.items()
    }


def gradients_of_composite(plan, saved, g):
    """The gradients of a fused op by input, as arrays, from its definition instead of a kernel."""
    with enable_grad():
        inputs, found = _by_composite(plan, saved, g, _leaf_of, create_graph=False)
    return {
        i: found[x.node] if x.node in found else backend_of(x).xp.zeros_like(x._array)
        for i, x in inputs.items()
    }


def _leaf_of(x):
    return leaf(x._array)


def _by_composite(plan, saved, g, start, create_graph):
    """({input: the Tensor that stands for it}, what a walk through the composite has found).

    Each differentiated input gets its own node by `start`: it may occur twice, or have hooks.
    """
    have = dict(zip(plan.saves, saved, strict=True))
    inputs = [have[INPUT, i] for i in range(len(plan.needs))]
    if not create_graph:
        inputs = [x if backend.of(x) is None else wrap(x) for x in inputs]
    active = {i: start(inputs[i]) for i, *_ in plan.steps}
    for i, x in active.items():
        inputs[i] = x
    outs = plan.op.composite(*inputs, **{k: have[ATTRIBUTE, k] for k in plan.op.attributes})
    pairs = zip(outs, g, strict=True) if plan.op.several else [(outs, g)]
    seeds = [(out.node, grad) for out, grad in pairs if out.node is not None]
    targets = {x.node for x in active.values()}
    return active, walk(seeds, create_graph=create_graph, targets=targets)


def _fill_outputs(node, g):
    """The gradients of all outputs of a call, zeros for those that nothing depends on."""
    some = next(x for x in g if x is not None)
    tensors = type(some) is Tensor
    xp = np if isinstance(some, np.generic) else backend_of(some).xp

    def zeros(shape, dtype):
        array = xp.zeros(shape, dtype)
        return wrap(array) if tensors else array

    return tuple(
        zeros(shape, dtype) if x is None else x
        for x, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
    )


def _is_fresh(plan, array, g, gs):
    """Whether a rule made a new `array`, so that nothing else can see it change."""
    if not plan.op.is_ours or array is g or not _owns_its_memory(array):
        return False
    if gs is None:
        return True
    given = g if type(g) in (list, tuple) else ()
    return sum(array is x for x in (*gs, *given)) == 1


def _is_rows(g):
    return type(g) is SparseRows


def _owns_its_memory(array):
    base = getattr(array, "base", None)
    return base is None or getattr(base, "is_loan", False)


def _sum(have, more, node, owned, widened):
    """A node's gradient so far plus one more, as a new array; half types are added in float32."""
    if _is_rows(have) or _is_rows(more):
        owned.add(node)
        return plus(have, more)
    if more.dtype.itemsize == 2:
        widened.add(node)
        have, more = astype(have, dtype=np.float32), astype(more, dtype=np.float32)
    else:
        owned.add(node)
    be = backend.BY_TYPE.get(type(more))  # None for Tensors, and for NumPy's scalars
    if be is None or type(have) is not type(more):
        return have + more
    return be.k.add(have, more)


def backward(self, gradient=None, *, retain_graph=False, create_graph=False):
    """Add the gradient of this tensor to `.grad` of every leaf that it was computed from.

    Args:
        gradient: dL/d(self), of this tensor's shape; for a single real element the default is 1. Of
            complex numbers it is dL/dx + i dL/dy, as all gradients that users see (fit.py).
        retain_graph: keep what was saved, so that backward can run once more.
        create_graph: record the computation of the gradients (for higher orders).

    Raises:
        GraphError: if there is nothing to differentiate, or the graph was freed, or a saved
            tensor was changed in place since.
        ValueError: if a gradient is needed, or has another shape.
    """
    if retain_graph is not False:
        retain_graph = check_flag("backward", "retain_graph", retain_graph)
    if create_graph is not False:
        create_graph = check_flag("backward", "create_graph", create_graph)
    if type(self._array) in backend.STAND_INS:
        raise GraphError(
            "[backward] runs inside vmap, where each example would have a gradient of its own; "
            "let f return gradients, as tg.grad gives them, or call backward() outside vmap"
        )
    if self.node is None:
        raise GraphError(errors.no_graph(self, mode.grad))
    seed = _seed(self, gradient, create_graph)
    pairs = [(self.node, seed)]
    if "profile" in mode.changed:
        with mode.changed["profile"].part("backward", self):
            return accumulate(_walk_in_mode(pairs, retain_graph, create_graph))
    return accumulate(_walk_in_mode(pairs, retain_graph, create_graph))


def gradients(
    outputs, inputs, seeds=None, *, create_graph=False, retain_graph=False, partial=False
):
    """The gradients of `outputs`, weighted by `seeds`, with respect to each of `inputs`.

    Both are lists of Tensors. Inputs that the outputs do not depend on get zeros. If an input was
    computed from another one, the gradient of that one counts both ways, unless `partial` is set.
    No `.grad` changes.
    """
    seeds = [None] * len(outputs) if seeds is None else seeds
    pairs = [
        (y.node, _seed(y, seed, create_graph))
        for y, seed in zip(outputs, seeds, strict=True)
        if y.node is not None
    ]
    targets = {x.node for x in inputs if x.node is not None}
    found = _walk_in_mode(pairs, retain_graph, create_graph, targets, partial)
    results = []
    for x in inputs:
        xp, g = backend_of(x).xp, found.get(x.node)
        if g is None:
            g = wrap(xp.zeros_like(x._array))
        elif type(g) is not Tensor:
            g = wrap((backend.of(g) or backend_of(x)).xp.array(g))
        results.append(g)
    return results


def nodes_below(output):
    """The set of all nodes that a Tensor was computed from, including its own."""
    return set() if output.node is None else set(_reachable([output.node], None)[0])


def _walk_in_mode(seeds, retain_graph, create_graph, targets=None, partial=False):
    if not create_graph:
        return _between_users(seeds, retain_graph, False, targets, partial)
    with Switch("autocast", None), enable_grad():  # gradients of arrays know no autocast either
        return _between_users(seeds, retain_graph, True, targets, partial)


def _between_users(seeds, retain_graph, create_graph, targets, partial):
    """A walk from gradients as users give them to gradients as users see them, see fit.py."""
    for _, g in seeds:
        if g.dtype.kind == "c":
            seeds = [(node, conjugated(g)) for node, g in seeds]
            break
    options = retain_graph, create_graph, targets, partial
    p = mode.changed.get("profile")
    found = p.walk(walk, _gradients, seeds, options) if p else walk(seeds, *options)
    for node, g in found.items():
        if g.dtype.kind == "c":
            found[node] = conjugated(g)
    return found


def _seed(tensor, gradient, create_graph):
    """The gradient to start from: the one given, checked, or 1 for a single element."""
    array = tensor._array
    be = backend.of(array)
    if gradient is None:
        if array.size != 1:
            raise ValueError(
                f"[backward] a tensor of shape {array.shape} needs a gradient: call .sum() or "
                ".mean() for a scalar loss, or pass gradient= of the same shape"
            )
        if array.dtype.kind == "c" and "steps" not in mode.changed:
            raise TypeError(
                errors.no_gradient_of("backward", "the dtype of this tensor", array.dtype)
            )
        seed = be.xp.ones_like(array)
        return wrap(seed) if create_graph else seed
    seed = gradient if isinstance(gradient, Tensor) else Tensor(gradient, device=be.device)
    if seed.device != be.device:
        raise DeviceError(
            f"[backward] gradient is on {seed.device}, expected {be.device}: pass "
            f"gradient.to({be.device!r})"
        )
    if seed.shape != array.shape:
        raise ValueError(f"[backward] gradient has shape {seed.shape}, expected {array.shape}")
    if seed.dtype != array.dtype:
        seed = astype(seed, dtype=array.dtype)
    return seed if create_graph else seed._array

"""profile: the cost of each op, gradient and optimizer step while a block runs.

While a profile is active, every call of an op takes the full path (engine/call.py), which hands it
to `profile.call`; a backward pass hands over the rules of each node, a call of a Module its
forward. Without a profile none of this costs anything: ops see no mode, Modules no hooks.

A Span is a timed interval. Spans nest, so that their own times, without the spans in them, add up
to the time of the whole block.
"""

import threading
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import BY_DEVICE, CPU, Undoing
from tinygrad_like.engine import Batched, SparseRows, Tensor, check_number, mode, next_serial
from tinygrad_like.engine.modes import Switch
from tinygrad_like.engine.plan import EXTRA, OutputPlan
from tinygrad_like.inspect import flame, tables, trace
from tinygrad_like.inspect.flops import OPTIMIZERS, Call, flops_of
from tinygrad_like.inspect.peak import peak, synchronised
from tinygrad_like.inspect.spans import Span
from tinygrad_like.nn.base.hooks import Hooked


class profile(Undoing):
    """Records the cost of ops, their gradients and optimizers inside a `with` block.

    Afterwards it prints as a table, and `rows`, `modules` and `save` have the figures:

        allocated   the arrays that a call returned and kept for its gradient; not the temporary
                    arrays of a kernel
        FLOPs       by the tables in inspect/flops: "?" for ops that have none
        of peak     FLOPs per second, relative to a large float32 product on this machine; above
                    100 % where an algorithm needs fewer (Winograd's), or where other programs ran
                    while the peak was measured
        Python      all time between ops: Python code, data, this profile's own notes

    It records what this thread does, and not ops on raw arrays, which are in the row of Python. A
    note of some hundred bytes is kept of each call: profile some steps, not a whole training.

    Args:
        peak: the FLOPs per second that count as 100 %; by default measured when first needed,
            which takes a third of a second.

    Raises:
        RuntimeError: if a profile runs already in this thread, or this one has run; if its figures
            are read inside the block.

    Example:
        >>> import tinygrad_like as tg
        >>> model, x = tg.nn.Dense(64, 32), tg.ones((8, 64))
        >>> with tg.profile() as p:
        ...     model(x).sum().backward()
        >>> sorted((row.phase, row.flops) for row in p.rows if row.name == "linear")
        [('backward', 32768), ('forward', 32768)]
        >>> print(p)  # doctest: +SKIP
        >>> p.save("trace.json")  # for Perfetto and Chrome  # doctest: +SKIP
        >>> p.save("flame.html")  # doctest: +SKIP
    """

    def __init__(self, *, peak=None):
        super().__init__()
        least = 1.0  # FLOP per second
        self._peak = None if peak is None else check_number("profile", "peak", peak, least)
        self.spans: list[Span] = []
        self.device = "cpu"
        self._names: dict[int, tuple[Any, str]] = {}  # by id: a module, and its path
        self._roots: list[str] = []
        self._top: Any = None
        self._phase = "forward"
        self._in_rule = False  # whether the rules of a node run, which call ops on arrays
        self._clock = synchronised(CPU)

    def __enter__(self):
        if mode.profile is not None or self.spans:
            why = "this one has run: make another" if self.spans else "one runs in this thread"
            raise RuntimeError(f"[profile] {why}")
        if "cuda" in BY_DEVICE:
            self._clock = synchronised(BY_DEVICE["cuda"])
        switch = Switch("profile", self)
        switch.__enter__()
        _EveryModule.enter()
        self._at_end([partial(switch.close), partial(_EveryModule.leave), partial(self._end)])
        self._top = self._open("block", "", "")
        return self

    def _end(self):
        now = self._clock()
        while self._top is not None:
            self._close(self._top, now)

    # Spans

    def _open(self, kind, name, path):
        span = Span(kind, name, path, self._phase, self._top)
        self.spans.append(span)
        self._top = span
        span.start = self._clock()
        return span

    def _close(self, span, now=None):
        span.end = self._clock() if now is None else now
        self._top = span.parent

    @contextmanager
    def section(self, name):
        """A `with` block inside the profile whose time, without its ops, gets its own row.

        Raises RuntimeError outside the profile's block.
        """
        if self._top is None:
            raise RuntimeError(f"[profile] section {name!r} begins outside the profile's block")
        span = self._open("section", str(name), "")
        try:
            yield self
        finally:
            self._close(span)

    def call(self, op, args, attributes, with_extra):
        """A call of an op, for engine/call.py."""
        changed, around = mode.changed, self._top
        run = op.with_extra if with_extra else op.function
        path = around.path
        since = next_serial() if "vmap" in changed or "autocast" in changed else None
        del changed["profile"]
        start = self._clock()
        try:
            out = run(*args, **attributes)
        finally:
            changed["profile"] = self
        end = self._clock()
        if self._in_rule:
            return out
        phase = self._phase
        if phase == "backward" and mode.recomputing:
            phase = "recompute"
        span = Span("op", op.name, path, phase, around)
        span.start, span.end = start, end
        self.spans.append(span)
        self._describe(span, op, args, attributes, out[0] if with_extra else out, since)
        return out

    def _describe(self, span, op, args, attributes, out, since):
        """Note the sizes of a call: what it allocated, its FLOPs and those of its gradient.

        `since`: inside vmap and autocast, the serial number from which on nodes are of this call.
        """
        if len(args) != op.count:
            args, attributes = op.bind(args, attributes)
        outs = out if op.several else (out,)
        first = outs[0] if outs else None
        nodes = _nodes_of(outs, op) if since is None else _nodes_since(outs, since)
        needs = ()
        for node in nodes:
            if node.plan.op is not op:  # what vmap or autocast has put around it
                node.span = Span("op", node.plan.op.name, span.path, span.phase, span.parent)
                continue
            node.span, needs = span, node.plan.needs
            if op.saves and node is nodes[0]:
                kept = zip(node.plan.saves, node.saved, strict=True)
                span.bytes += sum(_bytes(x) for (kind, _), x in kept if kind == EXTRA)
        if not op.view:
            span.bytes += sum(map(_bytes, outs))
        shapes = tuple([getattr(x, "shape", ()) for x in args])
        span.shapes, span.out = shapes, getattr(first, "shape", ())
        if type(first) is Tensor and type(first._array) is not np.ndarray:
            self.device = first.device
        call = Call(shapes, span.out, {**op.attributes, **attributes})
        examples = 1 if since is None else _examples(args)
        forward, backward = flops_of(op, call, needs)
        span.flops = None if forward is None else forward * examples
        span.backward_flops = None if backward is None else backward * examples

    def walk(self, walk, gradients, seeds, options):
        """A backward walk, for engine/walk.py: `gradients` runs the rules of a node."""
        if self._in_rule:
            return walk(seeds, *options, gradients)
        recorded = options[1]  # create_graph: then the rules call ops on Tensors, which are counted
        phase, self._phase = self._phase, "backward"
        whole = self._open("walk", "", self._top.path)
        span: Any = whole

        def rules(node, plan, saved, g, *rest):
            nonlocal span
            if type(plan) is not OutputPlan:
                now = self._clock()
                if span is not whole:
                    self._close(span, now)
                call = getattr(node, "span", None)
                flops = None if call is None else call.backward_flops
                if call is not None and call.block is not whole.block:
                    call = None  # an earlier profile's, whose modules are not in this one
                span = self._open("node", plan.op.name, "" if call is None else call.path)
                span.of, span.start = call, now
                span.flops = 0 if recorded else flops
                span.out = node.shape
            before, self._in_rule = self._in_rule, not recorded
            try:
                plan, gs = gradients(node, plan, saved, g, *rest)
            finally:
                self._in_rule = before
            if gs is not None and not recorded:
                values = gs.values() if isinstance(gs, dict) else gs
                span.bytes += sum(_bytes(x) for x in values if not _is_view(x, g))
            return plan, gs

        try:
            return walk(seeds, *options, rules)
        finally:
            now = self._clock()
            while self._top is not whole.parent:
                self._close(self._top, now)
            self._phase = phase

    @contextmanager
    def part(self, name, of):
        """A backward pass or an optimizer's step, for engine/modes.py."""
        phase, self._phase = self._phase, name
        label = type(of).__name__ if name == "optimizer" else ""
        span = self._open(name, label, self._top.path)
        try:
            yield
        finally:
            self._close(span)
            self._phase = phase
        if name == "optimizer":
            span.flops = _flops_of_step(of)

    def module(self, module, args, kwargs, run):
        """A call of a Module, for its hooks."""
        path = self._path(module)
        span = self._open("module", type(module).__name__, path)
        if self._phase == "backward":
            span.phase = "recompute" if mode.recomputing else "backward"
        try:
            return run(module, args, kwargs)
        finally:
            self._close(span)

    def _path(self, module):
        """The path of a module below the outermost one, which is called by its class."""
        known = self._names.get(id(module))
        if known is not None and known[0] is module:
            return known[1]
        root = type(module).__name__
        if self._top.kind == "module":  # made in a forward
            root = f"{self._top.path}.{root}()"  # no attribute is called so
        elif root in self._roots:
            root = f"{root}#{1 + sum(r.partition('#')[0] == root for r in self._roots)}"
        self._roots.append(root)
        for path, below in module.named_modules():
            self._names.setdefault(id(below), (below, f"{root}.{path}" if path else root))
        return self._names[id(module)][1]

    # To read

    @property
    def _ended(self):
        """The spans, once they have all ended."""
        if self._top is not None:
            raise RuntimeError("[profile] it is still running: read it after its block")
        return self.spans

    @property
    def seconds(self):
        """The time of the whole block."""
        return self._ended[0].seconds if self.spans else 0.0

    @property
    def peak(self):
        """The FLOPs per second of the machine, as given or measured; None for the emulator."""
        return self._peak or peak(self.device)

    @property
    def rows(self):
        """A Row for each phase and op, the longest first; their seconds sum to `seconds`."""
        return tables.rows_of(self._ended)

    @property
    def modules(self):
        """{path: a ModuleRow} of the modules that were called, with all that is in them."""
        return tables.modules_of(self._ended)

    @property
    def flops(self):
        """The FLOPs of all rows that have a count."""
        return sum(row.flops or 0 for row in self.rows)

    def __str__(self):
        return tables.text(self)

    def save(self, path):
        """Write a Chrome trace (`.json`, for Perfetto) or a flame chart (`.html` or `.svg`).

        Raises ValueError for any other ending.
        """
        writers = {".json": trace.text, ".html": flame.html, ".svg": flame.svg}
        name = str(path)
        for ending, writer in writers.items():
            if name.lower().endswith(ending):
                text = writer(self)
                with open(path, "w", encoding="utf-8", errors="replace") as file:
                    file.write(text)
                return
        raise ValueError(f"[profile] cannot write {name!r}, expected .json, .html or .svg")


class _EveryModule:
    """Sees every call of a Module while a profile runs in any thread."""

    lock = threading.Lock()
    profiles = 0

    @classmethod
    def enter(cls):
        with cls.lock:
            cls.profiles += 1
            Hooked._hooks = cls

    @classmethod
    def leave(cls):
        with cls.lock:
            cls.profiles -= 1
            if not cls.profiles:
                Hooked._hooks = None

    @staticmethod
    def call(module, args, kwargs, run=None):
        profile = mode.profile
        if run is None:
            run = _forward
        return (
            run(module, args, kwargs)
            if profile is None
            else profile.module(module, args, kwargs, run)
        )


def _forward(module, args, kwargs):
    return module.forward(*args, **kwargs)


def _bytes(x):
    """The bytes of an array, which is taken for a new one; 0 for anything else."""
    array = x._array if type(x) is Tensor else x
    while type(array) is Batched:
        array = array.inner._array
    return getattr(array, "nbytes", 0)


def _nodes_of(outs, op):
    """The node of a call, in a tuple, by its outputs; empty if it was not recorded."""
    for t in outs:
        if type(t) is Tensor and t.node is not None:
            return (t.node.parents[0] if op.several else t.node,)
    return ()


def _nodes_since(outs, since):
    """The nodes that a call has made; inside vmap those of one example, and of all of them."""
    found = []
    for t in outs:
        while type(t) is Tensor:
            if t.node is not None:
                found.append(t.node)
            t = t._array.inner if type(t._array) is Batched else None
    found = [node for node in dict.fromkeys(found) if node.serial > since]
    seen = set(found)
    for node in found:  # grows while it is walked
        for parent in node.parents:
            if parent is not None and parent.serial > since and parent not in seen:
                seen.add(parent)
                found.append(parent)
    return [node for node in found if node.plan is not None and type(node.plan) is not OutputPlan]


def _is_view(x, g):
    """Whether a gradient that a rule returned is the one that it got, or lies in its memory."""
    if x is None or x is g:
        return True
    be = None if getattr(x, "base", None) is None else backend.BY_TYPE.get(type(x))
    return be is not None and type(g) is type(x) and be.shares_memory(x, g)


def _examples(args):
    """How many examples a call inside vmap stands for."""
    levels = {}
    for x in args:
        array = x._array if type(x) is Tensor else x
        while type(array) is Batched:
            if array.mapped:
                levels[id(array.level)] = array.level.size
            array = array.inner._array
    found = 1
    for size in levels.values():
        found *= size
    return found


def _flops_of_step(optimizer):
    """The FLOPs of a step over the parameters with a gradient; None if there is no count."""
    each = OPTIMIZERS.get(getattr(optimizer, "kernel", ""))
    if each is None:
        return None
    groups = (group["params"] for group in optimizer.param_groups)
    grads = (p.grad for params in groups for p in params)
    rows = (g.values if type(g) is SparseRows else g for g in grads if g is not None)
    return each * sum(g.size for g in rows)

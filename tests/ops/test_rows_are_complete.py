"""No op, no gradient rule and no public function is without a row in the tables of cases."""

import inspect
import sys

import pytest
from case_runs import OURS, as_tensors, cotangents, floats, run
from cases import CASES
from op_calls import leaf

import tinygrad_like as tg
from tinygrad_like.engine import Tensor, gradients, wrap
from tinygrad_like.ops.samples import quantiles
from tinygrad_like.stats import numbers


def code_that_runs(calls):
    """(all code objects that run during `calls`, those whose first argument is a Tensor)."""
    seen, on_tensors = set(), set()

    def note(frame, event, _):
        if event == "call":
            code = frame.f_code
            seen.add(code)
            first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
            first = first[0] if isinstance(first, tuple) and first else first
            if isinstance(first, Tensor):
                on_tensors.add(code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        calls()
    finally:
        sys.setprofile(before)
    return seen, on_tensors


def run_all_rows():
    for case in CASES:
        if not case.grad:
            case(*as_tensors(case.arrays()))
            continue
        outs, grads = run(case, case.arrays())
        tensors = as_tensors(case.arrays())
        outs = floats(case(*tensors))
        seeds = as_tensors(cotangents(outs))
        grads = gradients(outs, floats(tensors), seeds, create_graph=True)
        gradients(grads, [*floats(tensors), *seeds], map(wrap, cotangents(grads)))


@pytest.fixture(scope="module")
def ran():
    return code_that_runs(run_all_rows)


def test_every_op_has_a_row(ran):
    missing = [name for name, op in OURS.items() if op.forward.__code__ not in ran[0]]
    assert not missing, f"no row in cases_*.py runs the ops {missing}"


# Ops with rules that only say that there is no gradient, the inputs that these are for, and why.
REFUSING = {
    "beta_cdf": ("ab", quantiles.beta_cdf, "shape parameters"),
    "beta_quantile": ("ab", quantiles.beta_quantile, "shape parameters"),
    "log_gamma_bend": (("a", "log_x"), quantiles._log_gamma_bend, "this is order 3"),
}

# Rules of the last order that there is: rows run them, but not to be differentiated further.
LAST = ("log_gamma_slope by a", "log_gamma_slope by log_x")


@pytest.mark.parametrize("name", REFUSING)
def test_a_rule_that_only_refuses_says_why(name):
    inputs, function, reason = REFUSING[name]
    xs = [leaf([0.5, 0.25]) for _ in OURS[name].inputs]
    for x in inputs:
        with pytest.raises(NotImplementedError, match=rf"^\[\w+\] .*{reason}"):
            gradients([function(*xs).sum()], [xs[OURS[name].inputs.index(x)]])


def test_every_gradient_rule_has_a_row_of_order_2(ran):
    """Each rule has run on raw arrays and, to be differentiated, on Tensors."""
    rules = [
        (f"{name} by {x}", rule.__code__)
        for name, op in OURS.items()
        for x, rule in op.rules.items()
        if x not in REFUSING.get(name, ((),))[0]
    ]
    rules += [
        (name, (op.composite or op.backward).__code__) for name, op in OURS.items() if op.backward
    ]
    missing = [what for what, code in rules if code not in ran[0]]
    assert not missing, f"no row in cases_*.py runs the gradient rules {missing}"
    missing = [what for what, code in rules if code not in ran[1] and what not in LAST]
    assert not missing, f"no row in cases_*.py runs on Tensors the gradient rules {missing}"


# Made from nothing, or random: they have tests of their own.
WITHOUT_INPUTS = ("tinygrad_like.ops.arrays.create", "tinygrad_like.ops.samples.random")
ANSWERS = ("iscomplexobj",)  # with a Python bool: it has a test of its own


def test_every_public_function_has_a_row(ran):
    public = {
        name: f
        for name, f in (vars(tg) | vars(tg.linalg) | vars(tg.signal)).items()
        if inspect.isfunction(f)
        and f.__module__.startswith("tinygrad_like.ops.")
        and (f.__module__ not in WITHOUT_INPUTS or name == "dropout")
        and name not in ANSWERS
    }
    assert len(public) > 100
    public |= {
        f"special.{name}": f for name, f in vars(tg.special).items() if inspect.isfunction(f)
    }
    densities = [m for m in vars(tg.stats).values() if inspect.ismodule(m) and m is not numbers]
    public |= {
        f"{room.__name__}.{name}": f
        for room in densities
        for name, f in vars(room).items()
        if getattr(f, "__module__", "") == room.__name__ and not name.startswith("_")
    }
    missing = [
        name
        for name, f in public.items()
        if (f.op.forward if hasattr(f, "op") else inspect.unwrap(f)).__code__ not in ran[0]
    ]
    assert not missing, f"no row in cases_*.py calls {missing}"

"""Each optimizer with all its options, for 50 steps: PyTorch's, or the published formula."""

import copy

import numpy as np
import pytest
from interruptions import frozen, interrupted_at_every_line
from needed import needs_emulator
from optimizer_runs import make_grads, make_params
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import optim
from tinygrad_like.engine import leaf

STEPS, SWITCH = 50, 20  # in all; after these the state is loaded into a new optimizer

ALL = {"lr": 0.03, "maximize": True}
MOMENTS = {**ALL, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
ROWS = [
    ("SGD", {**ALL, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {**ALL, "momentum": 0.9, "nesterov": True}),
    ("Adam", {**MOMENTS, "amsgrad": True}),
    ("AdamW", {**MOMENTS, "amsgrad": True}),
    ("RMSprop", {**ALL, "alpha": 0.9, "eps": 1e-6, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {**ALL, "alpha": 0.9, "momentum": 0.9, "centered": True}),
    ("Adagrad", {**ALL, "lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.03}),
    ("NAdam", {**MOMENTS, "momentum_decay": 0.01}),
    ("NAdam", {**MOMENTS, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.03}),
    ("RAdam", MOMENTS),
    ("RAdam", {**MOMENTS, "decoupled_weight_decay": True}),
    ("Adamax", MOMENTS),
    ("Adadelta", {**ALL, "rho": 0.8, "eps": 1e-5, "weight_decay": 0.1}),
    ("Rprop", {"lr": 0.03}),
    ("Rprop", {**ALL, "etas": (0.4, 1.5), "step_sizes": (0.01, 0.2)}),
]
# Optimizers that PyTorch has not.
PUBLISHED = [
    ("Lion", {**ALL, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    ("Adan", {**ALL, "betas": (0.9, 0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
]
names = [f"{i}-{name}" for i, (name, _) in enumerate([*ROWS, *PUBLISHED])]
every_row = pytest.mark.parametrize(("name", "settings"), ROWS, ids=names[: len(ROWS)])
published = pytest.mark.parametrize(("name", "settings"), PUBLISHED, ids=names[len(ROWS) :])
DTYPES = [(np.float64, 1e-9), pytest.param(np.float32, 2e-5, marks=pytest.mark.long)]
KERNELS = ["reference", pytest.param("ours", marks=pytest.mark.long)]  # which have to be compiled


@pytest.fixture(params=KERNELS, autouse=True)
def kernels(request):
    with tg.use_kernels(request.param):
        yield


def groups(a, b, c, settings):
    """Two groups, the second of which has a rate of its own."""
    return [{"params": [a, b]}, {"params": [c], "lr": 3 * settings["lr"]}]


def make(name, settings, dtype):
    params = make_params(dtype)
    return getattr(optim, name)(groups(*params, settings), **settings), params


def walked(name, settings, dtype):
    """The parameters after each step; at a step in the middle a new optimizer takes over."""
    optimizer, params = make(name, settings, dtype)
    for step in range(STEPS):
        if step == SWITCH:
            state = optimizer.state_dict()
            optimizer = getattr(optim, name)(groups(*params, settings), lr=7.0)
            optimizer.load_state_dict(state)
            assert frozen(optimizer.state_dict()) == frozen(state)
        for p, grad in zip(params, make_grads(step, params), strict=True):
            p.grad = None if grad is None else tg.Tensor(grad)
        optimizer.step()
        yield [p.numpy().copy() for p in params]


def compare(ours, theirs, tolerance):
    for step, (found, expected) in enumerate(zip(ours, theirs, strict=True)):
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance, err_msg=f"step {step}")


def torchs(name, settings, dtype):
    params = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in make_params(dtype)]
    optimizer = getattr(torch.optim, name)(groups(*params, settings), **settings)
    for step in range(STEPS):
        for p, grad in zip(params, make_grads(step, make_params(dtype)), strict=True):
            p.grad = None if grad is None else torch.tensor(grad)
        optimizer.step()
        yield [p.detach().numpy().copy() for p in params]


@pytest.fixture
def double():
    """PyTorch keeps NAdam's product of momenta in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@needs_torch
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@every_row
def test_steps_are_torchs(name, settings, dtype, tolerance):
    compare(walked(name, settings, dtype), torchs(name, settings, dtype), tolerance)


# Published formulas, one parameter at a time, in NumPy: optax, which has them, is not needed.


def lion(p, g, state, lr, betas, weight_decay, t):
    """Chen et al. 2023, program 1."""
    m = state.setdefault("m", np.zeros_like(p))
    update = np.sign(betas[0] * m + (1 - betas[0]) * g)
    state["m"] = betas[1] * m + (1 - betas[1]) * g
    return p - lr * (update + weight_decay * p)


def adan(p, g, state, lr, betas, weight_decay, t, eps):
    """Xie et al. 2022, algorithm 1, with the corrections of bias in its authors' program."""
    zero = np.zeros_like(p)
    m, v, n = (state.get(name, zero) for name in "mvn")
    change = g - state.get("g", g)
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * change
    n = betas[2] * n + (1 - betas[2]) * (g + betas[1] * change) ** 2
    state.update(m=m, v=v, n=n, g=g)
    m, v, n = (x / (1 - beta**t) for x, beta in zip((m, v, n), betas, strict=True))
    return (p - lr * (m + betas[1] * v) / (np.sqrt(n) + eps)) / (1 + lr * weight_decay)


def by_formula(name, settings, dtype):
    settings = dict(settings)
    sign = -1 if settings.pop("maximize") else 1
    rule, lr = {"Lion": lion, "Adan": adan}[name], settings.pop("lr")
    params = [p.numpy().astype(np.float64) for p in make_params(dtype)]
    states, counts = [{} for _ in params], [0] * len(params)
    for step in range(STEPS):
        for i, grad in enumerate(make_grads(step, make_params(dtype))):
            if grad is not None:
                counts[i] += 1
                own = dict(lr=3 * lr if i == 2 else lr, t=counts[i], **settings)
                params[i] = rule(params[i], sign * grad.astype(np.float64), states[i], **own)
        yield [p.copy() for p in params]


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@published
def test_steps_are_those_of_the_published_formula(name, settings, dtype, tolerance):
    compare(walked(name, settings, dtype), by_formula(name, settings, dtype), tolerance)


# A state that is continued


@pytest.mark.parametrize(("name", "settings"), [*ROWS, *PUBLISHED], ids=names)
def test_a_saved_state_continues_byte_by_byte(name, settings):
    whole, params = make(name, settings, np.float32)
    for step, resumed in enumerate(walked(name, settings, np.float32)):
        for p, grad in zip(params, make_grads(step, params), strict=True):
            p.grad = None if grad is None else tg.Tensor(grad)
        whole.step()
        assert [p.numpy().tobytes() for p in params] == [p.tobytes() for p in resumed]


def test_a_state_that_is_older_than_a_setting_has_it_switched_off():
    optimizer, _ = make("SGD", {"lr": 0.1, "momentum": 0.9}, np.float64)
    state = optimizer.state_dict()
    for group in state["groups"]:
        del group["settings"]["dampening"], group["settings"]["maximize"]
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["dampening"] == 0
    optimizer.param_groups[0]["maximize"] = True
    with pytest.raises(ValueError, match=r"it has settings .*, expected .*'maximize'"):
        optimizer.load_state_dict(state)


# Other dtypes, copies, devices, extremes

one_each = pytest.mark.parametrize(
    ("name", "settings"), {row[0]: row for row in [*ROWS, *PUBLISHED]}.values()
)


def few_steps(name, settings, dtype=np.float64, device="cpu"):
    params = [tg.Tensor(p.numpy(), requires_grad=True, device=device) for p in make_params(dtype)]
    optimizer = getattr(optim, name)(params, **settings)
    for step in range(4):
        for p, grad in zip(params, make_grads(step, params), strict=True):
            p.grad = None if grad is None else tg.Tensor(grad, device=device)
        optimizer.step()
    return optimizer, params


@one_each
def test_float16_parameters_have_state_in_float32(name, settings):
    optimizer, params = few_steps(name, settings, np.float16)
    exact = few_steps(name, settings)[1]
    for p, q in zip(params, exact, strict=True):
        assert p.dtype == np.float16
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=0.01, atol=0.01)
    buffers = [s["buffers"] for s in optimizer.state_dict()["groups"][0]["params"]]
    assert {b.dtype for own in buffers for b in own.values()} == {np.dtype(np.float32)}


@one_each
def test_a_copy_with_its_parameters_goes_on_as_the_original(name, settings):
    optimizer, params = few_steps(name, settings)
    copied, others = copy.deepcopy((optimizer, params))
    for own, ps in ((optimizer, params), (copied, others)):
        for p in ps:
            p.grad = tg.Tensor(np.full(p.shape, 0.5))
        own.step()
    assert [p.numpy().tobytes() for p in params] == [p.numpy().tobytes() for p in others]
    assert frozen(copied.state_dict()) == frozen(optimizer.state_dict())


@pytest.mark.long
@one_each
def test_a_step_that_is_interrupted_is_made_or_not(name, settings):
    def start():
        optimizer, params = few_steps(name, settings)
        return optimizer.step, lambda: ([p.data for p in params], optimizer.state_dict())

    interrupted_at_every_line(start, within=("tinygrad_like/optim", "tinygrad_like/engine"))


@one_each
def test_nan_stays_in_its_element(name, settings):
    w = tg.ones(4, requires_grad=True)
    optimizer = getattr(optim, name)([w], **settings)
    for _ in range(3):
        w.grad = tg.Tensor(np.array([1, np.nan, 0, -1], np.float32))
        optimizer.step()
    assert np.isnan(w.numpy()).tolist() == [False, True, False, False]


def test_a_variance_that_rounds_below_zero_is_zero():
    """Of a constant gradient the variance goes to 0, which rounding may miss."""
    w = tg.zeros(100, requires_grad=True)
    optimizer = optim.RMSprop([w], lr=1e-9, alpha=0.5, centered=True)
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    for _ in range(60):
        w.grad = tg.Tensor(values)
        optimizer.step()
    assert np.isfinite(w.numpy()).all()


@needs_emulator
@one_each
def test_the_emulator_makes_the_same_steps(name, settings):
    with tg.use_kernels("ours"):
        found = few_steps(name, settings, np.float32, "cuda-emulator")[1]
    for p, q in zip(found, few_steps(name, settings, np.float32)[1], strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5, atol=1e-6)


W = tg.ones(2, requires_grad=True)
DAMPED = {"lr": 1, "momentum": 0.9, "dampening": 0.5}


@pytest.mark.parametrize(
    ("error", "words", "name", "settings"),
    [
        (ValueError, "nesterov needs dampening=0, got 0.5", "SGD", DAMPED | {"nesterov": True}),
        (ValueError, "maximize is 1, expected True or False", "Adam", {"maximize": 1}),
        (ValueError, "centered is 'no', expected True", "RMSprop", {"centered": "no"}),
        (ValueError, "lr_decay is -1", "Adagrad", {"lr_decay": -1}),
        (ValueError, "value is -1", "Adagrad", {"initial_accumulator_value": -1}),
        (ValueError, "momentum_decay is nan", "NAdam", {"momentum_decay": float("nan")}),
        (ValueError, "decoupled_weight_decay is 2", "RAdam", {"decoupled_weight_decay": 2}),
        (ValueError, "betas is 1, expected a number from 0 to less", "Adamax", {"betas": (1, 0.9)}),
        (ValueError, "rho is 1", "Adadelta", {"rho": 1}),
        (ValueError, "etas is .1.5, 0.5., expected one below 1", "Rprop", {"etas": (1.5, 0.5)}),
        (ValueError, "is .2.0, 1.0., expected the smaller", "Rprop", {"step_sizes": (2, 1)}),
        (ValueError, "betas is .0.9, 0.99., expected three", "Adan", {"betas": (0.9, 0.99)}),
        (ValueError, "betas is .0.9,., expected two numbers", "Lion", {"betas": (0.9,)}),
        (TypeError, "unexpected keyword argument 'fused'", "NAdam", {"fused": True}),
    ],
)  # fmt: skip
def test_mistakes_are_named(error, words, name, settings):
    with pytest.raises(error, match=words):
        getattr(optim, name)([W], **settings)


@one_each
def test_complex_and_integer_parameters_are_refused(name, settings):
    for array in (np.array([1j]), np.array([1])):
        with pytest.raises(TypeError, match="expected a real floating one"):
            getattr(optim, name)([leaf(array)], **settings)

"""Each optimizer with all its options, for 50 steps: PyTorch's, or the published formula."""

import numpy as np
import pytest
from interruptions import frozen
from optimizer_runs import make_grads, make_params
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import optim

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
DTYPES = [(np.float64, 1e-9), (np.float32, 2e-5)]
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

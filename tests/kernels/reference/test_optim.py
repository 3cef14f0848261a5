"""The reference optimizer steps: PyTorch's to rounding, in every dtype, and in place."""

import numpy as np
import pytest
from oracle import needs_torch, torch
from tinygrad_like.kernels import reference as k

STEPS = 5
LR = 0.03


def sgd(param, grad, state, step, momentum=0.0, nesterov=False, weight_decay=0.0):
    velocity = state[0] if momentum else None
    k.sgd_(param, grad, velocity, LR, momentum, 0.0, nesterov, weight_decay)


def adam(param, grad, state, step, decoupled=False, weight_decay=0.0, amsgrad=False):
    largest = state[2] if amsgrad else None
    k.adam_(param, grad, *state[:2], largest, LR, 0.9, 0.99, 1e-8, weight_decay, decoupled, step)


def rmsprop(param, grad, state, step, momentum=0.0, weight_decay=0.0):
    velocity = state[1] if momentum else None
    k.rmsprop_(param, grad, state[0], velocity, None, LR, 0.95, 1e-8, momentum, weight_decay)


def adagrad(param, grad, state, step, weight_decay=0.0):
    k.adagrad_(param, grad, state[0], LR, 1e-10, weight_decay)


ADAM = {"betas": (0.9, 0.99), "eps": 1e-8}
ROWS = [  # our step, its options, torch's optimizer, the options that only torch's needs
    (sgd, {}, "SGD", {}),
    (sgd, {"momentum": 0.9, "weight_decay": 0.1}, "SGD", {}),
    (sgd, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, "SGD", {}),
    (adam, {}, "Adam", ADAM),
    (adam, {"weight_decay": 0.1}, "Adam", ADAM),
    (adam, {"weight_decay": 0.1, "decoupled": True}, "AdamW", ADAM),
    (adam, {"amsgrad": True}, "Adam", ADAM),
    (adam, {"weight_decay": 0.1, "decoupled": True, "amsgrad": True}, "AdamW", ADAM),
    (rmsprop, {"weight_decay": 0.1}, "RMSprop", {"alpha": 0.95}),
    (rmsprop, {"momentum": 0.9}, "RMSprop", {"alpha": 0.95}),
    (adagrad, {"weight_decay": 0.1}, "Adagrad", {}),
]
every_row = pytest.mark.parametrize(
    ("step_", "options", "torch_name", "torch_options"),
    ROWS,
    ids=[f"{row[2]}-{'-'.join(row[1])}" for row in ROWS],
)


def start(dtype):
    """(param, gradients of all steps, three states); the first gradient of all is 0."""
    rng = np.random.default_rng(0)
    param = rng.standard_normal((4, 5)).astype(dtype)
    grads = rng.standard_normal((STEPS, 4, 5)).astype(dtype)
    grads[:, 0, 0] = 0
    state_dtype = np.float32 if dtype == np.float16 else dtype
    return param, grads, [np.zeros((4, 5), state_dtype) for _ in range(3)]


def run(step_, options, dtype):
    param, grads, state = start(dtype)
    kept = grads.copy()
    for step, grad in enumerate(grads, start=1):
        step_(param, grad, state, step, **options)
    np.testing.assert_array_equal(grads, kept)
    return param


@needs_torch
@every_row
def test_steps_are_torchs(step_, options, torch_name, torch_options):
    param, grads, _ = start(np.float64)
    theirs = torch.tensor(param, requires_grad=True)
    options_there = {name: value for name, value in options.items() if name != "decoupled"}
    optimizer = getattr(torch.optim, torch_name)([theirs], LR, **options_there, **torch_options)
    for grad in grads:
        theirs.grad = torch.tensor(grad)
        optimizer.step()
    ours = run(step_, options, np.float64)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@every_row
def test_lower_precision_follows_double(step_, options, torch_name, torch_options, dtype):
    ours, exact = run(step_, options, dtype), run(step_, options, np.float64)
    assert ours.dtype == dtype
    tolerance = 8 * np.finfo(dtype).eps
    # A gradient near 0 has a relative rounding error that Adam's division does not shrink.
    np.testing.assert_allclose(ours, exact, rtol=tolerance, atol=tolerance)


@every_row
def test_a_parameter_without_elements_is_left_alone(step_, options, torch_name, torch_options):
    empty = np.empty((0, 3), np.float32)
    step_(empty, empty.copy(), [empty.copy() for _ in range(3)], 1, **options)
    assert (empty.shape, empty.dtype) == ((0, 3), np.float32)


def test_adams_first_step_is_lr_times_the_sign():
    param, grad = np.zeros(3), np.array([5.0, -1e-3, 0.0])
    m, v = np.zeros(3), np.zeros(3)
    k.adam_(param, grad, m, v, None, 0.1, 0.9, 0.999, 1e-12, 0.0, False, 1)
    np.testing.assert_allclose(param, [-0.1, 0.1, 0.0], rtol=1e-8)
    np.testing.assert_allclose(m, 0.1 * grad)
    np.testing.assert_allclose(v, 0.001 * grad**2)


def test_float16_parameters_learn_from_gradients_whose_square_vanishes():
    param, grad = np.zeros(1, np.float16), np.full(1, 1e-4, np.float16)
    m, v = np.zeros(1, np.float32), np.zeros(1, np.float32)
    k.adam_(param, grad, m, v, None, 0.5, 0.9, 0.999, 1e-8, 0.0, True, 1)
    np.testing.assert_allclose(param, [-0.5], rtol=1e-3)

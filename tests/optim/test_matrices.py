"""Muon and Adafactor: PyTorch's steps with all options, states, and what they refuse."""

import numpy as np
import pytest
from interruptions import frozen, interrupted_at_every_line
from needed import needs_emulator
from optimizer_runs import check_same, step_torch
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import io, optim

STEPS, SWITCH = 50, 20
MATRICES = [(4, 3), (2, 5), (1, 1)]
ANY = [(4, 3), (2, 3, 4), (5,), (), (6, 1)]
ROWS = [
    ("Muon", MATRICES, {"lr": 0.03}),
    ("Muon", MATRICES, {"lr": 0.03, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
    (
        "Muon",
        MATRICES,
        {
            **{"lr": 0.03, "momentum": 0.7, "weight_decay": 0.3, "eps": 10.0, "ns_steps": 3},
            **{"ns_coefficients": (2.0, -1.5, 0.5), "adjust_lr_fn": "original"},
        },
    ),
    ("Adafactor", ANY, {}),
    (
        "Adafactor",
        ANY,
        {
            **{"lr": 0.1, "beta2_decay": -0.5, "eps": (0.5, 0.1), "d": 1.5},
            **{"weight_decay": 0.1, "maximize": True},
        },
    ),
]
every_row = pytest.mark.parametrize(
    ("name", "shapes", "settings"), ROWS, ids=[f"{i}-{row[0]}" for i, row in enumerate(ROWS)]
)


def values(shapes, dtype, seed):
    rng = np.random.default_rng(seed)
    return [np.array(rng.normal(size=shape), dtype) for shape in shapes]


def make(name, shapes, settings, dtype=np.float32, device="cpu"):
    """Two groups, the second of which decays at another rate."""
    params = [tg.Tensor(x, requires_grad=True, device=device) for x in values(shapes, dtype, 0)]
    groups = [{"params": params[:1]}, {"params": params[1:], "weight_decay": 0.05}]
    return getattr(optim, name)(groups, **settings), params


def step(optimizer, params, number):
    grads = values([p.shape for p in params], params[0].dtype, number + 1)
    for p, grad in zip(params, grads, strict=True):
        p.grad = tg.Tensor(grad, device=p.device)
    optimizer.step()


@needs_torch
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(np.float64, 1e-9), pytest.param(np.float32, 2e-4, marks=pytest.mark.long)],
)
@every_row
def test_steps_are_torchs(name, shapes, settings, dtype, tolerance, monkeypatch):
    """But for bfloat16, to which PyTorch rounds what Muon makes orthogonal."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    ours, params = make(name, shapes, settings, dtype)
    copies = [torch.tensor(x, requires_grad=True) for x in values(shapes, dtype, 0)]
    groups = [{"params": copies[:1]}, {"params": copies[1:], "weight_decay": 0.05}]
    theirs = getattr(torch.optim, name)(groups, **settings)
    for number in range(STEPS):
        step(ours, params, number)
        step_torch(theirs, copies, values(shapes, dtype, number + 1))
        check_same(params, copies, tolerance, tolerance)


@needs_torch
def test_muon_is_torchs_to_bfloat16():
    w = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    ours, theirs = tg.Tensor(w, requires_grad=True), torch.tensor(w, requires_grad=True)
    ours.grad, theirs.grad = tg.Tensor(w[::-1].copy()), torch.tensor(w[::-1].copy())
    optim.Muon([ours], lr=1.0).step()
    torch.optim.Muon([theirs], lr=1.0).step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), atol=0.03)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@every_row
def test_a_saved_state_continues_byte_by_byte(name, shapes, settings, dtype, tmp_path):
    whole, expected = make(name, shapes, settings, dtype)
    first, params = make(name, shapes, settings, dtype)
    for number in range(6):
        step(whole, expected, number)
        if number == 3:
            io.save(tmp_path / "state", first.state_dict())
            first = make(name, shapes, {"lr": 7.0})[0]
            for group, own in zip(first.param_groups, (params[:1], params[1:]), strict=True):
                group["params"] = own
            first.load_state_dict(io.load(tmp_path / "state"))
        step(first, params, number)
    assert [p.numpy().tobytes() for p in params] == [p.numpy().tobytes() for p in expected]
    assert {p.dtype for p in params} == {np.dtype(dtype)}
    assert frozen(first.state_dict()) == frozen(whole.state_dict())


@needs_emulator
@every_row
def test_other_devices_make_the_same_steps(name, shapes, settings):
    found = []
    for device in ("cpu", "cuda-emulator"):
        optimizer, params = make(name, shapes, settings, device=device)
        for number in range(3):
            step(optimizer, params, number)
        found.append([p.numpy() for p in params])
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_a_step_that_is_interrupted_is_made_or_not():
    def start():
        optimizer, params = make("Adafactor", ANY[:3], {})
        step(optimizer, params, 0)

        def look():
            return [p.data for p in params], optimizer.state_dict()

        return optimizer.step, look

    interrupted_at_every_line(start)


def test_muon_makes_singular_values_nearly_equal():
    w = tg.Tensor(np.zeros((8, 5)), requires_grad=True)
    w.grad = tg.Tensor(np.random.default_rng(0).normal(size=(8, 5)) * [1, 1, 1, 1, 1e-2])
    optim.Muon([w], lr=1.0, weight_decay=0, adjust_lr_fn="match_rms_adamw").step()
    found = np.linalg.svd(w.numpy() / (0.2 * 8**0.5), compute_uv=False)
    assert 0.4 < found.min() < found.max() < 1.3


def test_a_parameter_without_elements_and_one_of_zeros():
    for shape in ((0, 3), (2, 0, 3), (0,)):
        w = tg.Tensor(np.zeros(shape), requires_grad=True)
        w.grad = tg.Tensor(np.zeros(shape))
        optim.Adafactor([w]).step()
        assert w.shape == shape
    w = tg.zeros((2, 3), requires_grad=True)
    w.grad = tg.zeros((2, 3))
    for optimizer in (optim.Muon([w]), optim.Adafactor([w])):
        optimizer.step()
        assert not w.numpy().any()


W = tg.ones((2, 3), requires_grad=True)


@pytest.mark.parametrize(
    ("error", "words", "name", "settings"),
    [
        (ValueError, "adjust_lr_fn is 'rms', expected", "Muon", {"adjust_lr_fn": "rms"}),
        (ValueError, "ns_steps is 100, expected an integer from", "Muon", {"ns_steps": 100}),
        (ValueError, "ns_coefficients is 3, expected three", "Muon", {"ns_coefficients": 3}),
        (TypeError, "unexpected keyword argument 'foreach'", "Muon", {"foreach": True}),
        (ValueError, "eps is 1e-08, expected None or a number", "Adafactor", {"eps": 1e-8}),
        (ValueError, "beta2_decay is 0.8", "Adafactor", {"beta2_decay": 0.8}),
        (ValueError, "d is 0.5", "Adafactor", {"d": 0.5}),
    ],
)
def test_mistakes_are_named(error, words, name, settings):
    with pytest.raises(error, match=words):
        getattr(optim, name)([W], **settings)


def test_muon_is_for_matrices():
    b = tg.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match=r"\[Muon\] params\[1\] has shape \(3,\), expected a matr"):
        optim.Muon([W, b])
    optimizer = optim.Muon([tg.ones((2, 2), requires_grad=True)])
    optimizer.param_groups[0]["params"].append(b)
    b.grad = tg.ones(3)
    with pytest.raises(ValueError, match=r"a parameter has shape \(3,\)"):
        optimizer.step()

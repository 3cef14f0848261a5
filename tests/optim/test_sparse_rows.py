"""Gradients of few rows: what they are after each way to a gradient, and the steps they make."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from needed import needs_emulator
from oracle import F, needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import nn, optim

V, D = 50, 4
IDS = np.array([[3, 1, 3], [7, 0, 3]])
TOUCHED = [0, 1, 3, 7]
FACTORS = np.random.default_rng(0).normal(size=(*IDS.shape, D))
TAKE_ROWS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3}),
    ("SparseAdam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}),
    ("SparseAdam", {"maximize": True}),
]


def table(dtype=np.float64, rows=V):
    return tg.Tensor(
        np.random.default_rng(1).normal(size=(rows, D)).astype(dtype), requires_grad=True
    )


def loss_of(weight, ids=IDS, sparse=True):
    """A scalar whose gradient has FACTORS times the rows in it."""
    y = tg.embedding(weight, ids, sparse=sparse)
    return (y * y * tg.Tensor(FACTORS, dtype=y.dtype, device=y.device)).sum()


def gradient(weight, sparse=True):
    """The gradient of `loss_of` that backward leaves, alone."""
    weight.grad = None
    loss_of(weight, sparse=sparse).backward()
    return weight.grad


def assert_same(rows, dense, rtol=1e-12):
    np.testing.assert_allclose(rows.numpy(), dense.numpy(), rtol, rtol)


@pytest.fixture(params=["cpu", pytest.param("cuda-emulator", marks=needs_emulator)])
def device(request):
    return request.param


# What the gradient is


def test_backward_leaves_the_rows_that_were_read(device):
    weight = table().detach().to(device).requires_grad_()
    rows = gradient(weight)
    assert type(rows) is tg.SparseRows
    assert rows.device == device
    assert rows.shape == (V, D)
    assert rows.indices.tolist() == IDS.ravel().tolist()
    once = rows.coalesce()
    assert once.indices.tolist() == TOUCHED
    assert once.coalesce() is once
    assert repr(once) == f"SparseRows(4 rows of ({V}, {D}), float64)"
    assert_same(rows.to_dense(), gradient(weight, sparse=False))
    assert_same(once, rows)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_sums_of_other_dtypes_are_those_of_a_dense_gradient(dtype):
    weight = table(dtype)
    rows = gradient(weight)
    assert rows.dtype == rows.coalesce().dtype == dtype
    assert_same(rows, gradient(weight, sparse=False), 2 * np.finfo(dtype).eps)


def test_several_backward_passes_add_up_in_any_order():
    weight = table()
    dense, sparse = gradient(weight, sparse=False), gradient(weight)
    assert type(sparse) is tg.SparseRows
    for flags in ([True] * 3, [False, True], [True, False], [True, False, True]):
        weight.grad = None
        for flag in flags:
            loss_of(weight, sparse=flag).backward()
        assert type(weight.grad) is (tg.SparseRows if all(flags) else tg.Tensor)
        assert_same(weight.grad, dense * len(flags))
        assert_same(sparse, dense)  # what was added up has not changed


def test_several_uses_in_one_graph_add_up_in_any_order():
    weight = table()
    dense = gradient(weight, sparse=False)
    uses = [lambda: loss_of(weight), lambda: loss_of(weight, sparse=False)]
    for order in ([0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0, 1], [0, 0, 1]):
        weight.grad = None
        sum((uses[i]() for i in order[1:]), start=uses[order[0]]()).backward()
        assert type(weight.grad) is (tg.Tensor if 1 in order else tg.SparseRows)
        assert_same(weight.grad, dense * len(order))


def test_gradients_of_many_passes_stay_within_the_table():
    weight, dense = table(rows=8), table(rows=8)
    for _ in range(20):
        loss_of(weight).backward()
        loss_of(dense, sparse=False).backward()
        assert len(weight.grad.indices) <= 8 + IDS.size
    assert_same(weight.grad, dense.grad)


def test_the_gradient_is_a_copy():
    weight, ids = table(), tg.Tensor(IDS)
    y = tg.embedding(weight, ids, sparse=True)
    y.retain_grad()
    y.sum().backward()
    expected = weight.grad.numpy()
    y.grad.data[...] = 7
    ids.data[...] = 9
    weight.grad.values.data[...] = 5
    weight.grad.indices.data[...] = 5
    np.testing.assert_array_equal(weight.grad.numpy(), expected)


def test_functions_higher_orders_vmap_and_computed_tables_are_dense():
    weight = table()
    expected = gradient(weight, sparse=False)
    found = tg.grad(loss_of)(weight)
    assert type(found) is tg.Tensor
    assert_same(found, expected)
    tg.gradcheck(loss_of, weight, order=2)
    weight.grad = None
    loss_of(weight).backward(create_graph=True)
    assert type(weight.grad) is tg.Tensor
    assert weight.grad.node is not None
    each = tg.vmap(tg.grad(loss_of), in_axes=(None, 0))(weight, np.stack([IDS, IDS + 1]))
    assert_same(each[0], expected)
    weight.grad = None
    loss_of(weight * 1).backward()
    assert type(weight.grad) is tg.Tensor
    assert_same(weight.grad, expected)
    z = tg.Tensor(np.ones((V, D), np.complex128), requires_grad=True)
    tg.real(tg.embedding(z, IDS, sparse=True)).sum().backward()
    assert type(z.grad) is tg.Tensor


def test_rows_are_added_to_a_gradient_with_a_graph():
    weight = table()
    (weight * weight * weight).sum().backward(create_graph=True)
    loss_of(weight).backward()
    expected = 3 * weight.detach() ** 2 + gradient(table(), sparse=False)
    assert weight.grad.node is not None
    assert_same(weight.grad.detach(), expected)


def test_checkpoints_profiles_debug_mode_and_pictures_take_rows():
    weight = table()
    expected = gradient(weight)
    weight.grad = None
    tg.checkpoint(loss_of, weight).backward()
    assert_same(weight.grad, expected)
    optimizer = optim.SGD([weight], lr=0.1)
    with tg.profile() as profile, tg.debug():
        assert_same(gradient(weight), expected)
        optimizer.step()
    (step,) = (row for row in profile.rows if row.phase == "optimizer")
    assert step.flops == 5 * IDS.size * D
    assert "embedding" in str(profile)
    layer = nn.Embedding(9, 2, sparse=True)
    assert layer.graph(np.array([1, 2]), loss=lambda y: y.sum()) is not None


def test_hooks_see_rows_and_may_replace_them():
    weight = table()
    expected, seen = gradient(weight), []
    remove = weight.register_hook(seen.append)
    assert_same(gradient(weight), expected)
    assert type(seen[0]) is tg.SparseRows
    remove()
    remove = weight.register_hook(lambda rows: rows * 2)
    assert type(gradient(weight)) is tg.SparseRows
    assert_same(weight.grad, expected.to_dense() * 2)
    remove()
    weight.register_hook(lambda rows: rows.to_dense())
    assert type(gradient(weight)) is tg.Tensor


def test_copies_and_moves_keep_rows(device):
    layer = nn.Embedding(V, D, sparse=True)
    layer(IDS).sum().backward()
    expected = layer.weight.grad.numpy()
    for found in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(found.weight.grad) is tg.SparseRows
        np.testing.assert_array_equal(found.weight.grad.numpy(), expected)
    layer.to(device).to(np.float64)
    assert (layer.weight.grad.device, layer.weight.grad.dtype) == (device, np.float64)
    np.testing.assert_array_equal(layer.weight.grad.numpy(), expected)
    other = pickle.loads(pickle.dumps(layer.weight.grad))
    assert other.device == device


def test_arithmetic_of_rows():
    rows, dense = gradient(table()), gradient(table(), sparse=False)
    assert_same(-rows, -dense)
    for found, expected in (
        (rows * 3, dense * 3),
        (2 * rows / np.float64(4), dense / 2),
        (rows * tg.Tensor(0.5), dense / 2),
        (rows + rows, dense * 2),
    ):
        assert type(found) is tg.SparseRows
        assert found.dtype == np.float64
        assert_same(found, expected)
    assert_same(rows + dense, dense * 2)
    np.testing.assert_allclose(dense.numpy() + rows, 2 * dense.numpy())


def test_what_is_given_is_checked():
    weight = table()
    weight.grad = tg.SparseRows([1, 2], np.ones((2, D)), (V, D))
    assert weight.grad.numpy().sum() == 2 * D
    for make, error, text in (
        (lambda: tg.SparseRows([1.0], np.ones((1, D)), (V, D)), TypeError, "expected integers"),
        (lambda: tg.SparseRows([V], np.ones((1, D)), (V, D)), IndexError, "expected 0 to 49"),
        (lambda: tg.SparseRows([1], np.ones((2, D)), (V, D)), ValueError, r"\(n, 4\)"),
        (lambda: weight.grad * np.ones(D), TypeError, "by a number"),
        (lambda: weight.grad.sum(), AttributeError, r"call \.to_dense\(\)"),
        (lambda: np.asarray(weight.grad), TypeError, r"call \.numpy\(\)"),
        (lambda: nn.Embedding(3, 2, sparse=1), ValueError, "sparse"),
    ):
        with pytest.raises(error, match=text):
            make()
    with pytest.raises(ValueError, match="expected a Tensor of shape"):
        weight.grad = tg.SparseRows([1], np.ones((1, 3)), (V, 3))


def test_the_row_of_padding_does_not_move():
    layer = nn.Embedding(V, D, padding_idx=3, sparse=True)
    layer.weight.data[3] = 2
    optimizer = optim.SparseAdam(layer.parameters(), lr=0.1)
    (layer(IDS) ** 2).sum().backward()
    optimizer.step()
    assert (layer.weight.numpy()[3] == 2).all()
    assert not (layer.weight.grad.numpy()[3]).any()


# What is done with gradients before a step


@pytest.mark.parametrize("norm", [2, 1, np.inf])
def test_clipping_and_norms_are_those_of_the_dense_gradient(norm):
    model, other = nn.Embedding(V, D, sparse=True), nn.Embedding(V, D)
    other.load_state_dict(model.state_dict())
    for m in (model, other):
        (m(IDS) ** 2).sum().backward()
    np.testing.assert_allclose(
        optim.gradient_norms(model, norm)[""], optim.gradient_norms(other, norm)[""], 1e-6
    )
    found, expected = (optim.clip_grad_norm(m.parameters(), 0.5, norm) for m in (model, other))
    np.testing.assert_allclose(found, expected, 1e-6)
    assert_same(model.weight.grad, other.weight.grad, 1e-6)
    for m in (model, other):
        optim.clip_grad_value(m.parameters(), 0.01)
    assert type(model.weight.grad) is tg.SparseRows
    assert_same(model.weight.grad, other.weight.grad, 1e-6)


def test_a_scaler_unscales_rows_and_skips_what_is_not_finite():
    weight, plain = table(), table()
    scaler, optimizer = optim.GradScaler(2.0**10), optim.Adagrad([weight])
    scaler.scale(loss_of(weight)).backward()
    assert scaler.step(optimizer)
    loss_of(plain).backward()
    optim.Adagrad([plain]).step()
    np.testing.assert_allclose(weight.numpy(), plain.numpy(), 1e-12)
    weight.grad = tg.SparseRows([1], np.full((1, D), np.inf), (V, D))
    assert not scaler.step(optimizer)


# Steps


def walked(name, settings, steps=30):
    """Our table after each step; in the middle a new optimizer takes over the state."""
    rng, weight = np.random.default_rng(2), table()
    optimizer = getattr(optim, name)([weight], **settings)
    for step in range(steps):
        if step == steps // 2:
            state = optimizer.state_dict()
            optimizer = getattr(optim, name)([weight], lr=7.0)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        ids = rng.integers(0, V, IDS.shape)
        loss_of(weight, ids).backward()
        optimizer.step()
        yield weight.numpy().copy()


def torchs(name, settings, steps=30):
    rng = np.random.default_rng(2)
    weight = torch.tensor(table().numpy().copy(), requires_grad=True)
    optimizer = getattr(torch.optim, name)([weight], **settings)
    for _ in range(steps):
        optimizer.zero_grad()
        y = F.embedding(torch.tensor(rng.integers(0, V, IDS.shape)), weight, sparse=True)
        (y * y * torch.tensor(FACTORS)).sum().backward()
        optimizer.step()
        yield weight.detach().numpy().copy()


@needs_torch
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
@pytest.mark.parametrize("kernels", ["reference", pytest.param("ours", marks=pytest.mark.long)])
@pytest.mark.parametrize(("name", "settings"), TAKE_ROWS)
def test_steps_are_torchs(name, settings, kernels):
    with tg.use_kernels(kernels):
        for found, expected in zip(walked(name, settings), torchs(name, settings), strict=True):
            np.testing.assert_allclose(found, expected, 1e-12, 1e-12)


@pytest.mark.parametrize(("name", "settings"), TAKE_ROWS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_steps_are_those_of_the_same_rows_alone(name, settings, dtype, device):
    """A table of the rows that are read, and nothing else, makes the same steps, densely."""
    weight = tg.Tensor(table(dtype), device=device, requires_grad=True)
    few = tg.Tensor(table(dtype).numpy()[TOUCHED], device=device, requires_grad=True)
    optimizers = [getattr(optim, name)([w], **settings) for w in (weight, few)]
    before = weight.numpy().copy()
    for _ in range(3):
        gradient(weight)
        few.grad = None
        loss_of(few, np.searchsorted(TOUCHED, IDS), sparse=False).backward()
        for optimizer in optimizers:
            optimizer.step()
    rtol = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(weight.numpy()[TOUCHED], few.numpy(), rtol, rtol)
    others = np.setdiff1d(np.arange(V), TOUCHED)
    np.testing.assert_array_equal(weight.numpy()[others], before[others])


def test_a_table_in_any_layout_makes_its_step():
    weight, plain = table(), table()
    object.__setattr__(weight, "_array", np.asfortranarray(weight.data))
    for w in (weight, plain):
        loss_of(w).backward()
        optim.Adagrad([w]).step()
    np.testing.assert_array_equal(weight.numpy(), plain.numpy())


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}, r"\[SGD\] momentum is 0\.9, expected 0"),
        ("SGD", {"lr": 0.1, "weight_decay": 0.1}, r"\[SGD\] weight_decay is 0\.1"),
        ("Adagrad", {"weight_decay": 0.1}, r"\[Adagrad\] weight_decay is 0\.1"),
        ("Adam", {}, r"\[Adam\] .* SGD, Adagrad and SparseAdam take such gradients"),
        ("Muon", {}, r"\[Muon\] .* SGD, Adagrad and SparseAdam"),
        ("Rprop", {}, r"\[Rprop\] .* SGD, Adagrad and SparseAdam"),
    ],
)
def test_what_moves_rows_that_were_not_read_is_refused(name, settings, text):
    weight = table()
    before = weight.numpy().copy()
    optimizer = getattr(optim, name)([weight], **settings)
    gradient(weight)
    with pytest.raises(ValueError, match=text):
        optimizer.step()
    np.testing.assert_array_equal(weight.numpy(), before)
    gradient(weight, sparse=False)
    optimizer.step()


def test_lbfgs_refuses_rows():
    weight = table()
    optimizer = optim.LBFGS([weight])

    def closure():
        optimizer.zero_grad()
        loss = loss_of(weight)
        loss.backward()
        return loss

    with pytest.raises(ValueError, match=r"\[LBFGS\] .* SGD, Adagrad and SparseAdam"):
        optimizer.step(closure)


def test_lookahead_takes_rows():
    weight, plain = table(), table()
    for w, sparse in ((weight, True), (plain, False)):
        optimizer = optim.Lookahead(optim.SGD([w], lr=0.1), every=2)
        for _ in range(4):
            gradient(w, sparse)
            optimizer.step()
    np.testing.assert_allclose(weight.numpy(), plain.numpy(), 1e-12)


@pytest.mark.parametrize(("name", "settings"), TAKE_ROWS)
def test_a_step_takes_no_more_memory_for_a_table_of_a_hundred_times_the_rows(name, settings):
    """What a step computes it first allocates, so that bytes count what is touched."""
    peaks = []
    for rows in (10_000, 1_000_000):
        weight = tg.zeros((rows, D), requires_grad=True)
        optimizer = getattr(optim, name)([weight], **settings)
        for step in range(3):  # the first one compiles, and makes the state
            if step == 2:
                tracemalloc.start()
            gradient(weight)
            optimizer.step()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= 1.1 * peaks[0] < 100_000, peaks

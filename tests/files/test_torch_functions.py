"""as_torch and from_torch_function: functions of one library in the other, with gradients."""

import copy
import pickle

import numpy as np
import pytest
from needed import imported, needs_emulator

import tinygrad_like as tg
from tinygrad_like import Tensor, nn
from tinygrad_like.interchange import as_torch, from_torch_function

torch = imported("torch")
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(3, 2)), RNG.normal(size=(2, 4))


def ours(x, w):
    return {"y": tg.tanh(x @ w).sum(axis=0) * tg.exp(x).mean(), "z": (x[::-1], w[0].sum())}


def theirs(x, w):
    return {"y": torch.tanh(x @ w).sum(0) * torch.exp(x).mean(), "z": (x.flip(0), w[0].sum())}


def leaves(*arrays):
    return [torch.tensor(a, requires_grad=True) for a in arrays]


def flat(tree):
    return tree["y"], *tree["z"]


@pytest.mark.long
def test_a_function_of_ours_is_one_of_torchs_with_gradients_of_any_order():
    f = as_torch(ours)
    x, w = leaves(X, W)
    for a, b in zip(flat(f(x, w)), flat(theirs(x, w)), strict=True):
        torch.testing.assert_close(a, b)
    assert torch.autograd.gradcheck(lambda x, w: flat(f(x, w)), (x, w))
    assert torch.autograd.gradgradcheck(lambda x, w: flat(f(x, w)), (x, w))
    third = [
        torch.autograd.functional.hessian(lambda x, f=f: slope(f, x, w.detach()), x.detach())
        for f in (f, theirs)
    ]
    torch.testing.assert_close(*third)


def slope(f, x, w):
    (g,) = torch.autograd.grad((f(x, w)["y"] ** 2).sum(), x, create_graph=True)
    return (g**3).sum()


def test_a_function_of_torchs_is_one_of_ours_with_gradients_of_any_order():
    f = from_torch_function(theirs)
    for a, b in zip(flat(f(Tensor(X), Tensor(W))), flat(ours(Tensor(X), Tensor(W))), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
    tg.gradcheck(lambda x, w: flat(f(x, w)), X, W, order=2)
    hessians = [tg.hessian(lambda x, f=f: (f(x, Tensor(W))["y"] ** 2).sum())(X) for f in (f, ours)]
    np.testing.assert_allclose(*hessians, rtol=1e-10)


def test_there_and_back_again():
    f = as_torch(from_torch_function(lambda x, w: torch.sin(x @ w)))
    x, w = leaves(X, W)
    assert torch.autograd.gradcheck(f, (x, w))
    assert torch.autograd.gradgradcheck(f, (x, w))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # which PyTorch uses
def test_torchs_function_transforms_and_vmap():
    f = as_torch(lambda x: (tg.sin(x) * x).sum())
    x = torch.tensor(X)
    torch.testing.assert_close(torch.func.grad(f)(x), x.cos() * x + x.sin())
    hessian = torch.func.hessian(f)(x[0])
    torch.testing.assert_close(hessian, torch.diag(2 * x[0].cos() - x[0] * x[0].sin()))
    torch.testing.assert_close(torch.vmap(f)(x), (x.sin() * x).sum(1))
    slope = x.cos() * x + x.sin()
    torch.testing.assert_close(torch.vmap(torch.func.grad(f))(x), slope)
    torch.testing.assert_close(torch.func.jacrev(torch.vmap(f))(x).sum(0), slope)
    _, along = torch.func.jvp(f, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(along, slope.sum())
    (y,) = leaves(X)
    torch.vmap(f)(y).sum().backward()
    torch.testing.assert_close(y.grad, slope)
    torch.testing.assert_close(torch.func.vmap(torch.func.hessian(f))(x)[0], hessian)


def test_complex_numbers_have_the_same_gradients():
    z = RNG.normal(size=4) + 1j * RNG.normal(size=4)
    (t,) = leaves(z)
    as_torch(lambda z: (tg.abs(z * z + z) ** 2).sum())(t).backward()
    (u,) = leaves(z)
    ((u * u + u).abs() ** 2).sum().backward()
    torch.testing.assert_close(t.grad, u.grad)
    v = Tensor(z, requires_grad=True)
    from_torch_function(lambda z: ((z * z + z).abs() ** 2).sum())(v).backward()
    np.testing.assert_allclose(v.grad.numpy(), u.grad.numpy(), rtol=1e-12)
    assert as_torch(tg.real)(torch.tensor([1 + 2j]).conj()).tolist() == [1.0]


def test_arguments_of_every_kind():
    seen = []

    def f(tree, number, *, flag):
        seen.append((number, flag, tree["ids"].dtype))
        return tree["x"][tree["ids"]] * number, tree["ids"] + 1

    (x,) = leaves(X)
    y, ids = as_torch(f)({"x": x, "ids": torch.tensor([0, 2])}, 3.0, flag=True)
    y.sum().backward()
    assert x.grad.tolist() == [[3, 3], [0, 0], [3, 3]]
    assert (ids.dtype, ids.requires_grad, ids.tolist()) == (torch.int64, False, [1, 3])
    assert seen[0] == (3.0, True, np.int64)
    t = Tensor(X, requires_grad=True)
    y, ids = from_torch_function(f)({"x": t, "ids": Tensor([0, 2])}, 3.0, flag=False)
    y.sum().backward()
    assert t.grad.tolist() == [[3, 3], [0, 0], [3, 3]]
    assert (ids.dtype, ids.requires_grad) == (np.int64, False)


def test_results_of_every_kind():
    x, t = torch.ones(3, requires_grad=True), tg.ones(3, requires_grad=True)
    assert as_torch(tg.argmax)(x).item() == 0
    assert as_torch(lambda x: (3.0, None))(x) == (3.0, None)
    assert as_torch(lambda: tg.ones(2))().tolist() == [1, 1]
    values, places = from_torch_function(torch.sort)(t)  # a tuple of PyTorch's own
    assert (values.requires_grad, places.tolist()) == (True, [0, 1, 2])
    assert from_torch_function(torch.softmax)(t, dim=0).sum().item() == pytest.approx(1)
    assert from_torch_function(lambda x: x.add_(1))(t.detach()).tolist() == [2, 2, 2]
    y = as_torch(tg.exp)(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * np.full(3, np.e), rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_any_shape_and_dtype(shape, dtype):
    x = torch.ones(shape, dtype=getattr(torch, dtype), requires_grad=True)
    y = as_torch(lambda x: x * 2)(x)
    y.sum().backward()
    assert (y.dtype, y.shape, x.grad.dtype) == (x.dtype, x.shape, x.dtype)
    assert (x.grad == 2).all()
    t = tg.ones(shape, dtype=dtype, requires_grad=True)
    y = from_torch_function(lambda x: x * 2)(t)
    y.sum().backward()
    assert (y.dtype, y.shape, t.grad.dtype) == (t.dtype, t.shape, t.dtype)
    assert (t.grad.numpy() == 2).all()


def test_strided_and_broadcast_arguments():
    (x,) = leaves(X)
    f = as_torch(lambda x: (x * Tensor(np.arange(6.0).reshape(2, 3))).sum())
    f(x.T).backward()
    np.testing.assert_array_equal(x.grad, np.arange(6.0).reshape(2, 3).T)
    y = as_torch(lambda x: x[::-1].sum(axis=0))(torch.ones(1, requires_grad=True).expand(4))
    assert y.item() == 4
    t = Tensor(X, requires_grad=True)
    from_torch_function(lambda x: x[0].sum())(t[::-1]).backward()
    assert t.grad.tolist() == [[0, 0], [0, 0], [1, 1]]


def test_nothing_is_recorded_where_nothing_needs_a_gradient():
    x = torch.ones(2)
    assert not as_torch(tg.exp)(x).requires_grad
    with torch.no_grad():
        assert not as_torch(tg.exp)(x.clone().requires_grad_()).requires_grad
    t = Tensor([1.0], requires_grad=True)
    with tg.no_grad():
        assert not from_torch_function(torch.exp)(t).requires_grad
    assert not from_torch_function(torch.exp)(t.detach()).requires_grad
    assert from_torch_function(torch.exp)(np.zeros(2)).tolist() == [1, 1]


def test_results_do_not_lie_in_the_memory_of_arguments():
    x = torch.zeros(3, requires_grad=True)
    y = as_torch(lambda x: x)(x)
    with torch.no_grad():
        y += 1
    assert x.tolist() == [0, 0, 0]
    g = torch.ones(3)
    as_torch(lambda x: x.copy())(x).backward(g)
    x.grad += 1
    assert g.tolist() == [1, 1, 1]
    t = Tensor([0.0], requires_grad=True)
    assert not np.shares_memory(from_torch_function(lambda x: x.view(1))(t).data, t.data)


def test_a_change_before_the_backward_pass_is_noticed():
    (x,) = leaves(X)
    a = x * 1
    y = as_torch(tg.exp)(a)
    with torch.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    t = Tensor(X, requires_grad=True)
    y = from_torch_function(torch.exp)(t)
    with tg.no_grad():
        t += 1
    with pytest.raises(tg.GraphError, match="changed in place"):
        y.sum().backward()


def test_arguments_that_are_changed_in_place_are_noticed_by_both():
    def tripled(x):
        x *= 3
        return x

    t, u = Tensor(np.ones(3), requires_grad=True), Tensor(np.arange(3.0))
    y = (t * t).sum()
    from_torch_function(lambda x: x.mul_(3))(t.detach())
    with pytest.raises(tg.GraphError, match="changed in place"):
        y.backward()
    from_torch_function(lambda x: x.mul_(3))(u[::-1])
    assert u.tolist() == [0, 3, 6]
    with pytest.raises(
        tg.GraphError, match=r"\[from_torch_function\] f changes an argument in place"
    ):
        from_torch_function(torch.nn.ReLU(inplace=True))(t * 1)
    a = torch.ones(3, requires_grad=True) * 2
    y = (a * a).sum()
    with torch.no_grad():
        as_torch(tripled)(a)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    counts = torch.ones(3, dtype=torch.int64)
    with pytest.raises(tg.GraphError, match=r"\[as_torch\] f changes an argument in place"):
        as_torch(lambda x, n: tripled(n) * x)(torch.ones(3, requires_grad=True), counts)


def test_what_would_lose_its_gradient_is_refused():
    w, v = Tensor(W, requires_grad=True), torch.tensor(W, requires_grad=True)
    for x in (torch.tensor(X), torch.tensor(X, requires_grad=True)):
        with pytest.raises(tg.GraphError, match=r"as_torch.*is no argument"):
            as_torch(lambda x: x @ w)(x)
    with torch.no_grad():
        as_torch(lambda x: x @ w)(torch.tensor(X))
    with pytest.raises(tg.GraphError, match=r"from_torch_function.*\(2, 4\).*is no argument"):
        from_torch_function(lambda x: x @ v)(Tensor(X, requires_grad=True))
    with pytest.raises(tg.GraphError, match="is no argument"):
        from_torch_function(lambda x: (x * 2, v))(Tensor(X, requires_grad=True))
    with tg.no_grad():
        from_torch_function(lambda x: x @ v)(Tensor(X))
    with pytest.raises(tg.GraphError, match="vmap"):
        tg.vmap(from_torch_function(torch.exp))(Tensor(X))
    with pytest.raises(TypeError, match="f returned a float, expected tensors"):
        from_torch_function(lambda x: 2.0)(Tensor(X))
    for wrap in (as_torch, from_torch_function):
        with pytest.raises(TypeError, match="expected a function"):
            wrap(3)


@pytest.mark.long
def test_a_module_of_ours_trains_in_torch():
    model = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3), nn.Tanh(), nn.Dense(3, 1))
    model[3].bias.requires_grad = False
    wrapped = as_torch(model)
    assert [n for n, _ in wrapped.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert not wrapped.get_parameter("3.bias").requires_grad
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.3)
    x, before = torch.tensor(X, dtype=torch.float32), model[0].weight.numpy().copy()
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = ((wrapped(x) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert not np.array_equal(model[0].weight.numpy(), before)
    assert (model[1].running_mean.numpy() != 0).all()
    assert not wrapped.eval().module.training
    np.testing.assert_allclose(wrapped(x).detach(), model(X.astype("float32")).detach().numpy())


@pytest.mark.parametrize("made", ["copied", "pickled", "converted"])
def test_a_module_of_ours_keeps_its_parameters_on_one_memory(made):
    layer = as_torch(tg.nn.Sequential(tg.nn.Dense(3, 2), tg.nn.BatchNorm(2)))
    layer.get_parameter("0.bias").requires_grad_(False)
    other = {
        "copied": copy.deepcopy,
        "pickled": lambda m: pickle.loads(pickle.dumps(m)),
        "converted": lambda m: m.double(),
    }[made](layer)
    with torch.no_grad():
        other.get_parameter("0.weight").fill_(2)
    own = dict(other.module.named_parameters())
    assert (own["0.weight"].numpy() == 2).all()
    assert not other.get_parameter("0.bias").requires_grad
    dtype = torch.float64 if made == "converted" else torch.float32
    y = other(torch.ones((4, 3), dtype=dtype))
    assert y.dtype is dtype
    y.sum().backward()
    if made != "converted":
        assert (layer.get_parameter("0.weight") != 2).all()


@pytest.mark.long
def test_a_module_of_torchs_trains_here():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1)
    )
    model[2].bias.requires_grad_(False)
    wrapped = from_torch_function(model)
    assert [p.requires_grad for p in wrapped.parameters()] == [True, True, True, True, True, False]
    optimizer = tg.optim.SGD(wrapped.parameters(), lr=0.3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = ((wrapped(Tensor(X, dtype="float32")) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    np.testing.assert_array_equal(
        wrapped.state_dict()["weights.0.weight"].numpy(), model[0].weight.detach()
    )
    assert (model[1].running_mean != 0).all()
    weights = {path: p * 0 for path, p in wrapped.named_parameters()}
    assert not tg.functional_call(wrapped, weights, X.astype("float32")).numpy().any()
    state = wrapped.state_dict()
    wrapped.load_state_dict({path: value * 0 for path, value in state.items()})
    assert not model[0].weight.any()
    wrapped.eval()
    wrapped(Tensor(X, dtype="float32"))
    assert not model.training


def test_the_modes_of_parts_stay_until_all_are_set():
    ours, theirs = nn.Sequential(nn.Dropout(0.5)), torch.nn.Sequential(torch.nn.Dropout(0.5))
    ours[0].eval()
    theirs[0].eval()
    assert as_torch(ours)(torch.ones(4)).tolist() == [1, 1, 1, 1]
    wrapped = from_torch_function(theirs)
    assert wrapped(tg.ones(4)).tolist() == [1, 1, 1, 1]
    assert (wrapped.training, ours.training) == (True, True)
    wrapped.eval().train()
    wrapped(tg.ones(4))
    assert theirs[0].training is False  # nothing has changed as PyTorch's was called
    wrapped.eval()
    wrapped(tg.ones(4))
    wrapped.train()
    wrapped(tg.ones(4))
    assert theirs[0].training


# DLPack


@pytest.mark.parametrize("dtype", "bool uint8 int8 int64 float16 float32 float64 complex64".split())
@pytest.mark.parametrize("view", ["whole", "transposed", "strided", "empty", "number"])
def test_memory_is_shared_both_ways(dtype, view):
    take = {
        "whole": lambda a: a,
        "transposed": lambda a: a.T,
        "strided": lambda a: a[1:, ::2],
        "empty": lambda a: a[:0],
        "number": lambda a: a[1, 1],
    }[view]
    t = Tensor(np.ones((3, 4)), dtype=dtype)
    shared = torch.from_dlpack(take(t))
    tensor = torch.ones((3, 4), dtype=getattr(torch, dtype))
    back = tg.from_dlpack(take(tensor))
    assert (tuple(shared.shape), back.shape) == (take(t).shape, tuple(take(tensor).shape))
    assert (str(shared.dtype), str(back.dtype)) == (f"torch.{dtype}", dtype)
    shared.fill_(0)
    assert not take(t).numpy().any()
    if back.size:
        back[...] = 0
        assert not take(tensor).any()
    assert not np.shares_memory(tg.from_dlpack(tensor, copy=True).data, tensor.numpy())


def test_what_dlpack_cannot_share_is_refused():
    for source, problem, reason in (
        (torch.ones(2, requires_grad=True), BufferError, "require gradient"),
        (torch.ones(2, dtype=torch.bfloat16), TypeError, r"\[from_dlpack\] x has dtype.*bfloat16"),
        (torch.ones(2).to_sparse(), BufferError, "layout"),
        (torch.tensor([1j]).conj(), BufferError, "conjugate"),
    ):
        with pytest.raises(problem, match=reason):
            tg.from_dlpack(source)
    with pytest.raises(BufferError, match="backward through its memory"):
        torch.from_dlpack(tg.ones(3)[::-1])
    assert torch.from_dlpack(tg.ones(3)[::-1].copy()).tolist() == [1, 1, 1]
    with pytest.raises(tg.GraphError, match="detach"):
        torch.from_dlpack(tg.ones(3, requires_grad=True))
    frozen = np.ones(3)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        tg.from_dlpack(frozen)[0] = 2


@needs_emulator
def test_the_emulators_memory_is_not_shared():
    x = tg.ones(3, device="cuda-emulator")
    for share in (torch.from_dlpack, np.from_dlpack, from_torch_function(torch.exp)):
        with pytest.raises(BufferError, match=r"share x\.cpu\(\)"):
            share(x)

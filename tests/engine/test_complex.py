"""Complex numbers: values as NumPy's, gradients as PyTorch's; what does not take them refuses.

The rows of cases_complex.py check every op that takes them; here is what is around the ops.
"""

import sys

import numpy as np
import pytest
from cases import CASES
from grouped import grouped
from needed import missing
from oracle import torch

import tinygrad_like as tg
from tinygrad_like import Tensor
from tinygrad_like.engine import OPS, gradients, leaf, wrap

RNG = np.random.default_rng(0)


def some(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


Z, W, TOWARDS = some(3), some(3), some(3)


def of_two(z, w):
    """A function that is not analytic, of Tensors or torch tensors."""
    return z * z * w.conj() + abs(z) * w


def loss(z, w):
    return (abs(of_two(z, w)) ** 2).sum()


def theirs(*arrays):
    if torch is None:
        pytest.skip(missing("torch"))
    return [torch.tensor(x, requires_grad=True) for x in arrays]


def assert_close(ours, expected, rtol=1e-12):
    ours = ours.detach().numpy() if isinstance(ours, Tensor) else ours
    np.testing.assert_allclose(ours, expected.detach().resolve_conj().numpy(), rtol=rtol)


# Values and dtypes


def test_values_are_numpy_s():
    z = Tensor(np.array([1 + 2j, -3j]))
    np.testing.assert_array_equal(tg.abs(z * 1j).numpy(), np.abs(z.numpy() * 1j))
    assert (z * z + 1).dtype == np.complex128
    assert not z.requires_grad
    assert z.item if z.size == 1 else z.tolist() == [1 + 2j, -3j]
    assert repr(Tensor(1 + 2j)) == "Tensor(1.+2.j, dtype=complex64)"


def test_python_s_numbers_are_complex64_and_promote_nothing():
    assert Tensor(1j).dtype == Tensor([1, 2.5, 1j]).dtype == np.complex64
    assert Tensor(np.array(1j)).dtype == np.complex128
    for dtype, expected in {
        np.float16: np.complex64,
        np.float32: np.complex64,
        np.float64: np.complex128,
        np.int64: np.complex64,
        np.complex64: np.complex64,
    }.items():
        x = Tensor(np.ones(2, dtype))
        for y in (x * 1j, 1j + x, x / 1j, x ** (1 + 1j), tg.where(x > 0 if x.dtype.kind != "c" else
                  x == 0, x, 1j), x * Tensor(1j), x * np.array(1j)):  # fmt: skip
            assert y.dtype == (expected if y.shape == (2,) else None), (dtype, y)
    z = Tensor(np.ones(2, np.complex64))
    assert (z * 2.0).dtype == (z * np.float64(2)).dtype == (z * np.ones(2, int)).dtype == z.dtype
    assert (z * np.ones(2)).dtype == np.complex128


def test_numbers_that_do_not_fit_are_refused():
    for make in (
        lambda: Tensor(1e300j),
        lambda: Tensor([1e300], dtype=np.complex64),
        lambda: Tensor(np.zeros(1, np.complex64)).__setitem__(0, 1e300j),
    ):
        with pytest.raises(ValueError, match="does not fit into float32"):
            make()


def test_methods_and_numpy_s_functions():
    z = some(2, 3)
    t = Tensor(z)
    for ours, expected in (
        (t.real, z.real),
        (t.imag, z.imag),
        (t.conj(), z.conj()),
        (t.mT, z.T),
        (t.H, z.conj().T),
        (np.conj(t), z.conj()),
        (np.real(t), z.real),
        (np.imag(t), z.imag),
        (np.angle(t, deg=True), np.angle(z, deg=True)),
        (np.iscomplex(t), np.iscomplex(z)),
        (np.abs(t), np.abs(z)),
        (t.astype(np.complex64), z.astype(np.complex64)),
        (Tensor(z.real).astype(complex), z.real.astype(complex)),
    ):
        assert ours.dtype == expected.dtype
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-13)
    assert complex(tg.Tensor(1 + 2j)) == 1 + 2j
    assert tg.complex(1.0, Tensor([1.0])).dtype == tg.complex(1, 2).dtype == np.complex64
    assert tg.sign(2j).item() == 1j
    assert tg.iscomplexobj(t)
    assert tg.iscomplexobj(1j)
    assert not tg.iscomplexobj(t.real)
    with pytest.raises(ValueError, match=r"\[mT\] x is \(3,\), expected matrices"):
        Tensor(Z).mT  # noqa: B018
    with pytest.raises(ValueError, match=r"\[view_as_complex\] x is \(3,\) of float64"):
        tg.view_as_complex(Z.real)
    with pytest.raises(TypeError, match=r"\[view_as_real\] x is of float64"):
        tg.view_as_real(Z.real)


def test_spreads_and_norms_are_of_sizes():
    z = np.array([[1 + 2j, -3j], [0.5, 2 - 1j]])
    t = Tensor(z)
    for ours, expected in (
        (tg.var(t), np.var(z)),
        (t.std(axis=0), np.std(z, axis=0)),
        (np.var(t, axis=1), np.var(z, axis=1)),
        (tg.norm(t), np.linalg.norm(z)),
        (tg.norm(t, 1, axis=1), np.linalg.norm(z, 1, axis=1)),
        (tg.norm(t, 3, axis=0), np.linalg.norm(z, 3, axis=0)),
    ):
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours.numpy(), expected)


def test_an_infinite_part_leaves_the_other_alone():
    z = np.array([complex(1, np.inf), 2.0])
    for t in (tg.sum(Tensor(z)), tg.complex(Tensor([3.0]), np.inf)):
        assert (t.item().real, t.item().imag) == (3, np.inf)


# What does not take them


def is_ours(op):
    return op.forward.__module__.startswith("tinygrad_like.")


def has_complex(values):
    return any(getattr(getattr(x, "dtype", None), "kind", "") == "c" for x in values)


REFUSING = [name for name, op in OPS.items() if is_ours(op) and not op.complex]
TAKEN = [case for case in CASES if has_complex(case.arrays())]
LABELS = {case.label for case in TAKEN}
ROWS = [
    case
    for case in CASES
    if any(x.dtype.kind == "f" for x in case.arrays())
    and case.label in REFUSING
    and case.label not in LABELS
]


@grouped("case", ROWS, by=lambda case: case.label)
def test_each_op_takes_complex_numbers_or_refuses(case):
    """One input of each row in turn, as a Tensor and as an array."""
    arrays = case.arrays()
    for i, x in enumerate(arrays):
        if x.dtype.kind != "f":
            continue
        mixed = [*arrays[:i], x + 0j, *arrays[i + 1 :]]
        for made in (mixed, [wrap(a) for a in mixed]):
            with pytest.raises(TypeError, match=r"^\[\w+\] .*complex"):
                case(*made)


def test_the_rows_are_those_of_many_ops():
    assert len(REFUSING) > 60
    assert {case.label for case in ROWS} > {"relu", "maximum", "less", "softmax", "max", "conv2d"}


def test_every_op_that_takes_complex_numbers_has_a_row_of_them():
    forwards = {op.forward.__code__: name for name, op in OPS.items() if is_ours(op) and op.complex}
    assert len(forwards) > 60
    seen = set()

    def note(frame, event, _):
        if event == "call" and frame.f_code in forwards:
            values = frame.f_locals.values()
            parts = [part for x in values if isinstance(x, tuple) for part in x]
            if has_complex([*values, *parts]):
                seen.add(forwards[frame.f_code])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for case in TAKEN:
            xs = [leaf(x) if x.dtype.kind in "fc" else wrap(x) for x in case.arrays()]
            ys = [y for y in case(*xs) if y.requires_grad]
            gs = gradients(ys, xs, [tg.ones_like(y) for y in ys], create_graph=True)
            gs = [g for g in gs if g.requires_grad]
            gradients(gs, xs, [tg.ones_like(g) for g in gs])
    finally:
        sys.setprofile(before)
    missing = set(forwards.values()) - seen
    assert not missing, f"no row in cases_complex.py runs on complex numbers the ops {missing}"


@pytest.mark.parametrize(
    "call",
    [
        lambda z: tg.maximum(z.real, 1j),
        lambda z: tg.maximum(z.real.numpy(), z.numpy()),
        lambda z: z < 1,
        lambda z: tg.greater(z.real, 1j),
        lambda z: tg.sort(z),
        lambda z: tg.vmap(tg.relu)(z),
        lambda z: tg.fft.rfft(z),
        lambda z: tg.complex(z, 1.0),
        lambda z: z.real // 1j,
    ],
)
def test_refusals_name_the_op_and_what_it_got(call):
    with pytest.raises(
        TypeError, match=r"^\[\w+\] \w+ is (of complex128|a complex number), .*tg\."
    ):
        call(Tensor(Z))


def test_a_user_s_op_refuses_them_unless_it_says_that_it_takes_them():
    def conjugate(be, z):
        return z.conj()

    with pytest.raises(TypeError, match=r"\[conjugate\] z is of complex128.* pass complex=True"):
        tg.op(z=lambda g: g)(conjugate)(Tensor(Z))
    right = tg.op(complex=True, z=lambda g: tg.conj(g))(conjugate)
    wrong = tg.op(complex=True, z=lambda g: g)(conjugate)
    assert tg.gradcheck(lambda z: right(z) * z, Z)
    with pytest.raises(tg.GradientError, match=r"order 1, input 0, index \(0,\), \.imag: computed"):
        tg.gradcheck(lambda z: wrong(z) * z, Z)


def test_the_norm_of_complex_gradients_is_clipped():
    z = Tensor(Z, requires_grad=True)
    (abs(z) ** 2).sum().backward()
    size = np.linalg.norm(2 * Z)
    np.testing.assert_allclose(tg.optim.clip_grad_norm([z], 1.0), size)
    np.testing.assert_allclose(z.grad.numpy(), 2 * Z / size, rtol=1e-6)


def test_optimizers_and_a_real_parameter_refuse_them():
    with pytest.raises(TypeError, match=r"\[SGD\] params\[0\] \(3,\) has dtype complex128"):
        tg.optim.SGD([Tensor(Z, requires_grad=True)], lr=0.1)
    with pytest.raises(TypeError, match=r"\[data\] got dtype complex128"):
        tg.zeros(3, requires_grad=True).data = Z
    with pytest.raises(TypeError, match=r"\[astype\] .*x\.real"):
        Tensor(Z).astype(np.float64)


# Gradients as users see them


def test_the_gradient_goes_downhill():
    z = Tensor(Z, requires_grad=True)
    loss(z, Tensor(W)).backward()
    step = 1e-6
    before, after = loss(Tensor(Z), Tensor(W)).item(), loss(Tensor(Z) - step * z.grad, Tensor(W))
    np.testing.assert_allclose(
        (before - after.item()) / step, tg.norm(z.grad).item() ** 2, rtol=1e-4
    )


def test_backward_hooks_and_retained_gradients_are_torch_s():
    seen: list = []

    def note(g):
        seen.append(g.detach().clone())

    for z in (Tensor(Z, requires_grad=True), *theirs(Z)):
        y = z * (1 + 2j)
        y.register_hook(note)
        y.retain_grad()
        z.register_hook(lambda g: g * 1j)
        (abs(y) ** 2).sum().backward(retain_graph=True)
        seen += [y.grad, z.grad.detach().clone()]
        y.backward(y.detach() * (2 - 1j))
        seen += [z.grad]
    for ours, expected in zip(seen[:5], seen[5:], strict=True):
        assert_close(ours, expected)


def test_real_inputs_of_complex_results_get_the_real_part():
    x = RNG.standard_normal(3)
    t, (u,) = Tensor(x, requires_grad=True), theirs(x)
    (abs(tg.exp(t * 1j) @ Tensor(some(3, 2) * 0 + Z[:, None])) ** 2).sum().backward()
    (abs(torch.exp(u * 1j) @ (torch.zeros(3, 2) + torch.tensor(Z)[:, None])) ** 2).sum().backward()
    assert t.grad.dtype == np.float64
    assert_close(t.grad, u.grad)


def test_a_complex_result_needs_a_gradient_to_start_from():
    z = Tensor(1 + 1j, requires_grad=True)
    for call in (
        lambda: tg.exp(z).backward(),
        lambda: tg.grad(tg.exp)(1 + 1j),
        lambda: tg.value_and_grad(lambda x: x * 1j)(2.0),
    ):
        with pytest.raises(
            TypeError, match=r"is complex64, expected a floating one; take its real"
        ):
            call()
    x = Tensor([1.0], requires_grad=True)
    x.register_hook(lambda g: g * 1j)
    with pytest.raises(TypeError, match=r"\[register_hook\] the hook returned complex64, expected"):
        x.sum().backward()


# Derivatives of functions


def differences(f, z, direction, step=1e-5):
    """How f moves with z along a direction, to about 1e-9."""
    return (f(Tensor(z + step * direction)) - f(Tensor(z - step * direction))).numpy() / (2 * step)


def test_grad_and_vjp_are_torch_s():
    z, w = theirs(Z, W)
    expected = torch.autograd.grad(loss(z, w), (z, w))
    for ours, g in zip(tg.grad(loss, (0, 1))(Z, W), expected, strict=True):
        assert_close(ours, g)
    expected = torch.autograd.grad(of_two(z, w), (z, w), torch.tensor(TOWARDS))
    for ours, g in zip(tg.vjp(of_two, Z, W)[1](TOWARDS), expected, strict=True):
        assert_close(ours, g)


def test_jvp_and_hvp_are_differences():
    w = Tensor(W)
    expected = differences(lambda z: of_two(z, w), Z, TOWARDS)
    found = tg.jvp(lambda z: of_two(z, w), (Z,), (TOWARDS,))[1]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7)
    with tg.no_grad():
        found = tg.linearize(lambda z: of_two(z, w), Z)[1](TOWARDS)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7)
    expected = differences(lambda z: tg.grad(loss)(z, w), Z, TOWARDS)
    found = tg.hvp(lambda z: loss(z, w), Z, TOWARDS)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_gradient_of_a_gradient_is_torch_s():
    t, (u,) = Tensor(Z, requires_grad=True), theirs(Z)
    loss(t, Tensor(W)).backward(create_graph=True)
    g, t.grad = t.grad, None
    (abs(g) ** 2).sum().backward()
    (g,) = torch.autograd.grad(loss(u, torch.tensor(W)), u, create_graph=True)
    (abs(g) ** 2).sum().backward()
    assert_close(t.grad, u.grad)


def test_jacobians_take_real_arguments_alone():
    x = np.array([0.5, 2.0])
    for direction in ("auto", "forward"):
        j = tg.jacobian(lambda x: tg.exp(1j * x), direction=direction)(x)
        np.testing.assert_allclose(j, np.diag(1j * np.exp(1j * x)))
    assert tg.jacobian(lambda x: x * 1j)(np.ones(1, np.float32)).dtype == np.complex64
    with pytest.raises(TypeError, match=r"\[jacobian\] f returned complex numbers, .* 'forward'"):
        tg.jacobian(lambda x: x * 1j, direction="reverse")(x)
    for derivative in (tg.jacobian, tg.hessian):
        with pytest.raises(
            TypeError, match=r"\[jacobian\] an argument is complex.*view_as_complex"
        ):
            derivative(lambda z: tg.abs(z).sum())(Z)


def test_vmap_custom_gradients_and_checkpoints_follow():
    @tg.custom_gradient
    def square(z):
        return z * z, lambda g: g * tg.conj(2 * z)

    rows, w = some(4, 3), Tensor(W)
    expected = np.stack([tg.grad(loss)(z, w) for z in rows])

    def by_square(z, w):
        return (abs(square(z) * w.conj() + abs(z) * w) ** 2).sum()

    def recomputed(z, w):
        return tg.checkpoint(loss, z, w)

    for f in (loss, by_square, recomputed):
        np.testing.assert_allclose(tg.grad(f)(rows[0], w), expected[0], rtol=1e-12)
    for f in (loss, by_square):
        found = tg.vmap(tg.grad(f), (0, None))(rows, w)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12)
    assert tg.gradcheck(square, Z, order=2)


def test_complex_steps_still_check_analytic_functions():
    x = np.array([0.3, 0.7])
    assert tg.gradcheck(lambda x: tg.exp(x * x) / x, x, order=3, method="complex")
    for f in (lambda x: tg.exp(1j * x), lambda x: tg.abs(x * 1j)):
        with pytest.raises(ValueError, match="does not allow complex steps"):
            tg.gradcheck(f, x, method="complex")
        assert tg.gradcheck(f, x, order=2)


@pytest.mark.parametrize("f", [tg.abs, tg.sign, tg.angle, tg.norm, lambda z: tg.norm(z, 3)])
def test_the_gradient_at_0_is_0(f):
    z = Tensor(np.zeros(2, complex), requires_grad=True)
    y = f(z)
    y.backward(tg.ones_like(y))
    np.testing.assert_array_equal(z.grad.numpy(), 0)

"""Where Tensors meet arrays: what is differentiated never turns into an array by itself.

Without a graph, or inside no_grad, NumPy, SciPy, matplotlib and scikit-learn get the values.
"""

import array as python_array
import copy
import math

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from needed import imported, needs_emulator
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import Tensor, losses, nn

EMULATOR = "cuda-emulator"


def leaf(values=(1.0, 2.0, 4.0)):
    return Tensor(np.array(values), requires_grad=True)


def store(array, index, value):
    array[index] = value


# What would take values out of a recorded graph, given a vector x of 3 positive numbers

TAKES_VALUES = {
    "asarray": np.asarray,
    "array of a result": lambda x: np.array(x * 2),
    "array of elements": lambda x: np.array([x[0], x[1]]),
    "nested list": lambda x: np.array([[x[0], 1.0], [2.0, x[1]]]),
    "array of objects": lambda x: np.array([x, x], dtype=object),
    "array.dot": lambda x: np.ones(3).dot(x),
    "sum of a list": lambda x: np.sum([x[0], x[1]]),
    "mean of a list": lambda x: np.mean([x, 2 * x]),
    "norm of a list": lambda x: np.linalg.norm([x]),
    "buffer[i]": lambda x: store(np.zeros(3), 0, x[0]),
    "buffer[i] of float32": lambda x: store(np.zeros(3, np.float32), 0, x[0]),
    "buffer[i] of integers": lambda x: store(np.zeros(3, int), 0, x[0]),
    "buffer[i] of complex": lambda x: store(np.zeros(3, complex), 0, x[0]),
    "buffer.flat[i]": lambda x: store(np.zeros(3).flat, 0, x[0]),
    "buffer[:]": lambda x: store(np.zeros(3), slice(None), x),
    "buffer[list]": lambda x: store(np.zeros(3), [0, 1, 2], x),
    "buffer of Python's array": lambda x: store(python_array.array("d", [0.0]), 0, x[0]),
    "full": lambda x: np.full(3, x[0]),
    "full_like": lambda x: np.full_like(np.ones(3), x[0]),
    "array += x": lambda x: np.ones(3).__iadd__(x),
    "out=": lambda x: np.add(x, 1, out=np.zeros(3)),
    "out= of exp": lambda x: np.exp(x, out=np.zeros(3)),
    "where= of exp": lambda x: np.exp(x, where=np.ones(3, bool), out=np.zeros(3)),
    "dtype= of add": lambda x: np.add(x, 1, dtype=np.float32),
    "out= of clip": lambda x: np.clip(x, 0, 1, out=np.zeros(3)),
    "out= of sum": lambda x: np.sum(x, out=np.zeros(())),
    "where= of nanmax": lambda x: np.nanmax(x, initial=0, where=np.ones(3, bool)),
    "cov= of polyfit": lambda x: np.polyfit(x, x, 1, cov="unscaled")[1],
    "subtract.reduce": np.subtract.reduce,
    "add.reduceat": lambda x: np.add.reduceat(x, [0, 1]),
    "add.at": lambda x: np.add.at(np.zeros(3), [0, 1, 2], x),
    "copyto": lambda x: np.copyto(np.zeros(3), x),
    "polydiv": lambda x: np.polydiv(x, np.ones(2))[0],
    "nextafter": lambda x: np.nextafter(x, 0),
    "spacing": np.spacing,
    "i0": np.i0,
    "intersect1d of indices": lambda x: np.intersect1d([1, 2], x, return_indices=True)[0],
    "save": lambda x: np.save("never written", x),
    "random": lambda x: np.random.default_rng(0).normal(x),
    "scipy's logsumexp": scipy.special.logsumexp,
    "scipy's expit": scipy.special.expit,
    "scipy's expm": lambda x: scipy.linalg.expm(x.reshape(3, 1) * np.ones(3)),
    "masked * x": lambda x: np.ma.array(np.ones(3), mask=[1, 0, 0]) * x,
    "masked += x": lambda x: np.ma.array(np.ones(3), mask=[1, 0, 0]).__iadd__(x),
    "np.ma.getdata": np.ma.getdata,
    "masked > x": lambda x: np.ma.array(np.ones(3), mask=[1, 0, 0]) > x,
    "np.ma.array": np.ma.array,
    "torch.from_dlpack": lambda x: torch.from_dlpack(x),
    "np.from_dlpack": np.from_dlpack,
}
EACH = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=needs_torch if n.startswith("torch") else ()) for n in TAKES_VALUES],
)


@EACH
def test_a_recorded_tensor_does_not_become_an_array_by_itself(name):
    for x in (leaf(), leaf() * 1.0):
        with pytest.raises((ValueError, TypeError)) as raised:
            TAKES_VALUES[name](x)
        error = raised.value
        if "buffer" in name and error.__cause__ is not None:  # what NumPy says about it
            error = error.__cause__
        if name != "buffer.flat[i]":  # where NumPy drops the cause
            assert str(error).startswith("[")
            assert "gradient" in str(error)
            assert "detach" in str(error) or ".item()" in str(error)


@EACH
def test_without_a_graph_the_values_are_given(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    f, raw = TAKES_VALUES[name], leaf().data
    expected = f(raw) if not name.startswith("torch") else torch.from_numpy(raw)
    for x in (Tensor(raw), leaf().detach(), (leaf() * 1.0).detach()):
        found = f(x)
        np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float))
    with tg.no_grad():
        found = f(leaf())
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float))


@pytest.mark.parametrize("name", ["array += x", "out=", "out= of clip", "add.reduceat", "polydiv"])
def test_what_numpy_computes_comes_back_as_its_own_arrays(name):
    assert isinstance(TAKES_VALUES[name](Tensor(leaf().data)), (np.ndarray, np.generic))


def test_values_written_into_an_array_are_there():
    out, x = np.zeros(3), Tensor(leaf().data)
    assert np.multiply(x, 2, out=out) is out
    np.testing.assert_array_equal(out, [2, 4, 8])
    out += x
    np.testing.assert_array_equal(out, [3, 6, 12])
    np.subtract.at(out, [0, 0], x[:2])
    np.testing.assert_array_equal(out, [0, 6, 12])
    np.copyto(out, x)
    np.testing.assert_array_equal(out, [1, 2, 4])
    np.add(x, 1, out=out, where=np.array([True, False, True]))
    np.testing.assert_array_equal(out, [2, 2, 5])


def test_numpy_writes_into_no_tensor():
    x = Tensor(leaf().data)
    with pytest.raises(TypeError, match=r"\[add\] out is a Tensor"):
        np.add(np.ones(3), 1, out=x)
    with pytest.raises(TypeError, match=r"\[add\.at\] .*scatter_add"):
        np.add.at(x, [0], 1)
    for name, write in {
        "copyto": lambda: np.copyto(x, np.ones(3)),
        "put": lambda: np.put(x, 0, 7),
        "put_along_axis": lambda: np.put_along_axis(x, np.array([0]), 7, 0),
        "place": lambda: np.place(x, x > 1, [7]),
        "putmask": lambda: np.putmask(x, x > 1, 7),
        "fill_diagonal": lambda: np.fill_diagonal(x.reshape(3, 1), 7),
    }.items():
        with pytest.raises(
            TypeError, match=rf"^\[{name}\] NumPy cannot write into a Tensor t; use t"
        ):
            write()
    with pytest.raises(ValueError, match="read-only"):
        x.numpy().sort()
    np.testing.assert_array_equal(x.numpy(), leaf().data)


def test_a_number_is_taken_by_name_only():
    """float and int stand for item(); what is stored into an array counts as turning into one."""
    y = leaf()[0] * 2
    assert (float(y), int(y), y.item(), f"{y:.1f}", math.exp(y)) == (2, 2, 2, "2.0", math.exp(2))
    buffer, log = np.zeros(2), {}
    buffer[0] = float(y)
    buffer[1] = y.item()
    log["loss"] = y
    assert buffer.tolist() == [2, 2]
    assert log["loss"] is y


def test_what_tells_no_values_works_on_a_recorded_tensor():
    x = leaf()
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((3,), 1, 3)
    assert np.result_type(x, np.float32) == np.float64
    assert np.may_share_memory(x, x.data)
    assert "2." in np.array2string(x)


def test_a_copy_of_a_recorded_result_names_the_cure():
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(tg.GraphError, match=r"^\[copy\] .*the result of multiply.*detach"):
            duplicate(leaf() * 2)


# The update that tutorials write by hand


@pytest.mark.parametrize("update", ["p.data += -0.1 * p.grad", "p.data -= 0.1 * p.grad"])
def test_the_update_of_tutorials(update):
    p = tg.ones(2, requires_grad=True)
    y = (p * p).sum()
    y.backward(retain_graph=True)
    exec(update)
    np.testing.assert_allclose(p.numpy(), 0.8)
    with pytest.raises(tg.GraphError, match="changed in place"):
        y.backward()


def test_an_update_by_a_recorded_gradient_is_refused():
    p = tg.ones(2, requires_grad=True)
    (p * p).sum().backward(create_graph=True)
    with pytest.raises(TypeError, match=r"\[add\] with out=.*no_grad"):
        p.data += p.grad
    np.testing.assert_array_equal(p.numpy(), 1)


# Arrays that mean more than their values


def test_a_masked_array_or_a_matrix_is_no_operand():
    x, masked = leaf(), np.ma.array(np.ones(3), mask=[1, 0, 0])
    for call in (
        lambda: x * masked,
        lambda: tg.exp(masked),
        lambda: np.concatenate([masked, x]),
        lambda: tg.where(masked, x, 0.0),
        lambda: Tensor(np.ones(3)) + masked,
    ):
        with pytest.raises(TypeError, match=r"^\[\w+\] .*masked array"):
            call()
    with pytest.raises(TypeError, match="masked array"):
        store(Tensor(np.ones(3)), slice(None), masked)
    matrix = np.ones((3, 3)).view(np.matrix)
    for call in (lambda: x * matrix, lambda: matrix * x, lambda: x @ matrix):
        with pytest.raises(TypeError, match=r"^\[\w+\] .*np\.matrix"):
            call()


def test_other_subclasses_of_ndarray_count_as_arrays():
    class Named(np.ndarray):
        pass

    x = leaf()
    for array in (np.ones(3).view(Named), np.ones(3).view(np.recarray)):
        y = x * array
        assert isinstance(y, Tensor)
        assert y.requires_grad
    with pytest.raises(TypeError, match=r"\[multiply\]"):
        x * np.zeros(3, [("a", float)])


def test_dot_with_a_number_scales():
    x = leaf()
    for y in (
        np.dot(x, 0.5),
        np.dot(0.5, x),
        x.dot(0.5),
        tg.dot(0.5, x),
        np.dot(x, np.float64(0.5)),
    ):
        np.testing.assert_array_equal(y.numpy(), [0.5, 1, 2])
        y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2.5)


def test_round_and_from_dlpack_by_their_python_names():
    assert round(Tensor(1.256), 2).item() == pytest.approx(1.26)
    assert round(Tensor(2.5)).item() == 2
    for nonsense in (3, [1.0]):
        with pytest.raises(TypeError, match=r"\[from_dlpack\]"):
            tg.from_dlpack(nonsense)


# matplotlib, scikit-learn and NumPy's files


def test_numpy_files_take_tensors_and_state(tmp_path):
    x = Tensor(leaf().data)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x.numpy())
    np.savez(tmp_path / "x.npz", **nn.Dense(2, 3).state_dict())
    assert np.load(tmp_path / "x.npz")["weight"].shape == (2, 3)
    np.savetxt(tmp_path / "x.txt", x)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "x.txt"), x.numpy())


def test_matplotlib_draws_values_and_names_the_cure_for_a_recorded_tensor():
    matplotlib = imported("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    x = Tensor(leaf().data)
    axes.plot(x, x)
    axes.bar(x, x)
    axes.hist(x)
    axes.scatter(x, x, c=x)
    axes.imshow(tg.rand((4, 4)))
    axes.errorbar(x, x, yerr=x)
    axes.fill_between(x, x, 2 * x)
    for recorded in (leaf(), leaf() * 2):
        for draw in (axes.plot, axes.hist, lambda y: axes.scatter(y, y), lambda y: axes.bar(y, y)):
            with pytest.raises((ValueError, TypeError), match="detach"):
                draw(recorded)
    pyplot.close(figure)


def test_scikit_learn_takes_values():
    imported("sklearn")
    from sklearn import linear_model, metrics, preprocessing

    t = Tensor([0.0, 1.0, 1.0, 0.0])
    assert metrics.accuracy_score(t, t) == 1
    assert metrics.roc_auc_score(t, t) == 1
    table = tg.rand((6, 2))
    scaled = preprocessing.StandardScaler().fit_transform(table)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-6)
    target = table.numpy() @ [1.0, 2.0]
    fitted = linear_model.LinearRegression().fit(table, Tensor(target))
    np.testing.assert_allclose(fitted.coef_, [1, 2], rtol=1e-4)
    with pytest.raises((ValueError, TypeError), match="detach"):
        preprocessing.StandardScaler().fit(tg.rand((6, 2), requires_grad=True))


# NumPy arrays beside Tensors of another device


def on_device():
    x = Tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3), requires_grad=True)
    moved = Tensor(x.data, requires_grad=True, device=EMULATOR)
    return x, moved


ONES, LABELS = np.ones((2, 3), np.float32), np.array([0, 2])
BESIDE = {
    "x + array": lambda x: x + ONES,
    "array * x": lambda x: ONES * x,
    "x @ array": lambda x: x @ ONES.T,
    "array @ x": lambda x: ONES.T @ x,
    "where": lambda x: tg.where(ONES > 0, x, ONES),
    "concatenate": lambda x: tg.concatenate([ONES, x]),
    "np.maximum": lambda x: np.maximum(ONES, x),
    "linear": lambda x: tg.linear(x, ONES.T, np.ones(2, np.float32)),
    "cross_entropy": lambda x: losses.cross_entropy(x, LABELS),
    "cross_entropy with probabilities": lambda x: losses.cross_entropy(x, ONES / 3),
    "nll": lambda x: losses.nll(x, LABELS),
    "mse": lambda x: losses.mse(x, ONES),
    "binary": lambda x: losses.binary_cross_entropy_with_logits(x, ONES),
    "kl_divergence": lambda x: losses.kl_divergence(x, ONES),
    "x[array]": lambda x: x[LABELS - 1],
    "x[mask]": lambda x: x[ONES > 0],
}


@needs_emulator
@pytest.mark.parametrize("name", BESIDE)
def test_a_numpy_array_is_copied_to_the_device_of_the_tensor_beside_it(name):
    x, moved = on_device()
    expected, found = BESIDE[name](x), BESIDE[name](moved)
    assert found.device == EMULATOR
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    expected.sum().backward()
    found.sum().backward()
    np.testing.assert_allclose(moved.grad.numpy(), x.grad.numpy(), rtol=1e-6)


@needs_emulator
def test_a_numpy_array_is_written_into_a_tensor_of_another_device():
    x = tg.zeros((2, 3), device=EMULATOR)
    x[0] = np.arange(3)
    x += ONES
    assert x.numpy().tolist() == [[1, 2, 3], [1, 1, 1]]


@needs_emulator
def test_two_tensors_on_two_devices_are_refused():
    x, moved = on_device()
    for call in (
        lambda: x + moved,
        lambda: moved @ x.T,
        lambda: losses.mse(moved, x),
        lambda: store(moved.detach(), 0, x[0].detach()),
        lambda: store(x.detach(), 0, moved[0].detach()),
    ):
        with pytest.raises(tg.DeviceError, match="bring them together"):
            call()


def test_what_no_op_has_goes_to_numpy():
    t = Tensor([3.0, 4.0])
    assert np.pad(t, 1, mode="mean").tolist() == [3.5, 3, 4, 3.5]
    assert np.pad(t, 1, constant_values=2).tolist() == [2, 3, 4, 2]
    assert np.maximum(t, [5.0, 1.0]).tolist() == [5, 4]
    assert np.isclose(t, [3.0, 5.0]).tolist() == [True, False]
    assert np.clip(t, [3.5, 0.0], 10).tolist() == [3.5, 4]
    recorded = Tensor([3.0, 4.0], requires_grad=True)
    for call in (
        lambda: np.pad(recorded, 1, mode="mean"),
        lambda: np.maximum(recorded, [5.0, 1.0]),
        lambda: np.clip(recorded, [3.5, 0.0], 10),
    ):
        with pytest.raises(TypeError, match="would lose the gradient"):
            call()

"""The array API: every function beside array-api-strict's, and Tensors in others' programs."""

import os
import subprocess
import sys

import numpy as np
import pytest
from needed import imported, needs_emulator
from source_tree import ROOT
from standard_count import compared, disagreements

import tinygrad_like as tg
from tinygrad_like import Tensor

xp = tg.array_api


@pytest.mark.parametrize("most", [30, pytest.param(None, marks=pytest.mark.long)])
def test_every_function_of_the_standard_agrees_with_array_api_strict(most):
    found = compared(imported("array_api_strict"), most)
    wrong = {name: problems for name, problems in found.items() if problems}
    assert len(found) >= 248
    assert not wrong


def test_a_wrong_function_is_found(monkeypatch):
    """Values, dtypes, shapes, signs of zeros and errors count."""
    strict = imported("array_api_strict")
    for wrong in (
        lambda x: tg.floor(x) + 1,
        lambda x: tg.trunc(x).astype("float64"),
        lambda x: tg.trunc(x)[None],
        lambda x: tg.trunc(x) + 0.0,
        lambda x: tg.trunc(x.upper()),
    ):
        monkeypatch.setattr(xp, "trunc", wrong)
        assert disagreements("trunc", strict)


def test_the_namespace_of_a_tensor():
    t = Tensor([1.0])
    assert t.__array_namespace__() is t.__array_namespace__(api_version="2024.12") is xp
    with pytest.raises(ValueError, match="api_version is '2020-1'"):
        t.__array_namespace__(api_version="2020-1")
    assert imported("array_api_compat").array_namespace(t, t) is xp
    assert xp.__array_namespace_info__().devices()[0] == "cpu"


def test_gradients_flow_through_the_namespace():
    def f(x):
        q = xp.linalg.qr(xp.concat([x, xp.eye(2)], axis=0)).R
        return xp.sum(xp.where(q > 0, xp.exp(q), xp.real(xp.fft.fft(q))), dtype=xp.float64)

    tg.gradcheck(f, np.array([[1.0, 0.5], [-0.3, 2.0]]), order=2)
    x = Tensor([1.5, -2.0], requires_grad=True)
    xp.sum(xp.astype(xp.sort(xp.clip(x, -1.0, 9.0)), xp.float64) * 2).backward()
    assert x.grad.tolist() == [2.0, 0.0]


def test_what_the_standard_leaves_undefined_is_refused_by_name():
    for arguments, reason in (
        ((xp.int64, xp.float32), "no common dtype"),
        ((xp.int64, xp.uint64), "no common dtype"),
        ((xp.int64, 2.5), "does not hold 2.5"),
        ((xp.bool, 1), "does not hold 1"),
        ((1, 2.0), "numbers alone"),
    ):
        with pytest.raises(TypeError, match=reason):
            xp.result_type(*arguments)
    for f, reason in (
        (lambda: xp.finfo(xp.int8), r"\[finfo\] got int8"),
        (lambda: xp.iinfo(xp.float32), r"\[iinfo\] got float32"),
        (lambda: xp.isdtype(3, "bool"), r"\[isdtype\] got 3"),
    ):
        with pytest.raises(TypeError, match=reason):
            f()
    for f, reason in (
        (lambda: xp.isdtype(xp.int8, "float"), "kind is 'float'"),
        (lambda: xp.asarray([1, 2], copy=False), "copy is False"),
        (lambda: xp.asarray(Tensor([1]), dtype=xp.int8, copy=False), "copy is False"),
        (lambda: xp.reshape(Tensor([[1, 2], [3, 4]]).T, (4,), copy=False), "copy is False"),
        (lambda: xp.linalg.vecdot(xp.ones(1), xp.ones(3)), "expected equal"),
        (lambda: Tensor([1]).to_device("cpu", stream=3), "stream is 3"),
    ):
        with pytest.raises(ValueError, match=reason):
            f()
    with pytest.raises(tg.GraphError, match=r"\[nextafter\]"):
        xp.nextafter(Tensor([1.0], requires_grad=True), xp.ones(1))
    with pytest.raises(tg.DeviceError):
        xp.zeros(3, device="float32")


def test_memory_is_shared_or_copied_as_asked():
    array = np.arange(3.0)
    for copy, shared in ((None, False), (True, False), (False, True)):
        assert np.shares_memory(xp.asarray(array, copy=copy).data, array) is shared
    t = Tensor([1.0, 2.0])
    assert xp.asarray(t) is xp.asarray(t, copy=False) is xp.astype(t, xp.float32, copy=False) is t
    for other in (
        xp.asarray(t, copy=True),
        xp.astype(t, xp.float32),
        xp.reshape(t, (2,), copy=True),
    ):
        assert not np.shares_memory(other.data, t.data)


def test_isin_heeds_invert():
    x = Tensor([1, 2, 3])
    assert xp.isin(x, Tensor([2]), invert=True).tolist() == [True, False, True]


@needs_emulator
def test_on_the_emulator_arrays_stay_on_their_device():
    x = xp.asarray([1.0, -2.0, 2.0], device="cuda-emulator")
    for y in (
        *(xp.zeros_like(x), xp.full_like(x, 3), xp.astype(x, xp.float64), xp.nextafter(x, x + 1)),
        *(xp.where(x > 0, x, 0), xp.concat([x, x]), xp.unique_all(x).counts, xp.vecdot(x, x)),
        *(
            xp.cumulative_sum(x, include_initial=True),
            xp.eye(2, device=x.device),
            x.to_device(x.device),
        ),
        xp.linspace(0, 1, 3, device=x.device),
    ):
        assert y.device == "cuda-emulator"
    back = x.to_device("cpu")
    assert (back.device, back.tolist()) == ("cpu", [1.0, -2.0, 2.0])
    assert tg.from_dlpack(np.ones(2), device="cuda-emulator").device == "cuda-emulator"
    with pytest.raises(ValueError, match="copy is False"):
        tg.from_dlpack(np.ones(2), device="cuda-emulator", copy=False)


@pytest.mark.long
def test_scipy_and_scikit_learn_compute_on_tensors():
    """Both look at SCIPY_ARRAY_API as they are imported: a process of its own."""
    imported("sklearn")
    code = """
import numpy as np, tinygrad_like as tg, sklearn
from scipy import special, stats, cluster
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
x = tg.randn((20, 3))
print(type(special.logsumexp(x, axis=0)).__name__, type(stats.zscore(x)).__name__)
with sklearn.config_context(array_api_dispatch=True):
    y = PCA(n_components=2, svd_solver="full").fit_transform(x)
    print(type(y).__name__, y.shape, round(float(r2_score(x, x)), 3))
"""
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT.parent,
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split("\n")[:2] == ["Tensor Tensor", "Tensor (20, 2) 1.0"]

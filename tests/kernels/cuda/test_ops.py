"""Every op and its gradients on the emulated GPU, through the CUDA kernels, as on the CPU."""

import itertools

import numpy as np
from device_calls import NAMES, derivatives
from grouped import grouped
from op_calls import family_of, only_ops, op_of
from tinygrad_like.kernels.cuda import emulator

import tinygrad_like as tg
from tinygrad_like import Tensor, backend


def on_emulator(array):
    return Tensor(array, device="cuda-emulator")


@grouped(
    "name order", itertools.product(NAMES, [1, 2]), by=op_of, brief=only_ops(4), together=family_of
)
def test_an_op_and_its_gradients_are_those_of_the_cpu(name, order):
    tg.seed(0)
    with tg.use_kernels("vendor"):
        expected = derivatives(name, Tensor, order)
    tg.seed(0)
    found = derivatives(name, on_emulator, order)
    assert {type(a) for a in found} == {emulator.DeviceArray}
    to_host = backend.get("cuda-emulator").to_host
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(to_host(a), b, rtol=1e-9, atol=1e-12)

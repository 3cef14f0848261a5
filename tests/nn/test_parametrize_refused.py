"""What parametrize and unparametrize refuse, and what they then leave as it was."""

import numpy as np
import pytest
from parametrized import model

import tinygrad_like as tg
from tinygrad_like import nn


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda n: nn.parametrize([n], "0.weight", nn.WeightNorm()), TypeError, "module is a list"),
        (lambda n: nn.parametrize(n, "0.weight", nn.WeightNorm), TypeError, "expected an instance"),
        (lambda n: nn.parametrize(n, 0, nn.WeightNorm()), TypeError, "a pattern is 0"),
        (lambda n: nn.parametrize(n, "0.wieght", nn.WeightNorm()), ValueError,
         r"\[parametrize\] '0.wieght' names no parameter; similar are 0.weight"),
        (lambda n: nn.parametrize(n, "*", nn.WeightNorm()), ValueError,
         r"weight is \(6,\), .* \(for 0\.bias\)"),
        (lambda n: nn.unparametrize(n, "0.weight"), ValueError, "there is no parametrized weight"),
        (lambda n: nn.unparametrize(n, "*", keep=1), ValueError, "keep is 1"),
        (lambda n: nn.unparametrize(None, "*"), TypeError, "module is a NoneType"),
    ],
)  # fmt: skip
def test_misuse_is_named_and_changes_nothing(call, error, words):
    net = model()
    before = [*net.named_parameters()]
    with pytest.raises(error, match=words):
        call(net)
    for (path, p), (same, q) in zip(net.named_parameters(), before, strict=True):
        assert path == same
        assert p is q
        assert p.requires_grad


def test_a_weight_that_is_computed_is_not_assigned_or_deleted():
    layer = nn.parametrize(nn.LSTM(4, 3), "*.recurrent", nn.WeightNorm())
    dense = nn.parametrize(nn.Dense(4, 2), "weight", nn.WeightNorm())
    with pytest.raises(TypeError, match=r"weight is computed by WeightNorm .* weight\.direction"):
        dense.weight = tg.ones((4, 2))
    with pytest.raises(TypeError, match=r"nn\.unparametrize"):
        del dense.weight
    with pytest.raises(TypeError, match="recurrent is computed by WeightNorm"):
        layer.layers[0]["forward"]["recurrent"] = tg.ones((3, 12))
    dense.bias = tg.ones(2)
    assert dense.bias.numpy().tolist() == [1, 1]


def test_a_weight_in_a_list_is_refused():
    class Listed(nn.Module):
        def __init__(self):
            self.ws = [nn.init.normal((2, 2))]

    with pytest.raises(TypeError, match=r"ws|0 of Listed lies in a list or dict"):
        nn.parametrize(Listed(), "ws.0", nn.WeightNorm())


def test_a_parametrization_is_copied_for_each_weight():
    one = nn.LowRank(1)
    net = model(one)
    assert vars(net[0])["weight"] is not vars(net[2])["weight"]
    assert one.num_parameters() == 0
    with pytest.raises(ValueError, match="this LowRank computes a weight already"):
        nn.parametrize(nn.Dense(2, 2), "weight", vars(net[0])["weight"])


def test_unparametrize_without_keep_gives_back_what_was_stored():
    net = model()
    w = net[0].weight
    nn.parametrize(net, "0.weight", nn.LowRank(1))
    vars(net[0])["weight"].up.data = np.ones((1, 6))
    nn.unparametrize(net, "0.weight", keep=False)
    assert net[0].weight is w
    assert w.requires_grad
    nn.parametrize(net, "0.weight", nn.Orthogonal())
    with pytest.raises(ValueError, match=r"0\.weight \(4, 6\) is computed from \(14,\)"):
        nn.unparametrize(net, "*", keep=False)

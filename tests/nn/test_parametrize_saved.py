"""Computed weights that are saved, copied, moved to a device or tied."""

import pickle

import numpy as np
import pytest
from module_walk import COPIES, paths
from parametrized import X, model

import tinygrad_like as tg
from tinygrad_like import nn, optim


class Tied(nn.Module):
    """A language model whose head is the embedding."""

    def __init__(self, ties=True):
        self.token = nn.Embedding(7, 4)
        self.head = nn.Module()
        self.head.weight = self.token.weight if ties else nn.init.normal((7, 4))

    def forward(self, ids):
        return self.token(ids) @ self.head.weight.T


# Saved, copied, moved


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_a_copy_computes_the_same_by_parameters_of_its_own(duplicate):
    net = model(nn.SpectralNorm())
    net(X)
    twin = duplicate(net)
    assert type(twin[0]) is type(net[0])
    assert paths(twin) == paths(net)
    np.testing.assert_array_equal(twin(X).numpy(), net(X).numpy())
    before = net[0].weight.numpy().copy()
    vars(twin[0])["weight"].original.data = np.ones((4, 6))
    np.testing.assert_array_equal(net.eval()[0].weight.numpy(), net[0].weight.numpy())
    assert np.abs(twin[0].weight.numpy() - before).max() > 0.01
    nn.unparametrize(twin, "*")
    assert type(twin[0]) is nn.Dense


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle_keeps_it(protocol):
    layer = nn.parametrize(nn.Dense(4, 2), "weight", nn.WeightNorm())
    twin = pickle.loads(pickle.dumps(layer, protocol))
    np.testing.assert_array_equal(twin(X).numpy(), layer(X).numpy())


def test_states_go_through_a_file(tmp_path):
    net, other = model(nn.SpectralNorm()), model(nn.SpectralNorm())
    for _ in range(3):
        net(X)
    vars(net[0])["weight"].original.data = tg.randn((4, 6))
    tg.io.save(tmp_path / "model.safetensors", net.state_dict())
    assert not other.load_state_dict(tg.io.load(tmp_path / "model.safetensors"))
    assert other.eval()(X).numpy().tobytes() == net.eval()(X).numpy().tobytes()
    assert "0.weight.original" in net.state_dict()
    assert "0.weight.u" in net.state_dict()


def test_a_state_of_the_other_kind_is_refused_with_the_cure():
    plain, computed = model(), model(nn.WeightNorm())
    before = computed.state_dict()
    with pytest.raises(nn.StateError, match=r"0\.weight, 2\.weight: the model computes this"):
        computed.load_state_dict(plain.state_dict())
    with pytest.raises(nn.StateError, match=r"0\.weight, 2\.weight: the state is of a model that"):
        plain.load_state_dict(before)
    for path, x in computed.state_dict().items():
        np.testing.assert_array_equal(x.numpy(), before[path].numpy())
    plain.load_state_dict(nn.unparametrize(computed, "*").state_dict())


def test_weights_of_torch_need_ordinary_weights():
    net = model(nn.WeightNorm())
    with pytest.raises(TypeError, match=r"0\.weight, 2\.weight .* nn\.unparametrize"):
        tg.interchange.to_torch(net)
    with pytest.raises(TypeError, match=r"\[load_torch\] 0\.weight, 2\.weight .* are computed"):
        tg.interchange.load_torch(net, {})


def test_a_gpt2_is_not_loaded_into_computed_weights():
    gpt = nn.parametrize(nn.GPT(5, 4, 8, 1, 2), "*.query.weight", nn.LowRank(2))
    with pytest.raises(TypeError, match=r"attention\.query\.weight .* nn\.unparametrize"):
        tg.interchange.load_gpt2(gpt, {})


def test_to_moves_what_is_stored():
    net = model(nn.SpectralNorm()).to("float64")
    assert {x.dtype.name for _, x in (*net.named_parameters(), *net.named_buffers())} == {"float64"}
    assert net[0].weight.dtype == net(X.astype("float64")).dtype == np.float64


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("make", [nn.WeightNorm, nn.SpectralNorm, nn.Orthogonal])
def test_training_on_a_device_is_training_on_the_cpu(make, device):
    losses = []
    for where in ("cpu", device):
        net = model(make()).to(where)
        optimizer = optim.Adam(net.parameters(), 0.05)
        for _ in range(3):
            optimizer.zero_grad()
            loss = (net(tg.Tensor(X, device=where)) ** 2).mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


# Ties


@pytest.mark.parametrize("name", ["token.weight", "head.weight", "*"])
def test_tied_weights_stay_tied(name):
    net = Tied()
    nn.parametrize(net, name, nn.WeightNorm())
    assert paths(net)[0] == ["token.weight.direction", "token.weight.length"]
    assert vars(net.head)["weight"] is vars(net.token)["weight"]
    ids = np.array([[1, 2]])
    for duplicate in COPIES.values():
        twin = duplicate(net)
        assert vars(twin.head)["weight"] is vars(twin.token)["weight"]
        np.testing.assert_array_equal(twin(ids).numpy(), net(ids).numpy())
    net(ids).sum().backward()
    w = tg.Tensor(net.token.weight.numpy(), requires_grad=True)
    (w[ids] @ w.T).sum().backward()
    got = vars(net.token)["weight"].length.grad.numpy()
    lengths = vars(net.token)["weight"].length.numpy()
    expected = (w.grad.numpy() * w.numpy() / lengths).sum(0, keepdims=True)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    nn.unparametrize(net, name)
    assert net.head.weight is net.token.weight
    assert type(net.head) is nn.Module


@pytest.mark.parametrize("parametrized", [False, True])
def test_ties_go_through_files(tmp_path, parametrized):
    """Into a model that ties them itself; into one that does not, the second place is missing."""
    net, ids = Tied(), np.array([[1, 2]])
    others = Tied(), Tied(ties=False)
    if parametrized:
        for one in (net, *others):
            nn.parametrize(one, "*.weight", nn.WeightNorm())
    tg.io.save(tmp_path / "model.safetensors", net.state_dict())
    state = tg.io.load(tmp_path / "model.safetensors")
    fresh, untied = others
    assert not fresh.load_state_dict(state)
    assert len(fresh.parameters()) == len(net.parameters())
    np.testing.assert_array_equal(fresh(ids).numpy(), net(ids).numpy())
    before = {path: x.numpy().tobytes() for path, x in untied.state_dict().items()}
    with pytest.raises(nn.StateError, match=r"missing: head\.weight"):
        untied.load_state_dict(state)
    assert {path: x.numpy().tobytes() for path, x in untied.state_dict().items()} == before
    with pytest.raises(nn.StateError, match=r"unexpected: head\.weight"):
        net.load_state_dict(untied.state_dict())

"""The dtype of a layer is its parameters', for inputs of any dtype; and what is said about it."""

import itertools
import warnings

import numpy as np
import pytest
from grouped import grouped

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.nn.base import dtype as rule

IMAGE, SEQUENCE = (2, 4, 5, 6), (2, 3, 4)
LAYERS = {
    "dense": (lambda: nn.Dense(4, 3), SEQUENCE),
    "conv1d": (lambda: nn.Conv1D(3, 2, 2), SEQUENCE),
    "conv2d": (lambda: nn.Conv2D(4, 2, 3), IMAGE),
    "conv_transpose2d": (lambda: nn.ConvTranspose2D(4, 2, 3), IMAGE),
    "batch_norm": (lambda: nn.BatchNorm(4), IMAGE),
    "batch_norm no affine": (lambda: nn.BatchNorm(4, affine=False), IMAGE),
    "batch_norm eval": (lambda: nn.BatchNorm(4).eval(), IMAGE),
    "layer_norm": (lambda: nn.LayerNorm(4), SEQUENCE),
    "rms_norm": (lambda: nn.RMSNorm(4), SEQUENCE),
    "group_norm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "rnn": (lambda: nn.RNN(4, 3, 2), SEQUENCE),
    "gru": (lambda: nn.GRU(4, 3, bidirectional=True), SEQUENCE),
    "lstm": (lambda: nn.LSTM(4, 3), SEQUENCE),
    "attention": (lambda: nn.MultiHeadAttention(4, 2, rotary=True), SEQUENCE),
    "additive attention": (lambda: Twice(nn.AdditiveAttention(4, 4, 3)), SEQUENCE),
    "positions": (lambda: nn.LearnedPositions(5, 4), SEQUENCE),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(4, 2, 8), SEQUENCE),
    "encoder": (lambda: nn.TransformerEncoder(4, 2, 8, 2, norm_first=False), SEQUENCE),
    "decoder": (lambda: Twice(nn.TransformerDecoder(4, 2, 8, 2)), SEQUENCE),
    "decoder layer": (lambda: Twice(nn.TransformerDecoderLayer(4, 2, 8)), SEQUENCE),
    "sequential": (
        lambda: nn.Sequential(nn.Dense(4, 3), nn.ReLU(), nn.Dropout(0.0), nn.LayerNorm(3)),
        SEQUENCE,
    ),
}


FLOATS = np.float64, np.float32, np.float16


class Twice(nn.Module):
    """A layer that is called with its input twice."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        return self.layer(x, x)


def outputs(layer, x):
    found = layer(x)
    flat = []
    while isinstance(found, tuple):
        flat.append(found[0])
        found = found[1] if len(found) == 2 else found[1:]
    return [*flat, found]


@pytest.mark.filterwarnings("ignore:.*computes in:UserWarning")
@pytest.mark.parametrize("name", LAYERS)
@grouped("own given raw", itertools.product(FLOATS, FLOATS, [False, True]))
def test_the_output_has_the_dtype_of_the_parameters(name, own, given, raw):
    make, shape = LAYERS[name]
    layer = make().to(own)
    x = np.random.default_rng(0).random(shape).astype(given)
    found = outputs(layer, x if raw else tg.Tensor(x))
    assert {y.dtype for y in found} == {np.dtype(own)}
    expected = outputs(layer, tg.Tensor(x.astype(own)))
    for y, z in zip(found, expected, strict=True):
        np.testing.assert_array_equal(tg.Tensor(y).numpy(), z.numpy())


@pytest.mark.filterwarnings("ignore:.*computes in:UserWarning")
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_returns_in_the_dtype_of_the_input(name):
    make, shape = LAYERS[name]
    layer = make()
    x = tg.Tensor(np.random.default_rng(0).random(shape), requires_grad=True)
    (outputs(layer, x)[0] ** 2).sum().backward()
    assert x.grad.dtype == np.float64
    assert np.any(x.grad.numpy() != 0)
    assert {p.grad.dtype for p in layer.parameters()} <= {np.dtype(np.float32)}


@pytest.mark.parametrize("own", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("given", [np.uint8, np.int64, bool])
@pytest.mark.parametrize("name", ["dense", "conv2d", "layer_norm", "batch_norm"])
def test_integers_are_taken_in_the_dtype_of_the_parameters(name, own, given):
    make, shape = LAYERS[name]
    layer = make().to(own)
    assert layer(np.ones(shape, given)).dtype == own


def test_large_integers_keep_their_digits_in_float64():
    layer = nn.Dense(1, 1, bias=False).to(np.float64)
    layer.weight.data = np.ones((1, 1))
    assert layer(tg.Tensor([[2**53 - 1]])).item() == 2**53 - 1


def test_the_states_of_recurrent_layers_are_cast():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.LSTM(4, 3)
        states = np.zeros((1, 2, 3)), np.zeros((1, 2, 3))
        out, (h, c) = layer(tg.ones(SEQUENCE), states)
    assert out.dtype == h.dtype == c.dtype == np.float32


def test_it_is_said_once_and_where():
    rule._say_that_digits_are_lost.cache_clear()
    model = nn.Sequential(nn.Sequential(nn.Dense(3, 4)), nn.Dense(4, 2))
    with pytest.warns(UserWarning, match=r"float32 parameters got float64 input") as caught:
        model(np.ones((2, 3)))
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(np.ones((2, 3)))
        nn.LayerNorm(3)(tg.Tensor(np.ones((2, 3))))
        model(np.ones((2, 3), np.float16))  # widened: nothing is lost
        model.to(np.float64)(tg.ones((2, 3)))


def test_autocast_is_left_alone():
    model = nn.Sequential(nn.Dense(3, 4), nn.LayerNorm(4), nn.Dense(4, 4), nn.Dense(4, 2))
    x = tg.randn((2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tg.autocast("float16"):
            y = model(x)
            assert y.dtype == np.float16
            assert model[0](x).dtype == np.float16
            assert model[1](model[0](x)).dtype == np.float32
            between = model[2](model[1](model[0](x)))
            (parent, *_) = model[3](between).node.parents
            assert parent is between.node  # half goes from product to product without a cast
    rule._say_that_digits_are_lost.cache_clear()
    with tg.autocast("float16"), pytest.warns(UserWarning, match="got float64"):
        assert model(x.astype(np.float64)).dtype == np.float16


def test_gradcheck_of_a_layer_in_float64():
    layer = nn.Dense(3, 2).to(np.float64)
    tg.gradcheck(lambda x: (layer(x) ** 2).sum(), np.random.default_rng(0).random((2, 3)))


@pytest.mark.parametrize("index", [2, -3])
def test_the_padding_of_an_embedding_is_zero_and_stays(index):
    layer = nn.Embedding(5, 3, padding_idx=index)
    assert layer.padding_idx == 2
    assert np.all(layer.weight.numpy()[2] == 0)
    ids = np.array([[2, 1, 2], [1, 0, 2]])
    for given in (ids, tg.Tensor(ids)):
        layer.zero_grad()
        y = layer(given)
        np.testing.assert_array_equal(y.numpy(), layer.weight.numpy()[ids])
        (y + 1.0).sum().backward()
        np.testing.assert_array_equal(layer.weight.grad.numpy()[:, 0], [1, 2, 0, 0, 0])
    (layer.weight * 2.0).sum().backward()  # used elsewhere, too
    assert np.all(layer.weight.grad.numpy()[2] == 2)
    for wrong in (5, -6, 1.5, "a"):
        kind = ValueError if type(wrong) is int else TypeError
        with pytest.raises(kind, match=r"\[Embedding\] padding_idx is"):
            nn.Embedding(5, 3, padding_idx=wrong)


def test_a_buffer_of_another_dtype_does_not_widen_what_a_layer_computes():
    norm = nn.BatchNorm(3)
    norm.running_mean = tg.Tensor(np.full(3, 2.0))
    assert norm.running_mean.dtype == np.float32
    np.testing.assert_array_equal(norm.running_mean.numpy(), [2, 2, 2])
    for in_training in (True, False):
        assert norm.train(in_training)(tg.ones((2, 3))).dtype == np.float32

    class Averages(nn.Module):
        def __init__(self):
            self.mean, self.seen = tg.zeros(2), tg.Tensor([0])

        def forward(self, x):
            self.mean = 0.5 * self.mean + 0.5 * x.mean(axis=0)
            self.seen = self.seen + 1
            return x

    model = Averages()
    model(tg.Tensor(np.ones((1, 2)), requires_grad=True))
    assert model.mean.dtype == np.float32
    np.testing.assert_array_equal(model.mean.numpy(), [0.5, 0.5])
    model.seen = tg.Tensor(np.array([True]))  # not floating: as it is
    assert model.seen.dtype == bool
    model.mean = tg.ones(3, dtype="float16")  # of another shape, as a hidden state may be
    assert (model.mean.shape, model.mean.dtype) == ((3,), np.float32)


def test_batch_norm_takes_real_arrays_only():
    for layer in (nn.BatchNorm(2), nn.BatchNorm(2).eval()):
        with pytest.raises(TypeError, match=r"\[BatchNorm\] x is complex128, expected floating"):
            layer(np.ones((3, 2), complex))
        with pytest.raises(TypeError, match=r"\[BatchNorm\] x is a list, expected a Tensor or an"):
            layer([[1.0, 2.0]])


def test_batch_norms_estimates_in_float16_overflow_to_infinity_not_to_nan():
    norm = nn.BatchNorm(1).to(np.float16)
    x = tg.Tensor(np.float16([[0.0], [60_000.0]]))
    for _ in range(3):
        norm(x)
    assert norm.running_var.tolist() == [np.inf]

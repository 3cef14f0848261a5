"""from_torch: PyTorch models made again of our layers, and what is refused by name."""

import warnings

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import Tensor, nn
from tinygrad_like.interchange import from_torch
from tinygrad_like.interchange.weights import links_of

torch = imported("torch")
T = torch.nn

ACTIVATIONS = (
    "CELU ELU GELU Hardshrink Hardswish Hardtanh ReLU LeakyReLU ReLU6 SELU Sigmoid LogSigmoid SiLU "
    "Softplus Softshrink Softsign Tanh Tanhshrink Mish PReLU Identity Hardsigmoid"
).split()


def encoder(**options):
    return T.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, **options)


# name: (PyTorch's model, the shape of its input, how often it is given; None: integers below 7)
MODELS = {
    "convolutions": (
        lambda: T.Sequential(
            T.Conv2d(3, 4, 3, padding=1, groups=1),
            T.BatchNorm2d(4, momentum=None),
            T.Sequential(T.ReLU(), T.MaxPool2d(2), T.Flatten()),
            T.Linear(16, 5, bias=False),
            T.BatchNorm1d(5, affine=False),
        ),
        (4, 3, 4, 4),
        1,
    ),
    "along one axis": (
        lambda: T.Sequential(
            T.Conv1d(2, 3, 3, padding="same", padding_mode="reflect"),
            T.ConvTranspose1d(3, 3, 3, stride=2, output_padding=1, dilation=2),
            T.AvgPool1d(2),
            T.InstanceNorm1d(3, affine=True, track_running_stats=True),
        ),
        (2, 2, 6),
        1,
    ),
    "sizes": (
        lambda: T.Sequential(
            T.AvgPool2d(2, 1, 1, count_include_pad=False),
            T.LPPool2d(2, 2),
            T.AdaptiveAvgPool2d((3, 2)),
            T.Upsample(scale_factor=2, mode="bilinear"),
            T.PixelShuffle(2),
            T.GroupNorm(1, 1),
            T.LocalResponseNorm(3),
            T.Unflatten(1, (1, 1)),
        ),
        (2, 4, 9, 9),
        1,
    ),
    "activations": (
        lambda: T.Sequential(
            *(getattr(T, name)() for name in ACTIVATIONS),
            *(T.Softmax(-1), T.LogSoftmax(1), T.GELU("tanh"), T.GLU(), T.Dropout(0.0)),
        ),
        (4, 6),
        1,
    ),
    "norms": (
        lambda: T.Sequential(
            *(T.RMSNorm(4), T.RMSNorm((2, 4), eps=1e-3), T.LayerNorm(4, bias=False)),
            T.LayerNorm(4, elementwise_affine=False),
        ),
        (3, 2, 4),
        1,
    ),
    "embedding": (
        lambda: T.Sequential(T.Embedding(7, 4, padding_idx=2), T.Linear(4, 2)),
        None,
        1,
    ),
    "lstm": (lambda: T.LSTM(4, 5, 2, bidirectional=True, batch_first=True), (2, 6, 4), 1),
    "gru": (lambda: T.GRU(4, 5, bidirectional=True, batch_first=True), (2, 6, 4), 1),
    "rnn": (lambda: T.RNN(4, 5, nonlinearity="relu", batch_first=True), (2, 6, 4), 1),
    "attention": (
        lambda: T.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True, add_zero_attn=True),
        (2, 6, 8),
        3,
    ),
    "encoder layer": (
        lambda: encoder(activation="gelu", norm_first=True, layer_norm_eps=1e-3),
        (2, 6, 8),
        1,
    ),
    "encoder": (lambda: T.TransformerEncoder(encoder(), 2), (2, 6, 8), 1),
    "encoder with a norm": (
        lambda: T.TransformerEncoder(
            encoder(norm_first=True), 2, T.LayerNorm(8), enable_nested_tensor=False
        ),
        (2, 6, 8),
        1,
    ),
}


def first(y):
    return y[0] if isinstance(y, tuple) else y


QUICK = "embedding", "norms"  # the others load many kernels


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.long) for n in MODELS]
)
def test_a_model_computes_the_same_and_learns_the_same(name):
    """Outputs, gradients of weights and inputs, running statistics; in evaluation and training."""
    make, shape, times = MODELS[name]
    torch.manual_seed(0)
    theirs = make().double()
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.1 * torch.randn_like(p)
    ours = from_torch(theirs)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 7, (3, 4)) if shape is None else rng.standard_normal(shape)
    for training in (True, False):
        theirs.train(training)
        ours.train(training)
        a, b = torch.tensor(x), Tensor(x)
        if shape is not None:
            a.requires_grad, b.requires_grad = True, True
        expected, found = first(theirs(*[a] * times)), first(ours(*[b] * times))
        close(found, expected)
        theirs.zero_grad()
        ours.zero_grad()
        (expected**2).sum().backward()
        (found**2).sum().backward()
        if shape is not None:
            close(b.grad, a.grad)
        same_gradients(ours, theirs)
    state = theirs.state_dict()
    for link in links_of(ours):
        for path, array in zip(
            link.theirs, link.write(*(t.numpy() for t in link.ours)), strict=True
        ):
            if path in state and "bias_" not in path:  # of two biases there ours is the sum
                close(array, state[path])


def close(ours, theirs):
    ours = ours.detach().numpy() if isinstance(ours, Tensor) else ours
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-6, atol=1e-9)


def same_gradients(ours, theirs):
    named = dict(theirs.named_parameters())
    for link in links_of(ours):
        if any(t.grad is None for t in link.ours):
            continue
        gradients = link.write(*(t.grad.numpy() for t in link.ours))
        for path, g in zip(link.theirs, gradients, strict=True):
            if path in named and "bias_" not in path:
                close(g, named[path].grad)


def test_the_dtype_is_that_of_buffers_where_there_are_no_parameters():
    theirs = T.BatchNorm1d(3, affine=False).double()
    ours, x = from_torch(theirs), np.random.default_rng(0).standard_normal((4, 3))
    close(ours(Tensor(x)), theirs(torch.tensor(x)))
    assert ours.running_mean.dtype == np.float64


def test_modes_frozen_parameters_and_sharing_are_kept():
    linear = T.Linear(3, 3)
    theirs = T.Sequential(linear, T.BatchNorm1d(3), linear)
    linear.weight.requires_grad = False
    theirs[1].eval()
    ours = from_torch(theirs)
    assert ours[0] is ours[2]
    assert (ours.training, ours[0].training, ours[1].training) == (True, True, False)
    assert [ours[0].weight.requires_grad, ours[0].bias.requires_grad] == [False, True]
    assert from_torch(T.Linear(2, 2).half()).weight.dtype == np.float16
    layers = from_torch(T.Sequential(T.Dropout(0.25), T.Dropout2d(0.5), T.AlphaDropout(0.75)))
    assert [(type(x), x.p) for x in layers] == [
        *((nn.Dropout, 0.25), (nn.Dropout2D, 0.5), (nn.AlphaDropout, 0.75))
    ]


class Custom(T.Module):
    """A forward of its own."""


class OfLinear(T.Linear):
    """A class that derives from a known one may compute something else."""


def tied():
    model = T.Sequential(T.Linear(4, 4), T.Linear(4, 4))
    model[1].weight = model[0].weight
    return model


def with_hook():
    layer = T.Linear(2, 2)
    layer.register_forward_hook(lambda *_: None)
    return layer


def changed_within(change):
    model = T.TransformerEncoder(encoder(), 1)
    change(model.layers[0])
    return model


def patched():
    layer = T.Linear(2, 2)
    layer.forward = lambda x: x
    return layer


def with_backward_hook():
    layer = T.Linear(2, 2)
    layer.register_full_backward_pre_hook(lambda *_: None)
    return layer


REFUSED = {
    "hooks within": (
        lambda: changed_within(lambda e: e.linear1.register_forward_hook(lambda *_: None)),
        r"layers\.0\.linear1: is a Linear with hooks",
    ),
    "backward hooks": (with_backward_hook, "Linear with hooks"),
    "a patched forward": (patched, "Linear with a forward of its own"),
    "another sublayer": (
        lambda: changed_within(lambda e: setattr(e, "norm1", T.Identity())),
        "its norm1 is a Identity, expected a LayerNorm",
    ),
    "biases in some parts": (
        lambda: changed_within(lambda e: setattr(e, "linear2", T.Linear(16, 4, bias=False))),
        "some of its parts have a bias",
    ),
    "scripted": (lambda: torch.jit.script(T.Linear(2, 2)), "a class of its own"),
    "a class of its own": (Custom, "Custom, a class of its own"),
    "a derived class": (lambda: OfLinear(2, 2), "OfLinear, a class of its own"),
    "hooks": (with_hook, "Linear with hooks"),
    "parametrized": (
        lambda: torch.nn.utils.parametrizations.weight_norm(T.Linear(2, 2)),
        "ParametrizedLinear, a class of its own",
    ),
    "tied": (tied, r"1\.weight: is tied to 0\.weight"),
    "time first": (lambda: T.LSTM(2, 3), "LSTM with batch_first=False"),
    "time first, within": (
        lambda: T.TransformerEncoder(
            T.TransformerEncoderLayer(4, 2), 1, enable_nested_tensor=False
        ),
        "batch_first=False",
    ),
    "a decoder": (lambda: T.TransformerDecoderLayer(4, 2, batch_first=True), "causal=False"),
    "an activation": (
        lambda: encoder(activation=torch.tanh),
        "its activation is <built-in method tanh",
    ),
    "rates that differ": (
        lambda: setattr(layer := encoder(), "dropout1", T.Dropout(0.5)) or layer,
        "rates of dropout differ",
    ),
    "no counterpart": (lambda: T.ReflectionPad1d(2), "ReflectionPad1d, which has no counterpart"),
    "a setting": (lambda: T.Embedding(3, 2, max_norm=1.0), "max_norm: is None, PyTorch's is 1.0"),
    "no axis": (lambda: T.Softmax(), "its dim is None"),
    "bfloat16": (lambda: T.Linear(2, 2).bfloat16(), "bfloat16"),
    "two dtypes": (
        lambda: T.Sequential(T.Linear(2, 2), T.Linear(2, 2).double()),
        "weights of float32 and float64",
    ),
    "a list": (lambda: T.ModuleList([T.Linear(2, 2)]), "ModuleList, which has no counterpart"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_made_again_is_refused_by_name(name):
    make, reason = REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make()
    with pytest.raises(TypeError, match=reason):
        from_torch(model)


def test_every_layer_that_stands_in_the_way_is_named():
    model = T.Sequential(T.Linear(2, 2), Custom(), T.Sequential(OfLinear(2, 2), T.ZeroPad1d(2)))
    with pytest.raises(TypeError) as error:
        from_torch(model)
    lines = str(error.value).split("\n")
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["1", "2.0", "2.1"]
    for nonsense in (nn.Dense(2, 2), 3, T.Linear):
        with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module"):
            tg.interchange.from_torch(nonsense)

"""Gradients of each example, and of several models at once, for every layer: as in a loop."""

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

EXAMPLES = 3
RNG = np.random.default_rng(0)


def normal(*shape):
    return tg.Tensor(RNG.standard_normal((EXAMPLES, *shape)))


def ids(limit, *shape):
    return tg.Tensor(RNG.integers(0, limit, (EXAMPLES, *shape)))


def with_weight(parametrization):
    layer = nn.Dense(4, 5)
    nn.parametrize(layer, "weight", parametrization)
    return layer


def convolutional():
    return nn.Sequential(
        nn.Conv2D(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.GroupNorm(2, 4),
        nn.AvgPool2D(2),
        nn.Flatten(),
        nn.Dense(4, 3),
    )


def bert():
    return nn.BERT(11, 6, 8, 1, 2)


def head_of_bert(task):
    """With larger weights than it starts with, whose gradients would be small."""
    make = getattr(nn, f"BERTFor{task}")
    model = make(bert(), 3) if task.endswith("Classification") else make(bert())
    for p in model.parameters():
        if p.ndim == 2:
            p.data *= 20
    return model


# What a row is: (a layer, the shapes or ids of its inputs, for all examples)
LAYERS = {
    "Dense": lambda: (nn.Dense(4, 5), normal(4)),
    "Dense of rows": lambda: (nn.Dense(4, 5, bias=False), normal(2, 4)),
    "Conv1D": lambda: (nn.Conv1D(3, 4, 3), normal(2, 3, 7)),
    "Conv2D": lambda: (nn.Conv2D(4, 6, 3, padding=1, stride=2, groups=2), normal(2, 4, 6, 6)),
    "Conv2D dilated": lambda: (
        nn.Conv2D(2, 3, 3, padding="same", dilation=2, bias=False),
        normal(1, 2, 6, 6),
    ),
    "ConvTranspose2D": lambda: (nn.ConvTranspose2D(4, 6, 3, stride=2), normal(2, 4, 3, 3)),
    "BatchNorm": lambda: (nn.BatchNorm(4), normal(2, 4, 5)),
    "LayerNorm": lambda: (nn.LayerNorm((2, 4)), normal(3, 2, 4)),
    "RMSNorm": lambda: (nn.RMSNorm(4), normal(2, 4)),
    "GroupNorm": lambda: (nn.GroupNorm(2, 4), normal(2, 4, 5)),
    "Embedding": lambda: (nn.Embedding(7, 4, padding_idx=1), ids(7, 2, 5)),
    "RNN": lambda: (nn.RNN(4, 5), normal(2, 6, 4)),
    "GRU": lambda: (nn.GRU(4, 5, num_layers=2, bidirectional=True), normal(2, 6, 4)),
    "LSTM": lambda: (nn.LSTM(4, 5, num_layers=2, bidirectional=True), normal(2, 6, 4)),
    "MultiHeadAttention": lambda: (
        nn.MultiHeadAttention(8, 4, num_kv_heads=2, rotary=True),
        normal(2, 5, 8),
    ),
    "AdditiveAttention": lambda: (nn.AdditiveAttention(4, 5, 6), normal(2, 4), normal(2, 7, 5)),
    "TransformerEncoder": lambda: (nn.TransformerEncoder(8, 2, 16, 2), normal(2, 5, 8)),
    "TransformerDecoder": lambda: (
        nn.TransformerDecoder(8, 2, 16, 1),
        normal(2, 5, 8),
        normal(2, 4, 8),
    ),
    "GPT": lambda: (nn.GPT(11, 6, 8, 1, 2), ids(11, 2, 5)),
    "BERT": lambda: (bert(), ids(11, 2, 5), ids(2, 2, 5)),
    **{
        f"BERTFor{task}": lambda task=task: (head_of_bert(task), ids(11, 2, 5))
        for task in (
            *("MaskedLM", "NextSentencePrediction", "PreTraining"),
            *("SequenceClassification", "TokenClassification"),
        )
    },
    "RecurrentLM": lambda: (nn.RecurrentLM("gru", 11, 8, 1), ids(11, 2, 5)),
    "positions": lambda: (nn.LearnedPositions(9, 4), normal(2, 5, 4)),
    "convolutional": lambda: (convolutional(), normal(1, 2, 4, 4)),
    "Conv3D": lambda: (nn.Conv3D(2, 4, 2, groups=2, padding=1), normal(2, 2, 3, 2, 3)),
    "one image": lambda: (nn.Conv2D(2, 3, 2, padding=1, padding_mode="reflect"), normal(2, 4, 3)),
    "InstanceNorm": lambda: (nn.InstanceNorm(3, affine=True), normal(2, 3, 5)),
    "EmbeddingBag": lambda: (nn.EmbeddingBag(7, 4, padding_idx=1), ids(7, 2, 5)),
    "Bilinear": lambda: (nn.Bilinear(3, 2, 4), normal(2, 3), normal(2, 2)),
    "projected LSTM": lambda: (nn.LSTM(3, 4, proj_size=2), normal(2, 4, 3)),
    "attention with a key": lambda: (
        nn.MultiHeadAttention(4, 2, alibi=True, window=2, add_bias_kv=True),
        normal(2, 4, 4),
    ),
    "MixtureOfExperts": lambda: (nn.MixtureOfExperts(4, 3, 3), normal(2, 4)),
    "StateSpace": lambda: (nn.StateSpace(4, 2, expand=1), normal(2, 4, 4)),
    "WeightNorm": lambda: (with_weight(nn.WeightNorm()), normal(4)),
    "SpectralNorm": lambda: (with_weight(nn.SpectralNorm()), normal(4)),
    "Orthogonal": lambda: (with_weight(nn.Orthogonal("exp")), normal(4)),
    "LowRank": lambda: (with_weight(nn.LowRank(2)), normal(4)),
}


def loss(y):
    """A number that depends on every output."""
    leaves = [y] if isinstance(y, tg.Tensor) else [z for z in y if isinstance(z, tg.Tensor)]
    weights = [np.cos(np.arange(z.size)).reshape(z.shape) for z in leaves]
    return sum(((z * w) ** 2).sum() for z, w in zip(leaves, weights, strict=True))


def made(name):
    layer, *inputs = LAYERS[name]()
    layer = layer.to("float64").eval()
    gradient = tg.grad(lambda p, *xs: loss(tg.functional_call(layer, p, *xs)), allow_unused=True)
    state = {path: p.detach() for path, p in layer.named_parameters()}
    return layer, state, gradient, inputs


def rows(tree, i):
    return {path: tg.Tensor(x.numpy()[i]) for path, x in tree.items()}


def assert_equal_those_of_the_loop(found, expected):
    for path, g in found.items():
        whole = np.stack([one[path].numpy() for one in expected])
        size = max(np.abs(whole).max(), 1)
        np.testing.assert_allclose(g.numpy(), whole, rtol=1e-10, atol=1e-10 * size)
        assert not g.requires_grad
    assert any(np.abs(g.numpy()).max() > 0.01 for g in found.values())


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_of_each_example(name):
    _, state, gradient, inputs = made(name)
    found = tg.vmap(gradient, (None, *[0] * len(inputs)))(state, *inputs)
    expected = [gradient(state, *[x[i] for x in inputs]) for i in range(EXAMPLES)]
    assert_equal_those_of_the_loop(found, expected)


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_of_several_models_at_once(name):
    _, state, gradient, inputs = made(name)
    scale = 1 + 0.1 * np.arange(EXAMPLES)
    models = {
        path: tg.Tensor(x.numpy() * scale.reshape(-1, *(1,) * x.ndim)) for path, x in state.items()
    }
    found = tg.vmap(gradient)(models, *inputs)
    expected = [gradient(rows(models, i), *[x[i] for x in inputs]) for i in range(EXAMPLES)]
    assert_equal_those_of_the_loop(found, expected)


def test_parameters_get_the_sum_of_the_gradients_of_examples():
    layer, state, gradient, (x,) = made("convolutional")
    losses = tg.vmap(lambda x: loss(layer(x)))(x)
    assert losses.requires_grad
    losses.sum().backward()
    each = tg.vmap(gradient, (None, 0))(state, x)
    for path, p in layer.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), each[path].numpy().sum(0), rtol=1e-10)


def test_what_nothing_outside_differentiates_keeps_no_graph():
    layer, _, _, (x,) = made("convolutional")
    with tg.no_grad():
        assert not tg.vmap(layer)(x).requires_grad
        found = tg.vmap(tg.grad(lambda x: loss(layer(x))))(x)
    assert not found.requires_grad
    layer.freeze("*")
    assert not tg.vmap(layer)(x).requires_grad


# Sequences of different lengths, labels that are ignored, dropout


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("both", [False, True])
def test_each_example_may_have_its_own_lengths(layer, both):
    model = layer(4, 5, bidirectional=both).to("float64")
    state = {path: p.detach() for path, p in model.named_parameters()}
    x, lengths = normal(2, 4, 4), tg.Tensor([[2, 4], [1, 1], [0, 4]])

    def total(p, x, lengths):
        return loss(tg.functional_call(model, p, x, lengths=lengths)[0])

    gradient = tg.grad(total)
    found = tg.vmap(gradient, (None, 0, 0))(state, x, lengths)
    assert_equal_those_of_the_loop(
        found, [gradient(state, x[i], lengths[i]) for i in range(EXAMPLES)]
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_each_example_ignores_labels_of_its_own(reduction):
    logits, labels = normal(6, 4), ids(4, 6)

    def f(logits, labels):
        return tg.losses.cross_entropy(logits, labels, ignore_index=1, reduction=reduction)

    found = tg.vmap(f)(logits, labels)
    expected = tg.stack([f(a, b) for a, b in zip(logits, labels, strict=True)])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    with pytest.raises(ValueError, match="all 6 labels are ignore_index"):
        tg.vmap(lambda a, b: tg.losses.cross_entropy(a, b, ignore_index=1))(
            logits, tg.Tensor([[1] * 6, [0] * 6, [2] * 6])
        )


def test_examples_drop_what_a_batch_of_them_drops():
    model = nn.Sequential(nn.Dense(4, 8), nn.Dropout(0.5), nn.Dense(8, 2)).to("float64")
    state, x = dict(model.named_parameters()), normal(4)
    tg.seed(1)
    each = tg.vmap(tg.grad(lambda p, x: loss(tg.functional_call(model, p, x))), (None, 0))(state, x)
    weights = np.cos(np.arange(2))
    tg.seed(1)
    ((model(x) * weights) ** 2).sum().backward()
    for path, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), each[path].numpy().sum(0), rtol=1e-10)


# Buffers


@pytest.mark.parametrize("name", ["BatchNorm", "SpectralNorm"])
def test_buffers_cannot_follow_all_examples(name):
    layer, state, gradient, (x,) = made(name)
    layer.train()
    before = {path: value.numpy().copy() for path, value in layer.state_dict().items()}
    with pytest.raises(tg.GraphError, match=r"buffer .*model.eval\(\)"):
        tg.vmap(gradient, (None, 0))(state, x)
    for path, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[path])
    layer.eval()
    tg.vmap(gradient, (None, 0))(state, x)


# Devices and modes

FUNCTIONS = {
    "matmul": lambda x: x @ x.T,
    "softmax": lambda x: tg.softmax(x) * x,
    "layer_norm": lambda x: tg.layer_norm(x, x[0], x[1]),
    "conv": lambda x: tg.conv2d(x.reshape(1, 2, 3, 4), x[:4].reshape(2, 2, 2, 2)),
    "attention": lambda x: tg.scaled_dot_product_attention(*[x.reshape(1, 2, 3, 4)] * 3),
    "dropout": lambda x: tg.dropout(x * 1.5, 0.4),
    "index": lambda x: x[tg.argsort(x[:, 0])] + tg.sort(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_emulator_finds_what_the_cpu_finds(name):
    x = RNG.standard_normal((2, 6, 4)).astype(np.float32)

    def found(device):
        tg.seed(2)
        y = tg.vmap(FUNCTIONS[name])(tg.Tensor(x, device=device))
        tg.seed(2)
        g = tg.vmap(tg.grad(lambda x: (FUNCTIONS[name](x) ** 2).sum()))(tg.Tensor(x, device=device))
        assert (y.device, g.device) == (device, device)
        return y.cpu().numpy(), g.cpu().numpy()

    for ours, theirs in zip(found("cuda-emulator"), found("cpu"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_reference_kernels_find_what_the_compiled_ones_find():
    _, state, gradient, inputs = made("TransformerEncoder")
    found = tg.vmap(gradient, (None, 0))(state, *inputs)
    with tg.use_kernels("reference"):
        expected = tg.vmap(gradient, (None, 0))(state, *inputs)
    for path, g in found.items():
        np.testing.assert_allclose(g.numpy(), expected[path].numpy(), rtol=1e-8, atol=1e-9)


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
import tinygrad_like as tg
layer = tg.nn.LSTM(3, 2).to("float64")
x = tg.Tensor(np.random.default_rng(0).standard_normal((3, 2, 4, 3)))
gradient = tg.grad(lambda x: (layer(x)[0] ** 2).sum())
found = tg.vmap(gradient)(x).numpy()
np.testing.assert_allclose(found, [gradient(row).numpy() for row in x.detach()], rtol=1e-10)
"""


def test_without_numba():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""load_torch and to_torch, layer by layer."""

import numpy as np
import pytest
from needed import imported
from torch_weights import TOLERANCE, an_input, assert_agree, randomize

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.interchange import LINKS, load_torch, to_torch

torch = imported("torch")
T = torch.nn

SAID = {"activation": "relu", "norm_first": False}  # PyTorch's defaults, as in the layers below


class First(nn.Module):
    """The first output of a layer, called with its input once or more often."""

    def __init__(self, layer, times=1):
        self.layer, self.times = layer, times

    def forward(self, x):
        decodes = isinstance(self.layer, nn.TransformerDecoderLayer)
        options = {"causal": False} if decodes else {}
        y = self.layer(*[x] * self.times, **options)
        return y[0] if isinstance(y, tuple) else y


class TorchFirst(T.Module):
    def __init__(self, layer, times=1):
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x):
        y = self.layer(*[x] * self.times)
        return y[0] if isinstance(y, tuple) else y


class TorchPositions(T.Embedding):
    """What people write for nn.LearnedPositions."""

    def forward(self, x):
        return x + super().forward(torch.arange(x.shape[-2]))


TOKENS = np.linspace(-1, 1, 20).reshape(5, 4)


class Masked(nn.Module):
    """BERT's head for masked tokens over a constant embedding."""

    def __init__(self):
        self.head = nn.BERTForMaskedLM(nn.BERT(5, 4, 4, 1, 2)).tokens

    def forward(self, x):
        return self.head(x, tg.Tensor(TOKENS, dtype=x.dtype))


class TorchMaskedHead(T.Module):
    def __init__(self):
        super().__init__()
        self.transform, self.norm = T.Linear(4, 4), T.LayerNorm(4, eps=1e-12)
        self.bias = T.Parameter(torch.zeros(5))

    def forward(self, x):
        y = self.norm(T.functional.gelu(self.transform(x)))
        return y @ torch.tensor(TOKENS.T, dtype=x.dtype) + self.bias


class TorchMasked(T.Module):
    def __init__(self):
        super().__init__()
        self.head = TorchMaskedHead()

    def forward(self, x):
        return self.head(x)


# name: our layer, PyTorch's, the shape of an input (None: integers below 7)
LAYERS = {
    "dense": (lambda: nn.Dense(4, 6), lambda: T.Linear(4, 6), (3, 5, 4)),
    "dense square": (lambda: nn.Dense(4, 4), lambda: T.Linear(4, 4), (3, 4)),
    "dense no bias": (
        lambda: nn.Dense(4, 6, bias=False),
        lambda: T.Linear(4, 6, bias=False),
        (3, 4),
    ),
    "conv1d": (
        lambda: nn.Conv1D(4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
        lambda: T.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
        (2, 4, 11),
    ),
    "conv2d": (
        lambda: nn.Conv2D(4, 6, (3, 2), stride=2, padding=1),
        lambda: T.Conv2d(4, 6, (3, 2), stride=2, padding=1),
        (2, 4, 7, 8),
    ),
    "conv2d no bias": (
        lambda: nn.Conv2D(4, 6, 3, groups=2, bias=False),
        lambda: T.Conv2d(4, 6, 3, groups=2, bias=False),
        (2, 4, 7, 8),
    ),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2D(4, 6, 3, stride=2, padding=1, groups=2, output_padding=1),
        lambda: T.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2, output_padding=1),
        (2, 4, 5, 5),
    ),
    "conv3d": (
        lambda: nn.Conv3D(2, 4, 2, stride=2, groups=2),
        lambda: T.Conv3d(2, 4, 2, stride=2, groups=2),
        (1, 2, 4, 3, 3),
    ),
    "conv_transpose1d": (
        lambda: nn.ConvTranspose1D(4, 6, 3, stride=2, output_padding=1),
        lambda: T.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1),
        (2, 4, 5),
    ),
    "conv_transpose3d": (
        lambda: nn.ConvTranspose3D(2, 4, 2, stride=2),
        lambda: T.ConvTranspose3d(2, 4, 2, stride=2),
        (1, 2, 2, 2, 2),
    ),
    "bilinear": (
        lambda: First(nn.Bilinear(4, 4, 6), 2),
        lambda: TorchFirst(T.Bilinear(4, 4, 6), 2),
        (2, 4),
    ),
    "prelu": (lambda: nn.PReLU(4), lambda: T.PReLU(4), (2, 4, 3)),
    "instance_norm": (
        lambda: nn.InstanceNorm(4, affine=True),
        lambda: T.InstanceNorm1d(4, affine=True),
        (2, 4, 5),
    ),
    "bag": (lambda: nn.EmbeddingBag(7, 5), lambda: T.EmbeddingBag(7, 5), None),
    "embedding": (lambda: nn.Embedding(7, 5), lambda: T.Embedding(7, 5), None),
    "positions": (lambda: nn.LearnedPositions(7, 4), lambda: TorchPositions(7, 4), (2, 5, 4)),
    "layer_norm": (lambda: nn.LayerNorm((3, 4)), lambda: T.LayerNorm((3, 4)), (2, 5, 3, 4)),
    "layer_norm no bias": (
        lambda: nn.LayerNorm(4, bias=False),
        lambda: T.LayerNorm(4, bias=False),
        (5, 4),
    ),
    "rms_norm": (lambda: nn.RMSNorm(4), lambda: T.RMSNorm(4, eps=1e-6), (5, 4)),
    "group_norm": (lambda: nn.GroupNorm(2, 4), lambda: T.GroupNorm(2, 4), (2, 4, 3, 3)),
    "batch_norm": (lambda: nn.BatchNorm(4), lambda: T.BatchNorm2d(4), (3, 4, 2, 2)),
    "batch_norm 1d": (lambda: nn.BatchNorm(4), lambda: T.BatchNorm1d(4), (6, 4)),
    "rnn": (
        lambda: First(nn.RNN(4, 5, 2, bidirectional=True)),
        lambda: TorchFirst(T.RNN(4, 5, 2, bidirectional=True, batch_first=True)),
        (3, 6, 4),
    ),
    "gru": (
        lambda: First(nn.GRU(4, 5, 2, bidirectional=True)),
        lambda: TorchFirst(T.GRU(4, 5, 2, bidirectional=True, batch_first=True)),
        (3, 6, 4),
    ),
    "lstm": (
        lambda: First(nn.LSTM(4, 5, 2, bidirectional=True)),
        lambda: TorchFirst(T.LSTM(4, 5, 2, bidirectional=True, batch_first=True)),
        (3, 6, 4),
    ),
    "lstm projected": (
        lambda: First(nn.LSTM(4, 5, bias=False, proj_size=3)),
        lambda: TorchFirst(T.LSTM(4, 5, bias=False, proj_size=3, batch_first=True)),
        (3, 6, 4),
    ),
    "attention with a key": (
        lambda: First(nn.MultiHeadAttention(4, 2, add_bias_kv=True, add_zero_attn=True)),
        lambda: TorchFirst(
            T.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True),
            3,
        ),
        (3, 6, 4),
    ),
    "attention": (
        lambda: First(nn.MultiHeadAttention(4, 2)),
        lambda: TorchFirst(T.MultiheadAttention(4, 2, batch_first=True), 3),
        (3, 6, 4),
    ),
    "attention no bias": (
        lambda: First(nn.MultiHeadAttention(4, 2, bias=False)),
        lambda: TorchFirst(T.MultiheadAttention(4, 2, bias=False, batch_first=True), 3),
        (3, 6, 4),
    ),
    "encoder layer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, activation="relu", norm_first=False),
        lambda: T.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
        (3, 6, 4),
    ),
    "encoder": (
        lambda: nn.TransformerEncoder(4, 2, 8, 2, activation="relu", norm_first=False),
        lambda: T.TransformerEncoder(
            T.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), 2
        ),
        (3, 6, 4),
    ),
    "decoder layer": (
        lambda: First(nn.TransformerDecoderLayer(4, 2, 8, activation="relu", norm_first=False), 2),
        lambda: TorchFirst(T.TransformerDecoderLayer(4, 2, 8, dropout=0.0, batch_first=True), 2),
        (3, 6, 4),
    ),
    "batch_norm no affine": (
        lambda: nn.BatchNorm(4, affine=False),
        lambda: T.BatchNorm2d(4, affine=False),
        (3, 4, 2, 2),
    ),
    "masked tokens": (Masked, TorchMasked, (3, 6, 4)),
}


@pytest.mark.parametrize("whole", [True, False], ids=["module", "state_dict"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.filterwarnings("ignore:LSTM with projections")  # that oneDNN has none
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_with_torchs_weights_computes_what_torch_does(name, dtype, whole):
    make, make_torch, shape = LAYERS[name]
    theirs = randomize(make_torch()).to(getattr(torch, dtype.__name__))
    ours = make().to(dtype)
    load_torch(ours, theirs if whole else theirs.state_dict(), **({} if whole else SAID))
    assert_agree(ours, theirs, an_input(shape, dtype), dtype)


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # that oneDNN has none
@pytest.mark.parametrize("name", LAYERS)
def test_torch_takes_our_weights_and_gives_them_back(name):
    make, make_torch, shape = LAYERS[name]
    ours, theirs, again = make(), make_torch(), make()
    weights = {k: torch.from_numpy(v) for k, v in to_torch(ours).items()}
    assert all(v.is_contiguous() for v in weights.values())
    theirs.load_state_dict(weights)  # strict, as PyTorch is by default
    assert_agree(ours, theirs, an_input(shape, np.float32), np.float32)
    load_torch(again, to_torch(ours), **SAID)
    assert {k: v.numpy().tobytes() for k, v in again.state_dict().items()} == {
        k: v.numpy().tobytes() for k, v in ours.state_dict().items()
    }


def test_every_layer_that_is_known_is_tested():
    """A layer that gets an entry in LINKS gets a row above."""
    tested = {type(m) for make, _, _ in LAYERS.values() for _, m in make().named_modules()}
    assert set(LINKS) <= tested


@pytest.mark.parametrize(
    ("make", "activation", "norm_first"),
    [
        (lambda: nn.AdditiveAttention(2, 3, 4), None, True),
        (lambda: nn.GPT(5, 4, 4, 2, 2), "gelu_tanh", True),
        (lambda: nn.TransformerDecoder(4, 2, 6, 2), "gelu", True),
        (lambda: nn.BERTForPreTraining(nn.BERT(5, 4, 4, 2, 2)), "gelu", False),
        (lambda: nn.BERTForTokenClassification(nn.BERT(5, 4, 4, 2, 2), 3), "gelu", False),
    ],
)
def test_the_weights_of_what_is_made_of_layers_are_all_known(make, activation, norm_first):
    ours, again = make(), make()
    load_torch(again, to_torch(ours), activation=activation, norm_first=norm_first)
    state = again.state_dict()
    for path, value in ours.state_dict().items():
        np.testing.assert_array_equal(state[path].numpy(), value.numpy(), err_msg=path)

"""load_torch and what weights do not say: asked for, or compared with PyTorch's module."""

import numpy as np
import pytest

from tinygrad_like import nn
from tinygrad_like.interchange import load_torch
from tinygrad_like.nn import StateError
from tinygrad_like.torch_settings import ACTIVATIONS, SETTINGS

torch = pytest.importorskip("torch", reason="torch, the other side, is not installed")
T = torch.nn


def encoder(**options):
    return T.TransformerEncoder(
        T.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True, **options), 2,
        norm=T.LayerNorm(4) if options.get("norm_first") else None, enable_nested_tensor=False,
    )  # fmt: skip


def unchanged(ours, call):
    before = {k: v.numpy().copy() for k, v in ours.state_dict().items()}
    with pytest.raises(StateError) as caught:
        call()
    for k, v in ours.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k], err_msg=k)
    return str(caught.value)


@pytest.mark.parametrize("ours", [
    lambda: nn.TransformerEncoder(4, 2, 8, 2, activation="relu", norm_first=False),
    lambda: nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8)),
    lambda: nn.TransformerDecoder(4, 2, 8, 1),
])  # fmt: skip
def test_of_weights_alone_the_settings_are_asked_for(ours):
    ours = ours()
    text = unchanged(ours, lambda: load_torch(ours, {}))
    assert "weights alone do not say activation and norm_first" in text
    assert 'activation="relu", norm_first=False' in text
    text = unchanged(ours, lambda: load_torch(ours, {}, activation="relu"))
    assert "weights alone do not say norm_first" in text


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_only_the_same_settings_load(activation, norm_first, whole):
    theirs = encoder(activation=activation, norm_first=norm_first)
    said = {} if whole else {"activation": activation, "norm_first": norm_first}
    weights = theirs if whole else theirs.state_dict()
    ours = nn.TransformerEncoder(4, 2, 8, 2, activation=activation, norm_first=norm_first)
    load_torch(ours, weights, **said)
    x = torch.rand(2, 3, 4)
    expected = theirs.eval()(x).detach().numpy()
    np.testing.assert_allclose(ours(x.numpy()).numpy(), expected, 1e-5, 1e-5)
    other = "gelu" if activation == "relu" else "relu"
    ours = nn.TransformerEncoder(4, 2, 8, 2, activation=other, norm_first=norm_first)
    text = unchanged(ours, lambda: load_torch(ours, weights, **said))
    assert f"setting: layers.1.activation is '{other}', PyTorch's is '{activation}'" in text
    ours = nn.TransformerEncoder(4, 2, 8, 2, activation=activation, norm_first=not norm_first)
    text = unchanged(ours, lambda: load_torch(ours, weights, **said))
    assert f"layers.0.norm_first is {not norm_first}, PyTorch's is {norm_first}" in text


def test_an_activation_that_is_not_known_is_asked_for():
    theirs = T.TransformerEncoderLayer(4, 2, 8, 0.0, lambda x: x.relu(), batch_first=True)
    ours = nn.TransformerEncoderLayer(4, 2, 8, activation="relu", norm_first=False)
    assert "activation is 'relu', PyTorch's is <function" in unchanged(
        ours, lambda: load_torch(ours, theirs)
    )
    load_torch(ours, theirs, activation="relu")
    tanh = T.TransformerEncoderLayer(4, 2, 8, 0.0, T.GELU("tanh"), batch_first=True)
    load_torch(nn.TransformerEncoderLayer(4, 2, 8, activation="gelu_tanh", norm_first=False), tanh)


ROWS = {  # ours, PyTorch's of the same settings, PyTorch's of others, what is said
    "conv1d": (
        nn.Conv1D(2, 2, 3, 2, 1), T.Conv1d(2, 2, 3, 2, 1), T.Conv1d(2, 2, 3, 1, 1), "0.stride is 2"
    ),
    "conv2d": (
        nn.Conv2D(2, 2, 3, padding=(1, 2)), T.Conv2d(2, 2, 3, padding=(1, 2)),
        T.Conv2d(2, 2, 3, padding=1), r"0.padding is \(1, 2\)",
    ),
    "conv2d valid": (
        nn.Conv2D(2, 2, 3, padding="valid"), T.Conv2d(2, 2, 3), T.Conv2d(2, 2, 3, padding="same"),
        "0.padding is 'valid'",
    ),
    "conv2d mode": (
        nn.Conv2D(2, 2, 3, padding=1), T.Conv2d(2, 2, 3, padding=1),
        T.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "0.padding is of zeros",
    ),
    "conv_transpose2d": (
        nn.ConvTranspose2D(2, 2, 3, 2), T.ConvTranspose2d(2, 2, 3, 2),
        T.ConvTranspose2d(2, 2, 3, 2, output_padding=1), "0.output_padding is 0",
    ),
    "max_pool": (nn.MaxPool2D(2), T.MaxPool2d(2), T.MaxPool2d(2, 1), "0.stride is 2"),
    "avg_pool": (nn.AvgPool2D((2, 3)), T.AvgPool2d((2, 3)), T.AvgPool2d(2, (2, 3)), "0.size is"),
    "batch_norm": (nn.BatchNorm(2), T.BatchNorm2d(2), T.BatchNorm2d(2, 1e-3), "0.eps is 1e-05"),
    "layer_norm": (nn.LayerNorm(2), T.LayerNorm(2), T.LayerNorm(2, 1e-6), "0.eps is 1e-05"),
    "rms_norm": (nn.RMSNorm(2), T.RMSNorm(2, 1e-6), T.RMSNorm(2), "0.eps is 1e-06"),
    "group_norm": (nn.GroupNorm(2, 4), T.GroupNorm(2, 4), T.GroupNorm(1, 4), "0.groups is 2"),
    "embedding": (
        nn.Embedding(3, 2, -1), T.Embedding(3, 2, 2), T.Embedding(3, 2), "0.padding_idx is 2"
    ),
    "rnn": (nn.RNN(2, 2), T.RNN(2, 2), T.RNN(2, 2, nonlinearity="relu"), "nonlinearity is 'tanh'"),
    "attention": (
        nn.MultiHeadAttention(4, 2), T.MultiheadAttention(4, 2), T.MultiheadAttention(4, 4),
        "0.num_heads is 2",
    ),
    "leaky_relu": (nn.LeakyReLU(), T.LeakyReLU(), T.LeakyReLU(0.2), "0.slope is 0.01"),
    "elu": (nn.ELU(), T.ELU(), T.ELU(0.5), "0.alpha is 1"),
    "gelu": (nn.GELU(), T.GELU(), T.GELU("tanh"), "0.approximate is False, PyTorch's is 'tanh'"),
    "softmax": (nn.Softmax(), T.Softmax(-1), T.Softmax(1), "0.axis is -1"),
    "relu": (nn.ReLU(), T.ReLU(), T.GELU(), "0 is a ReLU, PyTorch's is a GELU"),
    "silu": (nn.SiLU(), T.SiLU(), T.ReLU(), "0 is a SiLU"),
    "tanh": (nn.Tanh(), T.Tanh(), T.Sigmoid(), "0 is a Tanh"),
    "sigmoid": (nn.Sigmoid(), T.Sigmoid(), T.Tanh(), "0 is a Sigmoid"),
    "softplus": (nn.Softplus(), T.Softplus(), T.ReLU(), "0 is a Softplus"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_the_settings_of_layers_are_compared(name):
    ours, same, other, text = ROWS[name]
    load_torch(nn.Sequential(ours), T.Sequential(same))
    with pytest.raises(StateError, match=text) as caught:
        load_torch(nn.Sequential(ours), T.Sequential(other))
    assert len(caught.value.report.settings) == 1
    assert type(ours) in SETTINGS | ACTIVATIONS


def test_every_setting_has_a_row():
    assert {type(ours) for ours, *_ in ROWS.values()} == {*SETTINGS, *ACTIVATIONS}


def test_heads_in_a_transformer_layer_are_compared():
    ours = nn.TransformerEncoderLayer(4, 4, 8, activation="relu", norm_first=False)
    theirs = T.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    assert "self_attn.num_heads is 4, PyTorch's is 2" in unchanged(
        ours, lambda: load_torch(ours, theirs)
    )


def test_options_are_checked():
    with pytest.raises(ValueError, match=r"\[load_torch\] activation is 'tanh', expected one of"):
        load_torch(nn.Dense(2, 2), {}, activation="tanh")
    with pytest.raises(ValueError, match=r"\[load_torch\] norm_first is 'no'"):
        load_torch(nn.Dense(2, 2), {}, norm_first="no")
    with pytest.raises(TypeError, match="weights are a Dense, expected a path"):
        load_torch(nn.Dense(2, 2), nn.Dense(2, 2))


def test_half_precision_of_torchs_is_read_through_float32():
    theirs = T.Linear(2, 3).to(torch.bfloat16)
    ours = nn.Dense(2, 3)
    load_torch(ours, theirs)
    expected = theirs.weight.detach().float().numpy().T
    np.testing.assert_array_equal(ours.weight.numpy(), expected)

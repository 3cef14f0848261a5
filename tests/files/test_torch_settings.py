"""load_torch and what weights do not say: asked for, or compared with PyTorch's module."""

import importlib

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.interchange import load_torch, to_torch
from tinygrad_like.nn import StateError
from tinygrad_like.torch_settings import COUNTERPARTS

torch = imported("torch")
T = torch.nn
ROWS = importlib.import_module("settings_rows").ROWS  # which needs PyTorch


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


@pytest.mark.parametrize("name", ROWS)
def test_the_settings_of_layers_are_compared(name):
    ours, same, other, text = ROWS[name]
    load_torch(nn.Sequential(ours), T.Sequential(same))
    with pytest.raises(StateError, match=text) as caught:
        load_torch(nn.Sequential(ours), T.Sequential(other))
    assert len(caught.value.report.settings) == 1
    assert type(ours) in COUNTERPARTS


def test_every_layer_with_a_counterpart_has_a_row_and_every_setting():
    assert {type(ours) for ours, *_ in ROWS.values()} == {*COUNTERPARTS}
    for kind, counterpart in COUNTERPARTS.items():
        said = " ".join(text for ours, *_, text in ROWS.values() if type(ours) is kind)
        for name in (*counterpart.settings, *counterpart.fixed):
            assert name in said or name in SHARED, (kind, name)


# The rule of these is that of another setting or layer with a row.
SHARED = ("dilation", "groups", "eps", "stride", "padding", "padding_mode", "ceil_mode")


def test_layers_without_a_counterpart_are_known():
    layers = {x for x in vars(nn).values() if isinstance(x, type) and issubclass(x, nn.Module)} - {
        *COUNTERPARTS
    }
    assert {x.__name__ for x in layers} == {
        *("Module", "ModuleList", "Sequential"),
        *("TransformerEncoder", "TransformerDecoder", "FeedForward", "GPT"),
        *("PositionalEncoding", "AdditiveAttention", "RecurrentLM"),
        *("BERT", "BERTForMaskedLM", "BERTForNextSentencePrediction", "BERTForPreTraining"),
        *("BERTForSequenceClassification", "BERTForTokenClassification"),
        *("MixtureOfExperts", "StateSpace", "SwiGLU"),
        *("Parametrization", "WeightNorm", "SpectralNorm", "Orthogonal", "LowRank"),
    }


def test_an_uneven_padding_is_not_another_pair():
    ours = nn.Conv2D(2, 2, 3, padding=((1, 2), (1, 2)))
    for padding in ((1, 2), 1, 2):
        with pytest.raises(StateError, match="padding is"):
            load_torch(ours, T.Conv2d(2, 2, 3, padding=padding))


def test_classes_that_derive_from_a_layer_are_compared_like_it():
    class Ours(nn.Conv2D):
        pass

    class Theirs(T.Conv2d):
        pass

    same, other = Theirs(2, 2, 3, 2), Theirs(2, 2, 3, 1)
    for ours in (Ours(2, 2, 3, 2), nn.Conv2D(2, 2, 3, 2)):
        load_torch(ours, same)
        with pytest.raises(StateError, match=r"stride is 2, PyTorch's is \(1, 1\)"):
            load_torch(ours, other)

    class OurGRU(nn.GRU):
        pass

    gru, theirs = OurGRU(3, 2), T.GRU(3, 2, batch_first=True)
    load_torch(gru, theirs)
    x = torch.rand(2, 4, 3)
    expected = theirs(x)[0].detach().numpy()
    np.testing.assert_allclose(gru(x.numpy())[0].numpy(), expected, 1e-5, 1e-6)


def test_a_class_of_ones_own_is_taken_on_trust():
    class Norm(T.Module):
        def __init__(self):
            super().__init__()
            self.weight = T.Parameter(torch.full((2,), 3.0))

    ours = nn.RMSNorm(2)
    load_torch(ours, Norm())
    assert ours.weight.numpy().tolist() == [3, 3]


def test_rotary_positions_are_not_in_torchs_attention():
    ours = nn.MultiHeadAttention(4, 2, rotary=True)
    assert "rotary is True, PyTorch's is False" in unchanged(
        ours, lambda: load_torch(ours, T.MultiheadAttention(4, 2))
    )


def test_buffers_that_are_in_no_state_are_not_asked_for():
    class Ours(nn.Module):
        def __init__(self):
            self.weight = tg.ones(2, requires_grad=True)
            self.register_buffer("table", tg.ones(3), persistent=False)
            self.register_buffer("kept", tg.zeros(1))

    class Theirs(T.Module):
        def __init__(self):
            super().__init__()
            self.weight = T.Parameter(torch.full((2,), 3.0))
            self.register_buffer("table", torch.ones(3), persistent=False)
            self.register_buffer("kept", torch.ones(1))

    ours = Ours()
    load_torch(ours, Theirs())
    assert (ours.weight.numpy().tolist(), ours.kept.numpy().tolist()) == ([3, 3], [1])
    assert sorted(to_torch(ours)) == ["kept", "weight"]


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

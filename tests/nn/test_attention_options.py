"""Options of attention and recurrent layers: PyTorch's, windows and ALiBi through a cache."""

import itertools

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.interchange import load_torch, to_torch

RNG = np.random.default_rng(0)
PADDING = np.array([[0, 0, 0, 1], [0, 0, 0, 0]], bool)


def loaded(ours, theirs):
    """Our layer in float64 with the weights of PyTorch's."""
    ours.to("float64")
    load_torch(ours, theirs)
    return ours


@needs_torch
@pytest.mark.parametrize("options", [
    {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 5, "vdim": 7},
    {"add_bias_kv": True, "add_zero_attn": True, "kdim": 5, "bias": False},
])  # fmt: skip
@pytest.mark.parametrize(("causal", "padded"), [(True, True), (False, True), (True, False)])
def test_attention_with_torchs_options_computes_what_torch_does(options, causal, padded):
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True, **options).double()
    ours = loaded(nn.MultiHeadAttention(8, 2, **options), theirs)
    widths = 8, options.get("kdim", 8), options.get("vdim", 8)
    q, k, v = (RNG.normal(size=(2, 4, n)) for n in widths)
    expected, weights = theirs(
        *map(torch.tensor, (q, k, v)),
        attn_mask=torch.tensor(~np.tri(4, dtype=bool)) if causal else None,
        key_padding_mask=torch.tensor(PADDING) if padded else None,
        average_attn_weights=False,
    )
    given = {"causal": causal, "return_weights": True}
    found, own = ours(q, k, v, key_padding_mask=PADDING if padded else None, **given)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), 1e-10, 1e-12)
    np.testing.assert_allclose(own.detach().numpy(), weights.detach().numpy(), 1e-10, 1e-12)
    one, _ = ours(q[0], k[0], v[0], key_padding_mask=PADDING[0] if padded else None, **given)
    np.testing.assert_allclose(one.detach().numpy(), found[0].detach().numpy(), 1e-12)


def layer_of(**options):
    tg.seed(0)
    return nn.MultiHeadAttention(8, 4, num_kv_heads=2, **options).to("float64")


@pytest.mark.parametrize("options", [
    {"window": 2}, {"window": 3, "rotary": True, "rotary_base": 100.0}, {"alibi": True},
    {"window": 2, "alibi": True, "add_bias_kv": True, "add_zero_attn": True},
])  # fmt: skip
def test_windows_and_biases_go_through_a_cache(options):
    layer, x = layer_of(**options), tg.Tensor(RNG.normal(size=(2, 6, 8)))
    cache = nn.KeyValueCache()
    with tg.no_grad():
        parts = [
            layer(x[:, start:end], causal=True, cache=cache).numpy()
            for start, end in itertools.pairwise((0, 3, 4, 6))
        ]
        np.testing.assert_allclose(np.concatenate(parts, 1), layer(x, causal=True).numpy(), 1e-10)


def test_what_is_outside_the_window_has_no_influence():
    layer, x = layer_of(window=2), RNG.normal(size=(1, 6, 8))
    jacobian = tg.jacobian(lambda x: layer(x, causal=True).sum(axis=(0, 2)))(tg.Tensor(x))
    seen = np.abs(jacobian.numpy()).sum(axis=(1, 3)) > 1e-12
    np.testing.assert_array_equal(seen, np.tri(6, dtype=bool) & ~np.tri(6, k=-2, dtype=bool))


def test_alibi_is_added_to_a_mask():
    layer, x = layer_of(alibi=True), tg.Tensor(RNG.normal(size=(1, 4, 8)))
    seen = np.tri(4, dtype=bool)
    expected = layer(x, causal=True).detach().numpy()
    for mask in (seen, np.where(seen, 0.0, -np.inf)):
        np.testing.assert_allclose(layer(x, mask=mask).detach().numpy(), expected, 1e-12)


@pytest.mark.parametrize("kind", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer])
@needs_torch
def test_transformer_layers_without_biases_compute_what_torchs_do(kind):
    theirs = getattr(torch.nn, kind.__name__)(
        8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True, bias=False
    ).double()
    ours = loaded(kind(8, 2, 16, bias=False), theirs)
    assert not any("bias" in path for path, _ in ours.named_parameters())
    x, options = RNG.normal(size=(2, 3, 8)), {}
    inputs = [x] if kind is nn.TransformerEncoderLayer else [x, RNG.normal(size=(2, 4, 8))]
    if len(inputs) == 2:
        options["causal"] = False
    expected = theirs(*map(torch.tensor, inputs)).detach().numpy()
    np.testing.assert_allclose(ours(*inputs, **options).detach().numpy(), expected, 1e-9, 1e-12)


ROWS = [
    ("LSTM", {"proj_size": 3}), ("LSTM", {"proj_size": 2, "bias": False, "num_layers": 2}),
    ("RNN", {"bias": False}), ("GRU", {"bias": False, "bidirectional": True}),
    ("LSTM", {"proj_size": 2, "bidirectional": True, "num_layers": 2}),
]  # fmt: skip


@needs_torch
@pytest.mark.filterwarnings("ignore:LSTM with projections")  # that oneDNN has none
@pytest.mark.parametrize(("kind", "options"), ROWS)
@pytest.mark.parametrize("shape", [(2, 4, 3), (4, 3)])
def test_recurrent_layers_with_options_compute_what_torchs_do(kind, options, shape):
    theirs = getattr(torch.nn, kind)(3, 4, batch_first=True, **options).double()
    ours = loaded(getattr(nn, kind)(3, 4, **options), theirs)
    x = RNG.normal(size=shape)
    a, b = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (y, state), (z, expected) = ours(a), theirs(b)
    for found, other in zip(_flat(y, state), _flat(z, expected), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), other.detach().numpy(), 1e-9, 1e-12)
    again, _ = ours(a, state)  # on from where it ended
    (y * y + again).sum().backward()
    (z * z + theirs(b, expected)[0]).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), 1e-8, 1e-10)
    assert to_torch(ours).keys() == theirs.state_dict().keys()


def _flat(y, state):
    return [y, *(state if isinstance(state, tuple) else [state])]


def test_a_projected_lstm_has_lengths_and_derivatives():
    tg.seed(0)
    layer = nn.LSTM(2, 3, proj_size=2).to("float64")
    x = RNG.normal(size=(2, 3, 2))
    tg.gradcheck(lambda x: layer(x, lengths=[1, 3])[0], x, order=2)
    short, (h, _) = layer(x, lengths=[1, 3])
    np.testing.assert_array_equal(short.detach().numpy()[0, 1:], 0)
    np.testing.assert_array_equal(h.detach().numpy()[0, 0], short.detach().numpy()[0, 0])
    for projection, recurrent in (((3, 2), (3, 12)), ((2, 2), (2, 12))):
        with pytest.raises(ValueError, match=r"\[lstm\] projection is .* expected \(H, P\) and"):
            tg.lstm(x, np.ones((2, 12)), np.ones(recurrent), np.ones(12),
                    projection=np.ones(projection))  # fmt: skip


@pytest.mark.parametrize(("make", "message"), [
    (lambda: nn.MultiHeadAttention(4, 2, window=0), "window is 0, expected a positive integer"),
    (lambda: nn.MultiHeadAttention(4, 2, alibi=True)(tg.ones((1, 2, 4)), tg.ones((1, 3, 4))),
     "alibi is for self attention"),
    (lambda: nn.MultiHeadAttention(4, 2, kdim=3)(tg.ones((1, 2, 4))),
     r"key is \(1, 2, 4\), expected \(N, T, 3\)"),
    (lambda: nn.LSTM(2, 3, bias=False, forget_bias=1), "forget_bias is 1, but there is no bias"),
    (lambda: nn.GRU(2, 3)(tg.ones((4, 2)), lengths=[4]), "one sequence"),
])  # fmt: skip
def test_options_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

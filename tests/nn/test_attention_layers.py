"""Attention layers: torch's MultiheadAttention, the key-value cache, additive attention, errors."""

import copy
import re

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import Tensor, nn
from tinygrad_like.engine import gradients
from tinygrad_like.interchange import load_torch


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def leaves(arrays):
    return [Tensor(x, requires_grad=True) for x in arrays]


# MultiHeadAttention against torch


def pair(bias=True, width=12, heads=3, **options):
    """Ours and torch's MultiheadAttention in float64, with equal random weights."""
    ours = nn.MultiHeadAttention(width, heads, bias=bias, **options).to(np.float64)
    theirs = torch.nn.MultiheadAttention(width, heads, bias=bias, batch_first=True).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(rng.standard_normal(p.shape) * 0.3))
    state = {path: p.numpy() for path, p in theirs.state_dict().items()}
    load_torch(ours, state)
    return ours, theirs


def turned_grads(ours, theirs):
    """torch's gradients under our names."""
    holder = copy.deepcopy(ours)
    load_torch(holder, {k: p.grad.numpy() for k, p in theirs.named_parameters()})
    return {path: p.numpy() for path, p in holder.state_dict().items()}


def close(ours, theirs, what="", tolerance=1e-10):
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else theirs
    ours = ours.numpy() if isinstance(ours, Tensor) else ours
    np.testing.assert_allclose(ours, theirs, tolerance, tolerance, err_msg=what)


SEEN = np.random.default_rng(5).random((4, 6)) < 0.6
SEEN[:, 0] = True
PADDING = np.array([[False] * 6, [False] * 4 + [True] * 2])


MODES = "self", "cross", "causal", "bool", "added", "padding", "keys", "keys-bool", "keys-added"


@needs_torch
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_multi_head_attention_is_torchs(bias, mode):
    ours, theirs = pair(bias)
    x = normal(2, 4, 12)
    arrays = [x] if mode in ("self", "causal") else [x, normal(2, 6, 12), normal(2, 6, 12, seed=1)]
    mine, yours = {}, {}
    if mode == "causal":
        mine = {"causal": True}
        yours = {"attn_mask": torch.ones(4, 4, dtype=torch.bool).triu(1), "is_causal": True}
    elif mode.endswith("bool"):
        mine, yours = {"mask": SEEN}, {"attn_mask": torch.tensor(~SEEN)}
    elif mode.endswith("added"):
        bias_of_scores = normal(4, 6)
        mine, yours = {"mask": bias_of_scores}, {"attn_mask": torch.tensor(bias_of_scores)}
    if mode == "padding":
        mine["mask"] = ~PADDING[:, None, None]
    elif mode.startswith("keys"):
        mine["key_padding_mask"] = PADDING
    if mode.startswith(("padding", "keys")):
        yours["key_padding_mask"] = torch.tensor(PADDING)
        if mode == "keys-added":  # torch wants masks of one kind
            minus = np.where(PADDING, -np.inf, 0.0)
            yours["key_padding_mask"] = torch.tensor(minus)
    a, b = leaves(arrays), [torch.tensor(x, requires_grad=True) for x in arrays]
    y, weights = ours(*a, **mine, return_weights=True)
    z, expected = theirs(*(b * 3)[:3], **yours, average_attn_weights=False)
    close(y, z, "output")
    close(weights, expected, "weights")
    g = normal(*y.shape, seed=9)
    y.backward(Tensor(g))
    z.backward(torch.tensor(g))
    for i, (t, u) in enumerate(zip(a, b, strict=True)):
        close(t.grad, u.grad, f"gradient of input {i}")
    expected = turned_grads(ours, theirs)
    for path, p in ours.named_parameters():
        close(p.grad, expected[path], f"gradient of {path}")


def test_a_padding_mask_is_not_taken_for_a_mask_of_queries_without_a_word():
    """(N, S) and (T, S) are the same where the batch is as large as the sequences are long."""
    layer, x = nn.MultiHeadAttention(8, 2), Tensor(normal(4, 4, 8, dtype=np.float32))
    real = np.tri(4, dtype=bool)
    for mask in (real, np.where(real, 0, -1e9).astype(np.float32)):
        with pytest.warns(UserWarning, match=r"mask \(4, 4\) is taken as \(T, S\)") as caught:
            y = layer(x, mask=mask)
        assert caught[0].filename == __file__
        np.testing.assert_array_equal(y.numpy(), layer(x, mask=mask[None, None]).numpy())
        with pytest.warns(UserWarning, match="is taken as") as caught:
            nn.TransformerEncoder(8, 2, 8, 1)(x, mask=mask)
        assert caught[0].filename == __file__
    np.testing.assert_array_equal(
        layer(x, key_padding_mask=~real).numpy(), layer(x, mask=real[:, None, None]).numpy()
    )
    layer(x, mask=real[:1])  # the same keys for all
    layer(x, mask=Tensor(np.zeros((4, 4), np.float32), requires_grad=True))  # no padding mask
    layer(x[:1], mask=real)
    layer(x[:, :1], key_padding_mask=~real[:, :1])
    additive, keys = nn.AdditiveAttention(8, 8, 3), x
    with pytest.warns(UserWarning, match=r"If it is, give it as mask\[:, None\], else as mask\[N"):
        additive(x, keys, mask=real)
    additive(x, keys, mask=real[None])
    additive(x[:, 0], keys, mask=real)


def test_the_fused_output_is_what_the_weights_say():
    tg.seed(0)
    layer = nn.MultiHeadAttention(8, 4, num_kv_heads=2, rotary=True, dropout=0.5).to(np.float64)
    x = Tensor(normal(2, 5, 8))
    y, weights = layer.eval()(x, causal=True, return_weights=True)
    values = layer.value(x).numpy().reshape(2, 5, 2, 2).transpose(0, 2, 1, 3).repeat(2, 1)
    heads = (weights.numpy() @ values).transpose(0, 2, 1, 3).reshape(2, 5, 8)
    close(layer.out(Tensor(heads)), y.numpy())
    with_dropout, same = layer.train()(x, causal=True, return_weights=True)
    np.testing.assert_array_equal(same.numpy(), weights.numpy())
    assert (with_dropout.numpy() != y.numpy()).any()


def test_attention_in_evaluation_has_no_dropout():
    layer = nn.MultiHeadAttention(8, 2, dropout=0.9).eval()
    x = tg.ones((1, 3, 8))
    np.testing.assert_array_equal(layer(x).numpy(), layer(x).numpy())


def test_self_attention_said_in_three_ways_is_the_same():
    layer, x = nn.MultiHeadAttention(8, 2, rotary=True), Tensor(normal(1, 3, 8, dtype=np.float32))
    for other in (layer(x, x), layer(x, x, x)):
        np.testing.assert_array_equal(other.numpy(), layer(x).numpy())


def test_a_learned_bias_of_scores_learns():
    """An additive mask with requires_grad gets its gradient through the fused backward."""
    tg.seed(0)
    layer = nn.MultiHeadAttention(8, 2).to(np.float64)
    x = Tensor(normal(2, 5, 8))
    tg.gradcheck(lambda b: layer(x, mask=b), normal(1, 2, 5, 5), order=2, directions=3)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_with_a_blind_row_stays_finite_at_orders_1_and_2(norm_first):
    tg.seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, norm_first=norm_first).to(np.float64)
    x = Tensor(normal(2, 3, 8), requires_grad=True)
    mask = np.array([[True, False, True], [False, False, False], [True, True, True]])
    xs = [x, *layer.parameters()]
    y = layer(x, mask=mask)
    grads = gradients([(y * y).sum()], xs, create_graph=True)
    second = gradients([sum((g * g).sum() for g in grads)], xs)
    assert all(np.isfinite(g.numpy()).all() for g in (*grads, *second))


# The cache


CACHED = [
    {},
    {"rotary": True},
    {"num_kv_heads": 1},
    {"num_kv_heads": 2, "rotary": True, "bias": False},
]


@pytest.mark.parametrize("steps", [(1,) * 6, (4, 1, 1), (2, 3, 1), (6,)])
@pytest.mark.parametrize("options", CACHED, ids=str)
def test_step_by_step_with_a_cache_equals_the_full_pass(options, steps):
    tg.seed(0)
    layer = nn.MultiHeadAttention(8, 4, **options).to(np.float64)
    x = normal(2, 6, 8)
    full, weights = layer(Tensor(x), causal=True, return_weights=True)
    cache, done = nn.KeyValueCache(), 0
    with tg.no_grad():
        for n in steps:
            part = Tensor(x[:, done : done + n])
            y, w = layer(part, causal=True, cache=cache, return_weights=True)
            close(y, full.numpy()[:, done : done + n])
            close(w, weights.numpy()[:, :, done : done + n, : done + n])
            done += n
            assert cache.length == cache.length_of(layer) == done


def test_a_cache_carries_gradients():
    tg.seed(0)
    layer = nn.MultiHeadAttention(8, 2, rotary=True).to(np.float64)
    x = Tensor(normal(1, 4, 8), requires_grad=True)
    g = normal(1, 4, 8, seed=1)
    layer(x, causal=True).backward(Tensor(g))
    expected, x.grad = x.grad, None
    cache = nn.KeyValueCache()
    parts = [layer(x[:, i : i + 2], causal=True, cache=cache) for i in (0, 2)]
    tg.concatenate(parts, 1).backward(Tensor(g))
    close(x.grad, expected.numpy())


# Additive attention


def additive_by_numpy(layer, query, keys, values):
    state = {k: v.numpy() for k, v in layer.state_dict().items()}
    hidden = (query @ state["query.weight"])[:, :, None] + (
        keys @ state["key.weight"] + state["key.bias"]
    )[:, None]
    scores = np.tanh(hidden) @ state["score.weight"][:, 0]
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    return weights @ values, weights


def test_additive_attention_is_its_formula():
    tg.seed(0)
    layer = nn.AdditiveAttention(3, 4, 5).to(np.float64)
    query, keys, values = normal(2, 6, 3), normal(2, 7, 4), normal(2, 7, 2)
    context, weights = layer(Tensor(query), Tensor(keys), Tensor(values))
    expected = additive_by_numpy(layer, query, keys, values)
    close(context, expected[0])
    close(weights, expected[1])
    one, weight = layer(Tensor(query[:, 2]), Tensor(keys))
    close(weight, expected[1][:, 2])
    close(one, (expected[1] @ keys)[:, 2])
    assert one.shape == (2, 4)


@pytest.mark.parametrize("one_step", [True, False])
@pytest.mark.parametrize("kind", ["bool", "added"])
def test_additive_attention_heeds_masks(one_step, kind):
    tg.seed(0)
    layer = nn.AdditiveAttention(3, 4, 5).to(np.float64)
    query = normal(2, 3) if one_step else normal(2, 6, 3)
    seen = np.array([[True, True, False], [False, False, False]])  # the second sees nothing
    mask = seen if one_step else seen[:, None]
    mask = mask if kind == "bool" else np.where(mask, 0.0, -np.inf)
    xs = leaves([query, normal(2, 3, 4)])
    context, weights = layer(*xs, mask=mask)
    assert not weights.numpy()[..., 2].any()
    assert not context.numpy()[1].any()
    np.testing.assert_allclose(weights.numpy()[0].sum(-1), 1)
    grads = gradients([(context * context).sum()], xs, create_graph=True)
    second = gradients([sum((g * g).sum() for g in grads)], xs)
    for g in (*grads, *second):
        assert np.isfinite(g.numpy()).all()
        assert not g.numpy()[1].any()
        assert g.numpy()[0].any()


def test_a_mask_of_another_dtype_does_not_widen_additive_attention():
    layer = nn.AdditiveAttention(3, 4, 5)
    outs = layer(ones(2, 3), ones(2, 7, 4), mask=np.zeros(7))
    assert {y.dtype for y in outs} == {np.dtype(np.float32)}


def test_additive_attention_has_derivatives_of_order_2():
    tg.seed(0)
    layer = nn.AdditiveAttention(2, 3, 4).to(np.float64)
    tg.gradcheck(lambda q, k: layer(q, k), normal(2, 2, 2), normal(2, 3, 3), order=2, directions=3)


# Errors


def ones(*shape, dtype=np.float32):
    return Tensor(np.ones(shape, dtype))


def mha(*args, **options):
    return nn.MultiHeadAttention(8, 2)(*args, **options)


def refilled_cache():
    layer, cache = nn.MultiHeadAttention(8, 2), nn.KeyValueCache()
    layer(ones(2, 3, 8), cache=cache)
    return layer(ones(1, 1, 8), cache=cache)


ERRORS = [
    (lambda: nn.MultiHeadAttention(10, 3), ValueError,
     "[MultiHeadAttention] num_heads is 3, expected a divisor of d_model=10"),
    (lambda: nn.MultiHeadAttention(8, 4, num_kv_heads=3), ValueError,
     "[MultiHeadAttention] num_kv_heads is 3, expected a divisor of num_heads=4"),
    (lambda: nn.MultiHeadAttention(6, 2, rotary=True), ValueError,
     "[MultiHeadAttention] rotary needs heads of even width, got 3"),
    (lambda: nn.MultiHeadAttention(8, 0), ValueError, "[MultiHeadAttention] num_heads is 0, exp"),
    (lambda: nn.MultiHeadAttention(8, 2, dropout=2), ValueError,
     "[MultiHeadAttention] dropout is 2, expected a number from 0 to 1"),
    (lambda: nn.MultiHeadAttention(8, 2, bias=None), ValueError,
     "[MultiHeadAttention] bias is None, expected True or False"),
    (lambda: mha(ones(8)), ValueError,
     "[MultiHeadAttention] query is (8,), expected (N, T, 8) (in MultiHeadAttention)"),
    (lambda: mha(ones(1, 3, 8), ones(1, 3, 7)), ValueError,
     "[MultiHeadAttention] key is (1, 3, 7), expected (N, T, 8)"),
    (lambda: mha(ones(1, 3, 8), mask=np.ones((1, 3, 3), bool)), ValueError,
     "[MultiHeadAttention] mask is (1, 3, 3), expected (T, S) or four axes; give a mask (N, T, S)"),
    (lambda: mha(ones(1, 3, 8), mask=np.ones((3, 4), bool)), ValueError,
     "mask is (3, 4), expected what broadcasts to (N, heads, T, S) = (1, 2, 3, 3)"),
    (lambda: mha(ones(1, 3, 8), ones(1, 4, 8), cache=nn.KeyValueCache()), ValueError,
     "[MultiHeadAttention] a cache is for self attention"),
    (lambda: nn.MultiHeadAttention(8, 2, rotary=True)(ones(1, 3, 8), ones(1, 4, 8)), ValueError,
     "[MultiHeadAttention] rotary is for self attention"),
    (lambda: mha(ones(1, 3, 8), cache={}), TypeError,
     "[MultiHeadAttention] cache is a dict, expected a KeyValueCache"),
    (refilled_cache, ValueError,
     "[KeyValueCache] holds a batch of 2, got one of 1; start with a new cache"),
    (lambda: mha([[[1.0] * 8]]), TypeError,
     "[MultiHeadAttention] query is a list, expected a Tensor or an array"),
    (lambda: mha(ones(2, 3, 8), mask=np.ones((2, 3), bool)), ValueError,
     "[MultiHeadAttention] mask is (2, 3), expected (T, S) with T = 3; a padding mask (N, S) is "
     "given as key_padding_mask (True: padding)"),
    (lambda: mha(ones(2, 3, 8), key_padding_mask=np.ones((3, 3), bool)), ValueError,
     "[MultiHeadAttention] key_padding_mask is (3, 3), expected (N, S) = (2, 3)"),
    (lambda: mha(ones(2, 3, 8), key_padding_mask=np.zeros((2, 3))), TypeError,
     "[MultiHeadAttention] key_padding_mask is float64, expected booleans (True: padding)"),
    (lambda: mha(ones(2, 3, 8), key_padding_mask=[[True]]), TypeError,
     "[MultiHeadAttention] key_padding_mask is list, expected booleans"),
    (lambda: mha(ones(2, 4, 8), mask=np.ones((4, 4), int),
                 key_padding_mask=np.ones((2, 4), bool)), TypeError,
     "mask has dtype int64, expected booleans (True: may look) or floats to add"),
    (lambda: mha(ones(1, 3, 8), causal="no"), ValueError,
     "causal is 'no', expected True or False"),
    (lambda: mha(ones(1, 3, 8), return_weights="no"), ValueError,
     "[MultiHeadAttention] return_weights is 'no', expected True or False"),
    (lambda: nn.MultiHeadAttention(8, 2, rotary="no"), ValueError,
     "[MultiHeadAttention] rotary is 'no', expected True or False"),
    (lambda: nn.KeyValueCache().extend(None, ones(1, 1, 2, 4), ones(1, 1, 2, 4)), TypeError,
     "[KeyValueCache] layer is a NoneType, expected the attention layer"),
    (lambda: nn.KeyValueCache().extend(nn.ReLU(), ones(2, 4), ones(2, 4)), ValueError,
     "[KeyValueCache] key is (2, 4), value is (2, 4), expected (N, heads, T, d)"),
    (lambda: mha(ones(1, 3, 8), mask=np.ones((3, 3), int)), TypeError,
     "mask has dtype int64, expected booleans (True: may look) or floats to add"),
    (lambda: nn.AdditiveAttention(3, 4, 5)(ones(2, 3), [1.0]), TypeError,
     "[AdditiveAttention] keys is a list, expected a Tensor or an array"),
    (lambda: nn.AdditiveAttention(3, 4, 0), ValueError, "[AdditiveAttention] d_hidden is 0, exp"),
    (lambda: nn.AdditiveAttention(3, 4, 5)(ones(3), ones(2, 7, 4)), ValueError,
     "[AdditiveAttention] query is (3,), keys (2, 7, 4), values (2, 7, 4), expected (N, d_query)"),
    (lambda: nn.AdditiveAttention(3, 4, 5)(ones(1, 3), ones(2, 7, 4)), ValueError,
     "[AdditiveAttention] query is (1, 3), keys (2, 7, 4)"),
    (lambda: nn.AdditiveAttention(3, 4, 5)(ones(2, 3), ones(2, 7, 4), mask=np.ones((7, 2)) > 0),
     ValueError, "[AdditiveAttention] mask is (7, 2), expected what broadcasts to (2, 7)"),
    (lambda: nn.AdditiveAttention(3, 4, 5)(ones(2, 3), ones(2, 7, 4), mask=np.ones(7, int)),
     TypeError, "[AdditiveAttention] mask is int64, expected booleans (True: may look) or floats"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_what_does_not_fit_is_said(call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call()

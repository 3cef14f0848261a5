"""Attention: masks in every mode, blocks, memory, dropout, the layers against torch, the cache."""

import importlib
import re
import tracemalloc

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor, nn
from tinygrad_like.engine import gradients

try:
    import torch
except ImportError:
    torch = None

kernel = importlib.import_module("tinygrad_like.kernels.reference.attention")
needs_torch = pytest.mark.skipif(torch is None, reason="torch, the oracle, is not installed")


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def qkv(n=2, heads=4, t=5, s=7, d=4, key_heads=2, dtype=np.float64):
    shapes = (n, heads, t, d), (n, key_heads, s, d), (n, key_heads, s, d)
    return [normal(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]


def leaves(arrays):
    return [Tensor(x, requires_grad=True) for x in arrays]


# Fully masked rows


def masks_that_blind():
    """(name, options) in which some queries of (2, 4, 5 queries, 7 keys), or all, see nothing."""
    seen = np.random.default_rng(0).random((2, 1, 5, 7)) < 0.6
    seen[0, :, 1] = seen[1, :, :3] = False
    added = np.where(seen, normal(2, 1, 5, 7), -np.inf)
    yield "bool", {"mask": seen}
    yield "bool, all", {"mask": np.zeros((1, 1, 1, 7), bool)}
    yield "added", {"mask": added}
    yield "added, all", {"mask": np.full((5, 7), -np.inf)}
    yield "bool, causal", {"mask": seen, "causal": True}
    yield "added, causal", {"mask": added, "causal": True}
    yield "bool, dropout", {"mask": seen, "dropout": 0.3}


BLINDING = pytest.mark.parametrize(
    "options", [pytest.param(options, id=name) for name, options in masks_that_blind()]
)


def blind_rows(options):
    """Which queries see nothing: (2, 1, 5, 1) or what broadcasts to it."""
    seen = options["mask"] > -np.inf if options["mask"].dtype.kind == "f" else options["mask"]
    if options.get("causal"):
        seen = seen & np.tri(5, 7, 2, dtype=bool)
    return np.broadcast_to(~seen.any(-1, keepdims=True), (2, 1, 5, 1))


@BLINDING
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_query_that_sees_nothing_gets_zeros_and_gives_zero_gradients(options, dtype):
    tg.seed(0)
    xs = leaves(qkv(dtype=dtype))
    options = dict(options)
    if options["mask"].dtype.kind == "f":
        options["mask"] = Tensor(options["mask"].astype(dtype), requires_grad=True)
        xs.append(options["mask"])
    blind = blind_rows({**options, "mask": np.asarray(options["mask"])})
    y = tg.scaled_dot_product_attention(*xs[:3], **options)
    assert not (y.numpy() * blind).any()
    grads = gradients([y], xs, [tg.ones_like(y)], create_graph=True)
    assert not (grads[0].numpy() * blind).any()
    scalar = sum((g * g).sum() for g in grads)
    second = gradients([scalar], xs)
    assert not (second[0].numpy() * blind).any()
    for what in (y, *grads, *second):
        assert np.isfinite(what.numpy()).all()
    tg.seed(0)
    y = tg.scaled_dot_product_attention(*xs[:3], **options)
    (y * y).sum().backward()  # without create_graph the kernel's own
    for x in xs:
        assert np.isfinite(x.grad.numpy()).all()
    assert not (xs[0].grad.numpy() * blind).any()


def test_causal_queries_before_the_first_key_see_nothing():
    q, k, v = leaves(qkv(t=5, s=3))
    y = tg.scaled_dot_product_attention(q, k, v, causal=True)
    (y * y).sum().backward()
    assert not y.numpy()[:, :, :2].any()
    assert not q.grad.numpy()[:, :, :2].any()
    assert q.grad.numpy()[:, :, 2:].any()  # but where one key is seen, the weight is constant
    assert not np.abs(q.grad.numpy()[:, :, 2]).max() > 1e-15


def test_without_keys_there_are_zeros():
    q, k, v = leaves(qkv(s=0))
    y = tg.scaled_dot_product_attention(q, k, v)
    y.sum().backward()
    assert y.shape == (2, 4, 5, 4)
    assert not y.numpy().any()
    assert not q.grad.numpy().any()
    assert k.grad.shape == (2, 2, 0, 4)


@BLINDING
def test_weights_to_look_at_are_zeros_where_nothing_is_seen(options):
    q, k, _ = qkv()
    options = {name: x for name, x in options.items() if name != "dropout"}
    weights = tg.attention_weights(Tensor(q), Tensor(k), **options).numpy()
    expected = np.broadcast_to(1 - blind_rows(options), (2, 4, 5, 1))
    np.testing.assert_allclose(weights.sum(-1, keepdims=True), expected, atol=1e-12)


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


# Blocks, memory, dropout


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("mask", ["none", "bool", "added", "row"])
def test_blocks_of_any_size_give_the_same(monkeypatch, causal, p, mask):
    q, k, v = qkv(n=3, t=9, s=11)
    masks = {
        "none": None,
        "bool": np.random.default_rng(0).random((1, 4, 9, 11)) < 0.7,
        "added": normal(3, 1, 9, 11),
        "row": normal(1, 1, 1, 11),
    }
    mask = masks[mask]
    options = causal, 0.5, p, 7, 2**40
    needs = (True, True, True, mask is not None and mask.dtype.kind == "f")

    def results():
        out, lse = kernel.attention(q, k, v, mask, *options)
        g = normal(*out.shape)
        grads = kernel.attention_backward(g, q, k, v, out, lse, mask, *options, needs)
        return [x for x in (out, lse, *grads) if x is not None]

    expected = results()
    for block, rows in ((1, 128), (100, 128), (300, 2), (10**6, 4)):
        monkeypatch.setattr(kernel, "BLOCK", block)
        monkeypatch.setattr(kernel, "ROWS", rows)
        for a, b in zip(results(), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("heads", [1, 4])
def test_blocks_keep_within_their_bound(heads):
    for n, t, s in ((1, 1, 10**6), (8, 2048, 2048), (64, 64, 64), (1, 5000, 3), (0, 5, 5)):
        q, k = np.empty((n, heads, t, 0)), np.empty((n, heads, s, 0))
        for causal in (False, True):
            for batch, rows, keys in kernel._blocks(q, k, causal):
                entries = batch.stop - batch.start
                size = entries * heads * (rows.stop - rows.start) * keys.stop
                assert size <= max(kernel.BLOCK, heads * s)


@pytest.mark.parametrize("causal", [False, True])
def test_a_long_sequence_never_holds_all_scores(causal):
    """Forward and backward of 4 heads, 2048 positions: 64 MB of scores in float32."""
    xs = leaves([normal(1, 4, 2048, 16, seed=i, dtype=np.float32) for i in range(3)])
    tracemalloc.start()
    try:
        y = tg.scaled_dot_product_attention(*xs, causal=causal)
        y.backward(tg.ones_like(y))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    scores = 4 * 2048 * 2048 * 4
    assert peak < scores / 6, f"{peak / 2**20:.1f} MB, all scores are {scores / 2**20:.1f} MB"


def test_dropout_of_weights_has_its_rate_and_is_the_same_in_the_backward():
    t = 200
    q = Tensor(np.zeros((1, 2, t, 4)), requires_grad=True)
    v = Tensor(np.tile(np.eye(t), (1, 2, 1, 1)), requires_grad=True)  # y is the weights
    tg.seed(1)
    y = tg.scaled_dot_product_attention(q, q, v, dropout=0.3)
    kept = y.numpy() > 0
    assert abs(kept.mean() - 0.7) < 0.01
    np.testing.assert_allclose(y.numpy()[kept], 1 / (0.7 * t))
    assert (kept[0, 0] != kept[0, 1]).any()
    y.backward(tg.ones_like(y))
    np.testing.assert_allclose(v.grad.numpy()[..., 0], y.numpy().sum(2))
    tg.seed(1)
    again = tg.scaled_dot_product_attention(q, q, v, dropout=0.3)
    np.testing.assert_array_equal(again.numpy(), y.numpy())
    other = tg.scaled_dot_product_attention(q, q, v, dropout=0.3)
    assert (other.numpy() != y.numpy()).any()
    without = tg.scaled_dot_product_attention(q, q, v, dropout=0.3, training=False)
    np.testing.assert_allclose(without.numpy(), 1 / t)


def test_two_draws_share_no_number():
    """What one call reserves covers all that it uses, also where keys do not fill Philox blocks."""
    tg.seed(0)
    q, k, v = (Tensor(x) for x in qkv(s=5))
    tg.scaled_dot_product_attention(q, k, v, dropout=0.5)
    assert tg.get_rng_state()["counter"] == 2 * 4 * 5 * 2


def test_grouped_queries_share_the_heads_that_a_repeat_would_give():
    q, k, v = qkv(heads=6, key_heads=2)
    wide_k, wide_v = np.repeat(k, 3, 1), np.repeat(v, 3, 1)
    grouped = tg.scaled_dot_product_attention(q, k, v)
    np.testing.assert_allclose(grouped, tg.scaled_dot_product_attention(q, wide_k, wide_v))


def test_scores_that_overflow_float32_exponentials_are_stable():
    q = Tensor(np.full((1, 1, 2, 1), 100, np.float32))
    k = Tensor(np.array([100, -100, 99.5], np.float32).reshape(1, 1, 3, 1))
    y = tg.scaled_dot_product_attention(q, k, k, scale=1.0).numpy()
    np.testing.assert_allclose(y, 100)


# Rotary positions


def test_rotary_scores_depend_on_distance_alone():
    q, k = (Tensor(normal(1, 1, 6, 8, seed=i)) for i in (0, 1))
    near = (tg.rotary(q) @ tg.rotary(k).swapaxes(-1, -2)).numpy()
    far = (tg.rotary(q, offset=77) @ tg.rotary(k, offset=77).swapaxes(-1, -2)).numpy()
    np.testing.assert_allclose(near, far, atol=1e-12)
    np.testing.assert_array_equal(tg.rotary(q)[:, :, 0].numpy(), q[:, :, 0].numpy())


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
    ours.load_state_dict(nn.from_torch_transformer(state))
    return ours, theirs


def turned_grads(theirs):
    """torch's gradients under our names."""
    return nn.from_torch_transformer({k: p.grad.numpy() for k, p in theirs.named_parameters()})


def close(ours, theirs, what="", tolerance=1e-10):
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else theirs
    np.testing.assert_allclose(np.asarray(ours), theirs, tolerance, tolerance, err_msg=what)


SEEN = np.random.default_rng(5).random((4, 6)) < 0.6
SEEN[:, 0] = True


@needs_torch
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", ["self", "cross", "causal", "bool", "added", "padding"])
def test_multi_head_attention_is_torchs(bias, mode):
    ours, theirs = pair(bias)
    x = normal(2, 4, 12)
    arrays = [x] if mode in ("self", "causal") else [x, normal(2, 6, 12), normal(2, 6, 12, seed=1)]
    mine, yours = {}, {}
    if mode == "causal":
        mine = {"causal": True}
        yours = {"attn_mask": torch.ones(4, 4, dtype=torch.bool).triu(1), "is_causal": True}
    elif mode == "bool":
        mine, yours = {"mask": SEEN}, {"attn_mask": torch.tensor(~SEEN)}
    elif mode == "added":
        bias_of_scores = normal(4, 6)
        mine, yours = {"mask": bias_of_scores}, {"attn_mask": torch.tensor(bias_of_scores)}
    elif mode == "padding":
        padding = np.array([[True] * 6, [True] * 4 + [False] * 2])
        mine = {"mask": padding[:, None, None]}
        yours = {"key_padding_mask": torch.tensor(~padding)}
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
    expected = turned_grads(theirs)
    for path, p in ours.named_parameters():
        close(p.grad, expected[path], f"gradient of {path}")


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


def test_additive_attention_has_derivatives_of_order_2():
    tg.seed(0)
    layer = nn.AdditiveAttention(2, 3, 4).to(np.float64)
    tg.gradcheck(lambda q, k: layer(q, k), normal(2, 2, 2), normal(2, 3, 3), order=2, directions=3)


# Errors


def attend(**change):
    """A call of the op with one argument changed."""
    q, k, v = (Tensor(x) for x in qkv())
    given = {"query": q, "key": k, "value": v, **change}
    return tg.scaled_dot_product_attention(**given)


def ones(*shape, dtype=np.float32):
    return Tensor(np.ones(shape, dtype))


def mha(*args, **options):
    return nn.MultiHeadAttention(8, 2)(*args, **options)


def refilled_cache():
    layer, cache = nn.MultiHeadAttention(8, 2), nn.KeyValueCache()
    layer(ones(2, 3, 8), cache=cache)
    return layer(ones(1, 1, 8), cache=cache)


SDPA = "[scaled_dot_product_attention] "
SHAPES = "(query: (2, 4, 5, 4), key: (2, 2, 7, 4), value: (2, 2, 7, 4))"
ERRORS = [
    (lambda: attend(query=ones(5, 4)), ValueError,
     SDPA + "query is (5, 4), expected (N, heads, length, d)"),
    (lambda: attend(value=ones(2, 7, 4)), ValueError, SDPA + "value is (2, 7, 4), expected"),
    (lambda: attend(key=ones(2, 2, 7, 4, dtype=np.int64)), TypeError,
     SDPA + "key has dtype int64, expected a floating one"),
    (lambda: attend(query=ones(3, 4, 5, 4)), ValueError,
     SDPA + "query has a batch of 3, key of 2 (query: (3, 4, 5, 4), key:"),
    (lambda: attend(value=ones(2, 2, 6, 4)), ValueError,
     SDPA + "key and value differ in batch, heads or length (query:"),
    (lambda: attend(query=ones(2, 4, 5, 3)), ValueError,
     SDPA + "query has 3 features, key has 4 (query: (2, 4, 5, 3)"),
    (lambda: attend(query=ones(2, 3, 5, 4)), ValueError,
     SDPA + "2 key heads do not divide 3 query heads (query: (2, 3, 5, 4), key: (2, 2, 7, 4)"),
    (lambda: attend(key=ones(2, 0, 7, 4), value=ones(2, 0, 7, 4)), ValueError,
     SDPA + "0 key heads do not divide 4 query heads"),
    (lambda: attend(mask=np.ones((5, 6), bool)), ValueError,
     SDPA + "mask is (5, 6), expected what broadcasts to (N, heads, T, S) = (2, 4, 5, 7)"),
    (lambda: attend(mask=np.ones((2, 5, 7), bool)), ValueError,
     "give a mask (N, T, S) an axis for the heads, mask[:, None]"),
    (lambda: attend(mask=np.ones((1, 2, 4, 5, 7), bool)), ValueError,
     SDPA + "mask is (1, 2, 4, 5, 7), expected"),
    (lambda: attend(mask=np.ones((5, 7), int)), TypeError,
     SDPA + "mask has dtype int64, expected booleans (True: may look) or floats to add"),
    (lambda: attend(mask=[[True] * 7] * 5), TypeError, SDPA + "mask has type list, expected"),
    (lambda: attend(dropout=1.5), ValueError,
     SDPA + "dropout is 1.5, expected a probability from 0 to 1"),
    (lambda: tg.attention_weights(ones(2, 3, 5, 4), ones(2, 2, 5, 4)), ValueError,
     "[attention_weights] 2 key heads do not divide 3 query heads"),
    (lambda: tg.rotary(ones(2, 3)), ValueError,
     "[rotary] x is (2, 3), expected (..., T, d) with an even d"),
    (lambda: tg.rotary(ones(4)), ValueError, "[rotary] x is (4,), expected (..., T, d)"),
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
    (lambda: mha(ones(3, 8)), ValueError,
     "[MultiHeadAttention] query is (3, 8), expected (N, T, 8) (in MultiHeadAttention)"),
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
    (refilled_cache, ValueError,
     "[KeyValueCache] holds a batch of 2, got one of 1; start with a new cache"),
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

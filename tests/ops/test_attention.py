"""Attention as an op: masks in every mode, blocks, memory, dropout, rotary positions, errors."""

import importlib
import re
import tracemalloc

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor
from tinygrad_like.engine import gradients

kernel = importlib.import_module("tinygrad_like.kernels.reference.attention")


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
    mask = options["mask"]
    mask = mask.numpy() if isinstance(mask, Tensor) else mask
    blind = blind_rows({**options, "mask": mask})
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
        out, sums = kernel.attention(q, k, v, mask, *options)
        g = normal(*out.shape)
        grads = kernel.attention_backward(g, q, k, v, out, sums, mask, *options, needs)
        return [x for x in (out, sums, *grads) if x is not None]

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

    def attend(positions):
        xs = [normal(1, 4, positions, 16, seed=i, dtype=np.float32) for i in range(3)]
        y = tg.scaled_dot_product_attention(*leaves(xs), causal=causal)
        y.backward(tg.ones_like(y))

    attend(4)  # loads the machine code, which takes memory as well
    tracemalloc.start()
    try:
        attend(2048)
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


# Errors


def attend(**change):
    """A call of the op with one argument changed."""
    q, k, v = (Tensor(x) for x in qkv())
    given = {"query": q, "key": k, "value": v, **change}
    return tg.scaled_dot_product_attention(**given)


def ones(*shape, dtype=np.float32):
    return Tensor(np.ones(shape, dtype))


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
    (lambda: tg.rotary(ones(2, 4, dtype=np.int64)), TypeError,
     "[rotary] x has dtype int64, expected a floating one"),
    (lambda: tg.rotary(ones(4)), ValueError, "[rotary] x is (4,), expected (..., T, d)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_what_does_not_fit_is_said(call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call()

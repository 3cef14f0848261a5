"""Transformer layers against torch, positions, generation with a cache, a small GPT in training.

Weights go from torch to us by load_torch, and so do the gradients to compare.
"""

import copy
import re

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import Tensor, nn
from tinygrad_like.interchange import load_torch
from tinygrad_like.torch_settings import activation

NORMS = pytest.mark.parametrize("norm_first", [True, False], ids=["pre-norm", "post-norm"])
D_MODEL, HEADS, D_FF = 12, 3, 20


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def close(ours, theirs, what):
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else theirs
    ours = ours.numpy() if isinstance(ours, Tensor) else ours
    np.testing.assert_allclose(ours, theirs, 1e-10, 1e-10, err_msg=what)


def with_equal_weights(ours, theirs):
    """Random weights for torch's module, and the same ones for ours; both in float64."""
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for p in theirs.double().parameters():
            p.copy_(torch.tensor(rng.standard_normal(p.shape) * 0.3))
    load_torch(ours.to(np.float64), theirs)
    return ours, theirs


def compare(ours, theirs, arrays, mine, yours):
    """Output, gradients of the inputs, and gradients of all parameters."""
    a = [Tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*a, **mine), theirs(*b, **yours)
    close(y, z, "output")
    g = normal(*y.shape, seed=9)
    y.backward(Tensor(g))
    z.backward(torch.tensor(g))
    for i, (t, u) in enumerate(zip(a, b, strict=True)):
        close(t.grad, u.grad, f"the gradient of input {i}")
    expected = {path: p.grad.numpy() for path, p in theirs.named_parameters()}
    holder = copy.deepcopy(ours)
    layer = next(m for _, m in ours.named_modules() if hasattr(m, "norm_first"))
    load_torch(holder, expected, activation=activation(layer), norm_first=layer.norm_first)
    expected = {path: p.numpy() for path, p in holder.state_dict().items()}
    found = dict(ours.named_parameters())
    assert found.keys() == expected.keys()
    for path, p in found.items():
        close(p.grad, expected[path], f"the gradient of {path}")


def torch_layer(kind, norm_first, activation="gelu"):
    layer = getattr(torch.nn, f"Transformer{kind}Layer")
    return layer(D_MODEL, HEADS, D_FF, 0.0, activation, batch_first=True, norm_first=norm_first)


def torch_stack(kind, norm_first, count):
    """torch's stack has a norm at its end only if it is given one."""
    norm = torch.nn.LayerNorm(D_MODEL) if norm_first else None
    options = {"enable_nested_tensor": False} if kind == "Encoder" else {}
    stack = getattr(torch.nn, f"Transformer{kind}")
    return stack(torch_layer(kind, norm_first), count, norm, **options)


def hidden(t):
    """What torch calls a causal mask."""
    return torch.ones(t, t, dtype=torch.bool).triu(1)


PADDING = np.array([[True] * 5, [True] * 3 + [False] * 2])


@needs_torch
@NORMS
@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("mode", ["plain", "causal", "padding"])
def test_an_encoder_layer_is_torchs(norm_first, activation, mode):
    options = {"norm_first": norm_first, "activation": activation}
    ours = nn.TransformerEncoderLayer(D_MODEL, HEADS, D_FF, **options)
    ours, theirs = with_equal_weights(ours, torch_layer("Encoder", norm_first, activation))
    mine, yours = {
        "plain": ({}, {}),
        "causal": ({"causal": True}, {"src_mask": hidden(5)}),
        "padding": (
            {"key_padding_mask": ~PADDING},
            {"src_key_padding_mask": torch.tensor(~PADDING)},
        ),
    }[mode]
    compare(ours, theirs, [normal(2, 5, D_MODEL)], mine, yours)


@needs_torch
@NORMS
@pytest.mark.parametrize("causal", [True, False])
def test_a_decoder_layer_is_torchs(norm_first, causal):
    ours = nn.TransformerDecoderLayer(D_MODEL, HEADS, D_FF, norm_first=norm_first)
    ours, theirs = with_equal_weights(ours, torch_layer("Decoder", norm_first))
    arrays = [normal(2, 4, D_MODEL), normal(2, 5, D_MODEL)]
    mine = {"causal": causal, "memory_key_padding_mask": ~PADDING}
    yours = {"memory_key_padding_mask": torch.tensor(~PADDING)}
    compare(ours, theirs, arrays, mine, {**yours, "tgt_mask": hidden(4)} if causal else yours)


@needs_torch
@NORMS
def test_a_stack_of_encoder_layers_is_torchs(norm_first):
    ours = nn.TransformerEncoder(D_MODEL, HEADS, D_FF, 2, norm_first=norm_first)
    ours, theirs = with_equal_weights(ours, torch_stack("Encoder", norm_first, 2))
    mine = {"causal": True, "key_padding_mask": ~PADDING}
    yours = {"mask": hidden(5), "src_key_padding_mask": torch.tensor(~PADDING)}
    compare(ours, theirs, [normal(2, 5, D_MODEL)], mine, yours)


@needs_torch
@NORMS
def test_a_stack_of_decoder_layers_is_torchs(norm_first):
    ours = nn.TransformerDecoder(D_MODEL, HEADS, D_FF, 2, norm_first=norm_first)
    ours, theirs = with_equal_weights(ours, torch_stack("Decoder", norm_first, 2))
    arrays = [normal(2, 4, D_MODEL), normal(2, 5, D_MODEL)]
    mine = {"key_padding_mask": ~PADDING[:, :4], "memory_key_padding_mask": ~PADDING}
    yours = {
        "tgt_key_padding_mask": torch.tensor(~PADDING[:, :4]),
        "memory_key_padding_mask": torch.tensor(~PADDING),
    }
    compare(ours, theirs, arrays, mine, {"tgt_mask": hidden(4), **yours})


@needs_torch
@pytest.mark.parametrize(("options", "path"), [
    ({"kdim": 3}, "q_proj_weight"), ({"add_bias_kv": True}, "bias_k"),
])  # fmt: skip
def test_weights_of_torch_without_a_counterpart_are_refused(options, path):
    state = torch.nn.MultiheadAttention(4, 2, **options).state_dict()
    with pytest.raises(nn.StateError, match=f"unexpected: {path}"):
        load_torch(nn.MultiHeadAttention(4, 2), state)
    with pytest.raises(TypeError, match="grouped queries have no counterpart"):
        load_torch(nn.MultiHeadAttention(4, 2, num_kv_heads=1), state)


# Dropout and order 2


def test_dropout_acts_in_training_only_and_repeats_with_the_seed():
    tg.seed(0)
    layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.5)
    x, memory = tg.randn((2, 3, 8)), tg.randn((2, 4, 8))

    def run():
        tg.seed(1)
        return layer(x, memory).numpy()

    trained = run()
    np.testing.assert_array_equal(trained, run())
    assert (layer(x, memory).numpy() != trained).any()
    layer.eval()
    np.testing.assert_array_equal(run(), layer(x, memory).numpy())
    assert (run() != trained).any()


@NORMS
def test_a_layer_has_derivatives_of_order_2(norm_first):
    tg.seed(0)
    layer = nn.TransformerDecoderLayer(4, 2, 6, norm_first=norm_first, activation="gelu_tanh")
    layer.to(np.float64)
    inputs = normal(1, 2, 4), normal(1, 3, 4)
    tg.gradcheck(lambda x, memory: layer(x, memory), *inputs, order=2, directions=2)


# Positions


def test_sinusoids_are_the_formula():
    x = np.zeros((2, 7, 5))
    y = nn.PositionalEncoding(5)(Tensor(x), offset=3).numpy()
    for t in range(7):
        for i in range(5):
            turn = (t + 3) / 10000 ** (2 * (i // 2) / 5)
            expected = np.cos(turn) if i % 2 else np.sin(turn)
            np.testing.assert_allclose(y[:, t, i], expected, rtol=1e-12)
    assert nn.PositionalEncoding(4)(tg.ones((1, 2, 4))).dtype == np.float32
    assert not list(nn.PositionalEncoding(4).state_dict())


@pytest.mark.parametrize("layer", [nn.PositionalEncoding(4), nn.LearnedPositions(9, 4)], ids=str)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, complex])
def test_positions_are_not_added_to_what_is_no_embedding(layer, dtype):
    ids = np.ones((2, 4), dtype)  # as many as an embedding is wide
    for x in (ids, Tensor(ids)):
        with pytest.raises(TypeError, match=rf"x is {ids.dtype}, expected floating embeddings"):
            layer(x)


def test_learned_positions_are_rows_of_the_weight():
    layer = nn.LearnedPositions(6, 3)
    x = tg.ones((2, 4, 3))
    y = layer(x, offset=2)
    np.testing.assert_array_equal(y.numpy(), 1 + np.tile(layer.weight.numpy()[2:6], (2, 1, 1)))
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy()[:, 0], [0, 0, 2, 2, 2, 2])


# A small GPT


class GPT(nn.Module):
    """Logits of the next token: (N, T) -> (N, T, vocabulary)."""

    def __init__(self, vocabulary, context, width, heads, blocks, positions="learned"):
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = {
            "learned": lambda: nn.LearnedPositions(context, width),
            "sinusoids": lambda: nn.PositionalEncoding(width, context),
            "rotary": lambda: None,
        }[positions]()
        options = {"rotary": positions == "rotary"}
        self.blocks = nn.TransformerEncoder(width, heads, 4 * width, blocks, **options)
        self.head = nn.Dense(width, vocabulary, bias=False)

    def forward(self, ids, cache=None):
        x = self.tokens(ids)
        if self.positions is not None:
            x = self.positions(x, offset=cache.length if cache is not None else 0)
        return self.head(self.blocks(x, causal=True, cache=cache))


@pytest.mark.parametrize("positions", ["learned", "sinusoids", "rotary"])
def test_generation_with_a_cache_equals_the_full_pass(positions):
    tg.seed(0)
    model = GPT(11, 9, 8, 2, 3, positions).to(np.float64).eval()
    ids = np.random.default_rng(0).integers(0, 11, (2, 9))
    with tg.no_grad():
        full = model(Tensor(ids)).numpy()
        cache, done = nn.KeyValueCache(), 0
        for n in (4, 1, 1, 2, 1):
            logits = model(Tensor(ids[:, done : done + n]), cache)
            close(logits, full[:, done : done + n], f"logits from {done}")
            done += n
    assert cache.length == 9


def test_a_decoder_generates_with_a_cache_as_in_the_full_pass():
    tg.seed(0)
    decoder = nn.TransformerDecoder(8, 2, 16, 2, rotary=True, num_kv_heads=1).to(np.float64)
    x, memory = normal(2, 5, 8), Tensor(normal(2, 4, 8))
    full, cache = decoder(Tensor(x), memory).numpy(), nn.KeyValueCache()
    for i in range(5):
        close(decoder(Tensor(x[:, i : i + 1]), memory, cache=cache), full[:, i : i + 1], f"{i}")


def torch_gpt(ours, context, blocks):
    """The same model of torch's modules, with the weights of ours."""
    width = ours.tokens.dim

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = torch.nn.Embedding(ours.tokens.num, width)
            self.positions = torch.nn.Embedding(context, width)
            layer = torch.nn.TransformerEncoderLayer(
                width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            norm = torch.nn.LayerNorm(width)
            self.blocks = torch.nn.TransformerEncoder(
                layer, blocks, norm, enable_nested_tensor=False
            )
            self.head = torch.nn.Linear(width, ours.tokens.num, bias=False)

        def forward(self, ids):
            x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
            return self.head(self.blocks(x, hidden(ids.shape[1]), is_causal=True))

    theirs = Model()
    state = {path: p.numpy() for path, p in ours.state_dict().items()}
    with torch.no_grad():
        for path, p in theirs.named_parameters():
            p.copy_(torch.tensor(under_torchs_name(state, path)))
    return theirs


def under_torchs_name(state, path):
    """The value of one torch parameter, read from a state of ours: the mapping backwards."""
    if path == "head.weight":
        return state[path].T.copy()
    place, _, name = path.rpartition(".")
    place = place.replace("self_attn", "attention").replace("out_proj", "out")
    place = place.replace("linear1", "feed_forward.up").replace("linear2", "feed_forward.down")
    if name.startswith("in_proj_"):
        kind = name.removeprefix("in_proj_")
        parts = [state[f"{place}.{part}.{kind}"].T for part in ("query", "key", "value")]
        return np.concatenate(parts)
    turned = name == "weight" and place.split(".")[-1] in ("out", "up", "down")
    value = state[f"{place}.{name}"]
    return (value.T if turned else value).copy()


@needs_torch
def test_losses_of_a_gpt_follow_torchs_for_ten_steps_in_float32():
    tg.seed(0)
    context, blocks, vocabulary = 16, 2, 23
    ours = GPT(vocabulary, context, 32, 4, blocks)
    theirs = torch_gpt(ours, context, blocks)
    our_optimizer = tg.optim.AdamW(ours.parameters(), lr=1e-3)
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3)
    text = np.random.default_rng(0).integers(0, vocabulary, 4000) // 2  # half of the symbols
    first = last = None
    for step in range(10):
        starts = np.random.default_rng(step).integers(0, len(text) - context - 1, 8)
        batch = np.stack([text[i : i + context + 1] for i in starts])
        ids, labels = batch[:, :-1], batch[:, 1:]
        logits = ours(Tensor(ids))
        loss = tg.losses.cross_entropy(
            logits.reshape(-1, vocabulary), Tensor(labels.reshape(-1).copy())
        )
        our_optimizer.zero_grad()
        loss.backward()
        our_optimizer.step()

        logits = theirs(torch.tensor(ids)).reshape(-1, vocabulary)
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(labels).reshape(-1))
        their_optimizer.zero_grad()
        expected.backward()
        their_optimizer.step()
        first, last = first or loss.item(), loss.item()
        assert abs(loss.item() - expected.item()) <= 1e-5 * expected.item(), (
            f"step {step}: our loss {loss.item()}, torch's {expected.item()}"
        )
    assert last < first - 0.1


# Errors


def ones(*shape):
    return tg.ones(shape)


ERRORS = [
    (lambda: nn.TransformerEncoderLayer(8, 3, 16), "[MultiHeadAttention] num_heads is 3, expected "
     "a divisor of d_model=8"),
    (lambda: nn.TransformerEncoderLayer(8, 2, 0), "[FeedForward] d_ff is 0, expected a positive"),
    (lambda: nn.TransformerEncoderLayer(8, 2, 16, activation="swish"), "[FeedForward] activation "
     "is 'swish', expected one of ['gelu', 'gelu_tanh', 'relu', 'silu']"),
    (lambda: nn.TransformerEncoderLayer(8, 2, 16, norm_first=None), "[TransformerEncoderLayer] "
     "norm_first is None, expected True or False"),
    (lambda: nn.TransformerDecoderLayer(8, 2, 16, norm_first="no"), "[TransformerDecoderLayer] "
     "norm_first is 'no', expected True or False"),
    (lambda: nn.TransformerEncoder(8, 2, 16, 0), "[TransformerEncoder] num_layers is 0, expected"),
    (lambda: nn.TransformerDecoder(8, 2, 16, -1), "[TransformerDecoder] num_layers is -1, exp"),
    (lambda: nn.TransformerEncoder(8, 2, 16, 2)(ones(1, 3, 8), mask=np.ones((2, 2)) > 0),
     "mask is (2, 2), expected what broadcasts to (N, heads, T, S) = (1, 2, 3, 3); give a mask "
     "(N, T, S) an axis for the heads, mask[:, None] (in model.layers.0.attention)"),
    (lambda: nn.TransformerDecoder(8, 2, 16, 2)(ones(1, 3, 8), ones(2, 3, 8)),
     "query has a batch of 1, key of 2 (query: (1, 2, 3, 4), key: (2, 2, 3, 4), value: "
     "(2, 2, 3, 4)) (in model.layers.0.cross_attention)"),
    (lambda: nn.PositionalEncoding(4, 6)(ones(1, 7, 4)), "[PositionalEncoding] x reaches position "
     "6, expected at most 5 (max_length=6); shorten the sequence or raise max_length"),
    (lambda: nn.PositionalEncoding(4, 6)(ones(1, 3, 4), offset=4), "[PositionalEncoding] x "
     "reaches position 6, expected at most 5"),
    (lambda: nn.PositionalEncoding(4)(ones(1, 7, 5)), "[PositionalEncoding] x is (1, 7, 5), "
     "expected (..., T, 4)"),
    (lambda: nn.PositionalEncoding(0), "[PositionalEncoding] d_model is 0, expected a positive"),
    (lambda: nn.LearnedPositions(6, 4)(ones(1, 7, 4)), "[LearnedPositions] x reaches position 6, "
     "expected at most 5 (max_length=6)"),
    (lambda: nn.LearnedPositions(6, 4)(ones(1, 2, 4), offset=-1), "[LearnedPositions] offset is "
     "-1, expected an integer of at least 0"),
    (lambda: nn.LearnedPositions(0, 4), "[LearnedPositions] max_length is 0, expected a positive"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), ERRORS, ids=[text for _, text in ERRORS])
def test_what_does_not_fit_is_said(call, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        call()

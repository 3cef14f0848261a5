"""FLOPs: those of PyTorch's FlopCounterMode, and counted by hand."""

import importlib

import numpy as np
import pytest
from needed import imported
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.engine import OPS
from tinygrad_like.inspect.flops import FLOPS
from tinygrad_like.inspect.flops.free import UNKNOWN

counter_of_torch = torch and importlib.import_module("torch.utils.flop_counter")
PRODUCTS = {"linear", "matmul", "conv2d", "lstm", "gru", "rnn", "einsum"}


def counted(f, *inputs):
    """{(phase, op): FLOPs} of a loss that is the sum of what f returns, and of its gradients."""
    with tg.profile() as p:
        out = f(*inputs)
        (out[0] if isinstance(out, tuple) else out).sum().backward()
    return {(row.phase, row.name): row.flops for row in p.rows}


def of_products(f, *inputs):
    return sum(n for (_, name), n in counted(f, *inputs).items() if name in PRODUCTS)


def in_torch(f, *inputs):
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        counter_of_torch.FlopCounterMode(display=False) as counter,
    ):
        out = f(*inputs)
        (out[0] if isinstance(out, tuple) else out).sum().backward()
    return {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}


def pairs():
    """{name: ours, PyTorch's, a shape of inputs}."""
    t = torch.nn
    return {
        "mlp": (
            nn.Sequential(nn.Dense(7, 11), nn.ReLU(), nn.Dense(11, 5), nn.Tanh(), nn.Dense(5, 3)),
            t.Sequential(t.Linear(7, 11), t.ReLU(), t.Linear(11, 5), t.Tanh(), t.Linear(5, 3)),
            (6, 7),
        ),
        "cnn": (
            nn.Sequential(
                nn.Conv2D(2, 6, 3, padding=1),
                nn.MaxPool2D(2),
                nn.Conv2D(6, 4, (3, 2), stride=2),
                nn.Flatten(),
                nn.Dense(4 * 2 * 3, 5),
            ),
            t.Sequential(
                t.Conv2d(2, 6, 3, padding=1),
                t.MaxPool2d(2),
                t.Conv2d(6, 4, (3, 2), stride=2),
                t.Flatten(),
                t.Linear(4 * 2 * 3, 5),
            ),
            (3, 2, 12, 12),
        ),
        "lstm": (
            nn.LSTM(5, 7, num_layers=2, bidirectional=True),
            t.LSTM(5, 7, 2, bidirectional=True, batch_first=True),
            (3, 4, 5),
        ),
        "gru": (nn.GRU(5, 7), t.GRU(5, 7, batch_first=True), (3, 4, 5)),
    }


@needs_torch
@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm", "gru"])
@pytest.mark.parametrize("needed", [False, True], ids=["constant input", "input with gradient"])
def test_models_have_the_flops_of_torch(name, needed):
    ours, theirs, shape = pairs()[name]
    x = np.random.default_rng(0).standard_normal(shape)
    mine = of_products(ours, tg.Tensor(x.astype(np.float32), requires_grad=needed))
    # in float64, as PyTorch does not count its float32 LSTM
    counts = in_torch(theirs.double(), torch.tensor(x, requires_grad=needed))
    assert mine == sum(counts.values())


@needs_torch
def test_a_gpt_has_the_flops_of_torch():
    n, t, d, heads, layers, vocabulary = 2, 8, 16, 4, 3, 11
    ours = nn.GPT(vocabulary, t, d, num_layers=layers, num_heads=heads)
    layer = torch.nn.TransformerEncoderLayer(
        d, heads, 4 * d, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    stack = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    token = torch.nn.Embedding(vocabulary, d)

    def theirs(ids):
        mask = torch.nn.Transformer.generate_square_subsequent_mask(t)
        return stack(token(ids), mask, is_causal=True) @ token.weight.T

    ids = np.random.default_rng(0).integers(0, vocabulary, (n, t))
    counts, found = in_torch(theirs, torch.tensor(ids)), counted(ours, ids)
    products = sum(f for (_, name), f in found.items() if name in PRODUCTS)
    assert products == counts["aten.mm"] + counts["aten.addmm"]
    attention = "scaled_dot_product_attention"
    q = (n, heads, t, d // heads)
    forward = counter_of_torch.sdpa_flop_count(q, q, q)
    backward = counter_of_torch.sdpa_backward_flop_count(q, q, q, q)
    assert found["forward", attention] == layers * forward
    assert found["backward", attention] == layers * backward
    assert counts["aten.bmm"] == layers * 3 * forward  # which keeps its weights


def test_a_bert_has_the_flops_of_hugging_faces():
    transformers = imported("transformers")
    n, t, d, heads, layers, vocabulary = 2, 8, 16, 4, 3, 11
    theirs = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=vocabulary, max_position_embeddings=t, hidden_size=d, intermediate_size=24,
            num_hidden_layers=layers, num_attention_heads=heads, attn_implementation="eager",
        )
    )  # fmt: skip
    ours = nn.BERT(vocabulary, t, d, layers, heads, d_ff=24)
    ids = np.random.default_rng(0).integers(0, vocabulary, (n, t))
    counts = in_torch(lambda ids: theirs(ids)[0], torch.tensor(ids))
    found = counted(ours, ids)
    products = sum(f for (_, name), f in found.items() if name in PRODUCTS)
    assert products == counts["aten.mm"] + counts["aten.addmm"]
    q = (n, heads, t, d // heads)
    forward = counter_of_torch.sdpa_flop_count(q, q, q)
    assert found["forward", "scaled_dot_product_attention"] == layers * forward
    assert counts["aten.bmm"] == layers * 3 * forward  # which keeps its weights


def leaf(*shape):
    return tg.ones(shape, requires_grad=True)


BY_HAND = [
    ("matmul", tg.matmul, [(3, 4), (4, 5)], 2 * 60, 4 * 60),
    ("matmul", tg.matmul, [(2, 3, 4), (4,)], 2 * 24, 4 * 24),
    ("linear", tg.linear, [(3, 4), (4, 5), (5,)], 2 * 60, 4 * 60),
    ("einsum", lambda a, b: tg.einsum("ij,kj->ik", a, b), [(3, 4), (5, 4)], 120, 240),
    (
        "einsum",
        lambda a, b, c: tg.einsum("ij,jk,kl->il", a, b, c),
        [(2, 9), (9, 3), (3, 20)],
        2 * 2 * 9 * 3 + 2 * 2 * 3 * 20,
        None,
    ),
    (
        "conv2d",  # PyTorch counts the gradients of groups as if there were none
        lambda x, w: tg.conv2d(x, w, groups=2, padding=1),
        [(1, 4, 5, 6), (8, 2, 3, 3)],
        2 * (8 * 5 * 6) * (2 * 3 * 3),
        4 * (8 * 5 * 6) * (2 * 3 * 3),
    ),
    ("add", tg.add, [(3, 4), (3, 4)], 12, 0),
    ("multiply", tg.multiply, [(3, 4), (4,)], 12, 24),
    ("exp", tg.exp, [(3, 4)], 12, 12),
    ("mean", tg.mean, [(3, 4)], 12, 12),
    ("softmax", tg.softmax, [(3, 4)], 60, 48),
    ("reshape", lambda x: x.reshape(12), [(3, 4)], 0, 0),
    ("inv", lambda x: tg.inv(x + tg.eye(3)), [(3, 3)], 54, "?"),
]


@pytest.mark.parametrize(("name", "f", "shapes", "forward", "backward"), BY_HAND)
def test_ops_have_the_flops_that_one_counts_by_hand(name, f, shapes, forward, backward):
    found = counted(f, *(leaf(*shape) for shape in shapes))
    assert found["forward", name] == forward
    if backward is not None:
        assert found["backward", name] == (None if backward == "?" else backward)


def test_only_the_gradients_that_are_needed_count():
    a, b = leaf(3, 4), tg.ones((4, 5))
    assert counted(tg.matmul, a, b)["backward", "matmul"] == 2 * 60
    with tg.profile() as p, tg.no_grad():
        a @ b
    assert p.flops == 2 * 60


def test_inside_vmap_all_examples_count():
    x, w, flops = tg.ones((6, 3, 4)), leaf(4, 5), 6 * 2 * 60
    found = counted(tg.vmap(lambda x: tg.matmul(x, w)), x)
    assert (found["forward", "matmul"], found["backward", "matmul"]) == (flops, flops)
    with tg.profile() as p:
        tg.vmap(tg.grad(lambda x: tg.matmul(x, w.detach()).sum()))(x)
    assert {row.flops for row in p.rows if row.name == "matmul"} == {flops}
    with tg.profile() as p:
        tg.vmap(nn.Dense(4, 5))(leaf(6, 3, 4)).sum().backward()
    assert p.modules["Dense"].flops == 3 * flops


def test_casts_of_autocast_count_nothing_and_belong_to_their_module():
    model, x = nn.Sequential(nn.Dense(4, 5), nn.Tanh()), leaf(3, 4)
    with tg.profile() as p, tg.autocast("float16"):
        model(x).sum().backward()
    assert {row.name for row in p.rows if row.flops is None} == set()
    assert p.modules["Sequential.0"].flops == 3 * 2 * 60
    casts = [span for span in p.spans if span.kind == "node" and span.name == "astype"]
    assert {span.path for span in casts} >= {"Sequential.0"}


def test_hooks_of_gradients_take_no_count_away():
    model = nn.Sequential(nn.Dense(4, 5), nn.Tanh())
    with tg.tap(model, on="gradient"), tg.profile() as p:
        model(tg.ones((3, 4))).sum().backward()
    assert p.modules["Sequential.0"].flops == 2 * 2 * 60
    assert "no FLOPs are known" not in str(p)


def test_a_fused_function_has_no_count_that_an_op_of_its_name_has():
    @tg.fuse
    def exp(x):
        return tg.exp(x) * tg.tanh(x)

    assert counted(exp, leaf(3))["forward", "exp"] is None
    OPS["exp"] = tg.exp.op


def test_every_op_has_a_rule_or_is_named_as_one_without():
    """An op without a rule: add it to a table in inspect/flops, or to UNKNOWN."""
    assert all(
        (tg.distributions, tg.linalg, tg.signal, tg.special, tg.stats)
    )  # which have ops, too
    ours = {n for n, op in OPS.items() if op.forward.__module__.startswith("tinygrad_like.")}
    assert not ours - FLOPS.keys() - {*UNKNOWN}
    assert not (FLOPS.keys() | {*UNKNOWN}) - ours
    assert not FLOPS.keys() & {*UNKNOWN}


def test_an_op_of_a_user_has_no_count():
    @tg.op(x=lambda g: g)
    def multiply(be, x):
        return x * 2

    assert counted(lambda x: multiply(x), leaf(3))["forward", "multiply"] is None
    OPS["multiply"] = tg.multiply.op

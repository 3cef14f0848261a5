"""Recurrent layers: PyTorch's values, gradients and losses; states, lengths, errors."""

import copy
import math
import re

import numpy as np
import pytest
from case import several
from oracle import needs_torch, torch
from tinygrad_like.kernels import reference as k

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor, nn
from tinygrad_like.interchange import load_torch

KINDS = (nn.RNN, nn.GRU, nn.LSTM)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
N, T, D, H = 4, 6, 3, 5
LENGTHS = [4, 6, 1, 3]
CONFIGS = [
    (kind, how)
    for kind in KINDS
    for how in (
        {},
        {"num_layers": 3},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True},
        {"num_layers": 2, "dropout": 1.0},
    )
] + [(nn.RNN, {"num_layers": 2, "nonlinearity": "relu"})]


def pair_of(kind, how, dtype=np.float64):
    """Our layer and torch's, with torch's starting values."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind.__name__)(D, H, batch_first=True, **how)
    theirs = theirs.to(torch.float64 if dtype == np.float64 else torch.float32)
    ours = kind(D, H, **how).to(dtype)
    load_torch(ours, theirs.state_dict())
    return ours, theirs


def our_gradients(ours, theirs):
    """torch's gradients under our paths: of the two biases the one that ours stands for."""
    grads = {path: p.grad.clone() for path, p in theirs.named_parameters()}
    for path, g in grads.items():
        if "bias_hh" in path:
            g[: 2 * H if type(ours) is nn.GRU else None] = 0
    holder = copy.deepcopy(ours)
    load_torch(holder, grads)
    return holder.state_dict()


def close(ours, theirs, what):
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else theirs
    ours = ours.numpy() if isinstance(ours, Tensor) else ours
    np.testing.assert_allclose(ours, theirs, 1e-10, 1e-10, err_msg=what)


def torch_run(layer, x, state, lengths):
    if lengths is None:
        return layer(x, state)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
    out, state = layer(packed, state)
    return torch.nn.utils.rnn.pad_packed_sequence(out, True, total_length=T)[0], state


@needs_torch
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
@pytest.mark.parametrize("given", [False, True], ids=["", "state"])
@pytest.mark.parametrize(("kind", "how"), CONFIGS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_layer_agrees_with_torch(kind, how, given, lengths):
    """Outputs, states, and the gradients of x, of the first state and of all parameters."""
    ours, theirs = pair_of(kind, how)
    rng = np.random.default_rng(0)
    count = how.get("num_layers", 1) * (1 + how.get("bidirectional", False))
    arrays = [rng.normal(size=(N, T, D))]
    arrays += [rng.normal(size=(count, N, H)) for _ in range(given + (given and kind is nn.LSTM))]
    x, *states = [Tensor(a, requires_grad=True) for a in arrays]
    tx, *tstates = [torch.tensor(a, requires_grad=True) for a in arrays]
    pack = tuple if kind is nn.LSTM else lambda given: given[0]
    out, end = ours(x, pack(states) if given else None, lengths=lengths)
    tout, tend = torch_run(theirs, tx, pack(tstates) if given else None, lengths)
    pairs = list(zip([out, *several(end)], [tout, *several(tend)], strict=True))
    total, ttotal = 0, 0
    for y, ty in pairs:
        close(y.data, ty, "output or state")
        g = rng.normal(size=y.shape)
        total, ttotal = total + (y * Tensor(g)).sum(), ttotal + (ty * torch.tensor(g)).sum()
    total.backward()
    ttotal.backward()
    for a, b in zip([x, *states], [tx, *tstates], strict=True):
        close(a.grad.data, b.grad, "the gradient of x or of a state")
    expected = our_gradients(ours, theirs)
    for path, p in ours.named_parameters():
        close(p.grad.data, expected.pop(path), f"the gradient of {path}")
    assert not expected


@needs_torch
def test_ten_training_steps_of_a_char_model_follow_torch():
    """Embedding, LSTM in two layers, Dense, cross-entropy, Adam: the losses to 1e-5 in float32."""
    text = np.frombuffer((__doc__ * 20).encode(), np.uint8)
    symbols, ids = np.unique(text, return_inverse=True)
    count = len(symbols)
    tg.seed(1)
    table, layer, head = nn.Embedding(count, 12), nn.LSTM(12, 16, 2), nn.Dense(16, count)
    ours = nn.ModuleList([table, layer, head])
    optimizer = tg.optim.Adam(ours.parameters(), 1e-2)
    theirs = torch.nn.ModuleList(
        [
            torch.nn.Embedding(count, 12),
            torch.nn.LSTM(12, 16, 2, batch_first=True),
            torch.nn.Linear(16, count),
        ]
    )
    table.weight.data[...] = theirs[0].weight.detach().numpy()
    head.weight.data[...] = theirs[2].weight.detach().numpy().T
    head.bias.data[...] = theirs[2].bias.detach().numpy()
    for name, p in theirs[1].named_parameters():
        if "bias_hh" in name:  # ours is one bias
            torch.nn.init.zeros_(p).requires_grad_(False)
    load_torch(layer, theirs[1].state_dict())
    toptimizer = torch.optim.Adam([p for p in theirs.parameters() if p.requires_grad], 1e-2)
    state = tstate = None
    losses = []
    for step in range(10):  # the state is carried on, detached
        piece = ids[: 8 * 161].reshape(8, 161)[:, step * 16 : step * 16 + 17]
        x, y = piece[:, :-1], piece[:, 1:].ravel()
        out, state = layer(table(Tensor(x)), state)
        loss = tg.losses.cross_entropy(head(out).reshape(-1, count), Tensor(y))
        ours.zero_grad()
        loss.backward()
        optimizer.step()
        state = nn.detach_state(state)
        out, tstate = theirs[1](theirs[0](torch.tensor(x)), tstate)
        logits = theirs[2](out).reshape(-1, count)
        tloss = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
        toptimizer.zero_grad()
        tloss.backward()
        toptimizer.step()
        tstate = tuple(s.detach() for s in tstate)
        losses.append((loss.item(), tloss.item()))
    ours, theirs = np.array(losses).T
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert ours[-1] < ours[0] - 0.3


# States


def whole_and_pieces(layer, x, detached):
    """The outputs of a run over all of x, and of runs over two pieces that carry the state."""
    whole, end = layer(x)
    first, state = layer(x[:, :2])
    second, last = layer(x[:, 2:], nn.detach_state(state) if detached else state)
    return [whole, *several(end)], [tg.concatenate([first, second], axis=1), *several(last)]


@each_kind
def test_a_carried_state_continues_the_sequence(kind):
    layer = kind(D, H, 2).to(np.float64)
    x = tg.randn((N, T, D), dtype=np.float64)
    grads = []
    for outs in whole_and_pieces(layer, x, detached=False):
        layer.zero_grad()
        (outs[0] ** 2).sum().backward()
        grads.append([p.grad.numpy() for p in layer.parameters()])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    for a, b in zip(*whole_and_pieces(layer, x, detached=True), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


@each_kind
def test_a_state_that_was_not_detached_is_refused_with_the_remedy(kind):
    layer = kind(D, H, 2)
    x = tg.randn((N, T, D))
    out, state = layer(x)
    out.sum().backward()
    out, _ = layer(x, state)
    remedy = r"if a state is carried from step to step \(a hidden state, .*\), detach\(\) it"
    with pytest.raises(GraphError, match=remedy):
        out.sum().backward()
    out, _ = layer(x, nn.detach_state(state))
    out.sum().backward()


def test_detach_state_takes_every_form_of_state():
    h = tg.ones(2, requires_grad=True) * 2
    assert nn.detach_state(None) is None
    assert not nn.detach_state(h).requires_grad
    a, (b, c) = nn.detach_state((h, [h, None]))
    assert (a.requires_grad, b.requires_grad, c) == (False, False, None)


def test_either_part_of_an_lstm_state_may_be_left_out():
    layer = nn.LSTM(D, H)
    x, h = tg.randn((N, T, D)), tg.randn((1, N, H))
    expected, _ = layer(x, (h, tg.zeros((1, N, H))))
    out, _ = layer(x, (h, None))
    np.testing.assert_array_equal(out.numpy(), expected.numpy())


# Lengths


@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_each_sequence_ends_at_its_length(kind, bidirectional):
    """As if it were run alone and cut; NaN in the padding reaches neither values nor gradients."""
    layer = kind(D, H, 2, bidirectional=bidirectional).to(np.float64)
    lengths = [4, 6, 0, 3]
    x = np.random.default_rng(0).normal(size=(N, T, D))
    for n, steps in enumerate(lengths):
        x[n, steps:] = np.nan
    xs = Tensor(x, requires_grad=True)
    out, state = layer(xs, lengths=lengths)
    (out * out).sum().backward()
    grads = [p.grad.numpy() for p in layer.parameters()]
    layer.zero_grad()
    for n, steps in enumerate(lengths):
        one = Tensor(x[n : n + 1, :steps], requires_grad=True)
        expected, end = layer(one)
        (expected * expected).sum().backward()
        close(out.data[n, :steps], expected.numpy()[0], f"sequence {n}")
        assert not out.data[n, steps:].any()
        for a, b in zip(several(state), several(end), strict=True):
            close(a.data[:, n], b.numpy()[:, 0], f"the state of sequence {n}")
        close(xs.grad.data[n, :steps], one.grad.numpy()[0], f"the gradient of sequence {n}")
        assert not xs.grad.data[n, steps:].any()
    for a, p in zip(grads, layer.parameters(), strict=True):
        close(a, p.grad.numpy(), "the gradient of a parameter")


@pytest.mark.parametrize("make", [tuple, np.array, lambda v: np.array(v, np.uint8), Tensor])
def test_lengths_come_in_any_form_and_are_copied(make):
    layer, x = nn.GRU(D, H, bidirectional=True), tg.randn((N, T, D))
    expected, _ = layer(x, lengths=LENGTHS)
    given = make(LENGTHS)
    out, _ = layer(x, lengths=given)
    np.testing.assert_array_equal(out.numpy(), expected.numpy())
    (out**2).sum().backward()
    grad = layer.parameters()[0].grad.numpy()
    layer.zero_grad()
    out, _ = layer(x, lengths=given)
    if make is not tuple:
        given[...] = 1
    (out**2).sum().backward()
    np.testing.assert_array_equal(layer.parameters()[0].grad.numpy(), grad)


def test_an_empty_batch_with_lengths_is_one():
    out, (h, _) = nn.LSTM(D, H, 2)(tg.zeros((0, T, D)), lengths=[])
    assert (out.shape, h.shape) == ((0, T, H), (2, 0, H))


# Layers


def test_parameters_are_named_by_layer_and_direction():
    layer = nn.GRU(D, H, 2, bidirectional=True)
    shapes = {path: p.shape for path, p in layer.state_dict().items()}
    assert shapes == {
        f"layers.{k}.{direction}.{what}": shape
        for k, width in ((0, D), (1, 2 * H))
        for direction in ("forward", "reverse")
        for what, shape in (
            ("weight", (width, 3 * H)),
            ("recurrent", (H, 3 * H)),
            ("bias", (4 * H,)),
        )
    }
    assert repr(layer) == ("GRU(n_in=3, n_hidden=5, num_layers=2, bidirectional=True, dropout=0.0)")


@each_kind
def test_parameters_start_like_torchs(kind):
    tg.seed(0)
    bound = 1 / math.sqrt(64)
    for path, p in kind(50, 64, 2).named_parameters():
        assert p.dtype == np.float32
        assert 0.95 * bound < np.abs(p.numpy()).max() <= bound * 1.0001, path
        assert abs(p.numpy().mean()) < 0.1 * bound, path


def test_forget_bias_raises_the_forget_gates_alone():
    layers = []
    for forget_bias in (0.0, 1.5):
        tg.seed(0)
        layers.append(nn.LSTM(D, H, 2, bidirectional=True, forget_bias=forget_bias))
    for a, b in zip(*(layer.parameters() for layer in layers), strict=True):
        added = np.zeros(4 * H, np.float32)
        added[H : 2 * H] = 1.5 if a.ndim == 1 else 0
        np.testing.assert_allclose(
            b.numpy() - a.numpy(), np.broadcast_to(added, a.shape), atol=1e-6
        )


def test_dropout_acts_between_the_layers_in_training_only():
    x = tg.randn((N, T, D))
    tg.seed(0)
    one, two = nn.LSTM(D, H, dropout=0.9), nn.LSTM(D, H, 2, dropout=0.5)
    for layer, differs in ((one, False), (two, True)):
        training, evaluation = layer(x)[0].numpy(), layer.eval()(x)[0].numpy()
        assert np.array_equal(training, evaluation) is not differs


@each_kind
def test_half_precision_layers_stay_so(kind):
    layer = kind(D, H, 2, bidirectional=True).to(np.float16)
    out, state = layer(tg.randn((N, T, D), dtype=np.float16), lengths=LENGTHS)
    out.sum().backward()
    dtypes = {y.dtype for y in (out, *several(state), *(p.grad for p in layer.parameters()))}
    assert dtypes == {np.dtype(np.float16)}


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_gradients_that_are_not_needed_are_not_computed(name):
    blocks = {"rnn": 1, "gru": 3, "lstm": 4}[name]
    rng = np.random.default_rng(0)
    shapes = [(2, 3, 4), (4, blocks * 5), (5, blocks * 5), ((4 if blocks > 1 else 1) * 5,)]
    x, weight, recurrent, bias = (rng.normal(size=s) for s in shapes)
    states = [None] * (2 if name == "lstm" else 1)
    how = [None, False, *(["tanh"] if name == "rnn" else [])]
    out, *rest = getattr(k, name)(x, weight, recurrent, bias, *states, *how)
    ends, saved = rest[: len(states)], rest[len(states) :]
    given = [out, *ends, x, weight, recurrent, *states, out, *saved, *how]
    count = 4 + len(states)
    for i in range(count):
        needs = tuple(j == i for j in range(count))
        grads = getattr(k, f"{name}_backward")(*given, needs)
        assert [d is not None for d in grads] == list(needs)


# torch's state


@needs_torch
@each_kind
def test_a_layer_without_biases_is_taken_from_torch(kind):
    theirs = getattr(torch.nn, kind.__name__)(D, H, 2, bias=False, batch_first=True)
    ours = kind(D, H, 2)
    load_torch(ours, theirs.state_dict())
    x = np.random.default_rng(0).normal(size=(N, T, D)).astype(np.float32)
    expected = theirs(torch.tensor(x))[0].detach().numpy()
    np.testing.assert_allclose(ours(Tensor(x))[0].numpy(), expected, rtol=1e-5, atol=1e-6)


def torch_arrays(num_layers=1):
    one = {"weight_ih": (4 * H, D), "weight_hh": (4 * H, H), "bias_ih": 4 * H, "bias_hh": 4 * H}
    return {f"{what}_l{k}": np.ones(s) for k in range(num_layers) for what, s in one.items()}


def test_a_state_of_torch_that_does_not_fit_is_refused():
    state = torch_arrays()
    for layer, given, message in (
        (nn.LSTM(D, H, 2), state, "missing: weight_ih_l1"),
        (nn.LSTM(D, H, bidirectional=True), state, "missing: weight_ih_l0_reverse"),
        (nn.LSTM(D + 1, H), state, "shape: weight_ih_l0 is (20, 3), expected (20, 4)"),
        (nn.GRU(D, H), state, "shape: weight_ih_l0 is (20, 3), expected (15, 3)"),
        (nn.LSTM(D, H), torch_arrays(2), "unexpected: bias_hh_l1"),
        (nn.LSTM(D, H), {**state, "weight_hr_l0": np.ones((2, H))}, "unexpected: weight_hr_l0"),
    ):
        before = layer.state_dict()
        with pytest.raises(nn.StateError, match=re.escape(message)):
            load_torch(layer, given)
        for path, value in layer.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), before[path].numpy())


# Errors


def call(name, x=(N, T, D), blocks=None, weight=None, recurrent=None, bias=None, **more):
    """A call of an op with ones, of the right shapes but for those given."""
    gates, biases = {"rnn": (1, 1), "gru": (3, 4), "lstm": (4, 4)}[name]
    shapes = [x, weight or (D, gates * H), recurrent or (H, gates * H), bias or (biases * H,)]
    return getattr(tg, name)(*(tg.ones(s) if isinstance(s, tuple) else s for s in shapes), **more)


ERRORS = [
    (lambda: call("lstm", (N, D)), ValueError, "[lstm] x is (4, 3), expected (N, T, D)"),
    (lambda: call("gru", tg.zeros((N, T), dtype=np.int64)), ValueError,
     "[gru] x is (4, 6), expected (N, T, D); give token ids to an Embedding first"),
    (lambda: call("rnn", tg.zeros((N, T, D), dtype=np.int64)), TypeError,
     "[rnn] x has dtype int64, expected a floating one"),
    (lambda: call("lstm", (N, T, 2)), ValueError,
     "[lstm] x has 2 features, weight expects 3 (x: (4, 6, 2), weight: (3, 20))"),
    (lambda: call("lstm", recurrent=(H, 3 * H)), ValueError,
     "[lstm] recurrent is (5, 15), expected (H, 4 H)"),
    (lambda: call("rnn", recurrent=(H,)), ValueError, "[rnn] recurrent is (5,), expected (H, H)"),
    (lambda: call("gru", weight=(D, 4 * H)), ValueError,
     "[gru] weight is (3, 20), expected (D, 15): (D, 3 H), as recurrent is (5, 15)"),
    (lambda: call("gru", bias=(3 * H,)), ValueError, "[gru] bias is (15,), expected (20,)"),
    (lambda: call("lstm", h0=tg.ones((1, N, H))), ValueError,
     "[lstm] h0 is (1, 4, 5), expected (N, H): (4, 5)"),
    (lambda: call("lstm", c0=tg.ones((N, D))), ValueError,
     "[lstm] c0 is (4, 3), expected (N, H): (4, 5)"),
    (lambda: call("rnn", nonlinearity="sigmoid"), ValueError,
     "[rnn] nonlinearity is 'sigmoid', expected 'tanh' or 'relu'"),
    (lambda: call("rnn", lengths=[1, 2]), ValueError,
     "[rnn] lengths are (2,), expected (4,) (x: (4, 6, 3))"),
    (lambda: call("gru", lengths=3), ValueError, "[gru] lengths are (), expected (4,)"),
    (lambda: call("rnn", lengths=[1, 2, 3, 7]), ValueError,
     "[rnn] lengths are from 1 to 7, expected 0 to 6 (x: (4, 6, 3))"),
    (lambda: call("lstm", lengths=[1, 2, 3, -1]), ValueError,
     "[lstm] lengths are from -1 to 3, expected 0 to 6"),
    (lambda: call("lstm", lengths=[1, 2, 3, 4.0]), TypeError,
     "[lstm] lengths have dtype float64, expected integers"),
    (lambda: call("lstm", lengths=np.ones((N, T), bool)), TypeError,
     "[lstm] lengths have dtype bool, expected integers"),
    (lambda: call("lstm", [[1.0]]), TypeError, "[lstm] x is a list, expected a Tensor"),
    (lambda: nn.GRU(D, H)([[1.0]], tg.ones((1, 1, H))), TypeError,
     "[GRU] x is a list, expected a Tensor or an array"),
    (lambda: nn.LSTM(0, H), ValueError, "[LSTM] n_in is 0, expected a positive integer"),
    (lambda: nn.GRU(D, 2.5), TypeError, "[GRU] n_hidden is 2.5, expected a positive integer"),
    (lambda: nn.RNN(D, H, 0), ValueError, "[RNN] num_layers is 0, expected a positive integer"),
    (lambda: nn.RNN(D, H, nonlinearity="elu"), ValueError,
     "[RNN] nonlinearity is 'elu', expected 'tanh' or 'relu'"),
    (lambda: nn.LSTM(D, H, dropout=2), ValueError,
     "[LSTM] dropout is 2, expected a number from 0 to 1"),
    (lambda: nn.LSTM(D, H, bidirectional=2), ValueError,
     "[LSTM] bidirectional is 2, expected True or False"),
    (lambda: nn.LSTM(D, H, forget_bias="1"), TypeError, "[LSTM] forget_bias is '1', expected a"),
    (lambda: nn.LSTM(D, H)(tg.ones((N, T, H))), ValueError,
     "[lstm] x has 5 features, weight expects 3 (x: (4, 6, 5), weight: (3, 20)) (in LSTM)"),
    (lambda: nn.LSTM(D, H)(tg.ones((N, T, D)), tg.ones((1, N, H))), TypeError,
     "[LSTM] the state is a Tensor, expected a pair (h, c)"),
    (lambda: nn.GRU(D, H)(tg.ones((N, T, D)), (tg.ones((1, N, H)),) * 2), TypeError,
     "[GRU] the state h is a tuple, expected a Tensor or None"),
    (lambda: nn.LSTM(D, H, 2)(tg.ones((N, T, D)), (None, tg.ones((1, N, H)))), ValueError,
     "[LSTM] the state c is (1, 4, 5), expected (2, 4, 5): (num_layers * directions, N, n_hidden)"),
    (lambda: nn.RNN(D, H)(tg.ones((N, T, D)), tg.ones((1, 2, H))), ValueError,
     "[RNN] the state h is (1, 2, 5), expected (1, 4, 5): (num_layers * directions, N, n_hidden)"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "kind", "message"), ERRORS, ids=[m for _, _, m in ERRORS])
def test_what_does_not_fit_is_refused_by_name(wrong, kind, message):
    with pytest.raises(kind, match="^" + re.escape(message)):
        wrong()

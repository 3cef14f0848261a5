"""BERT and its heads: gradients, masks, segments, dropout, files, and what they refuse."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

RNG = np.random.default_rng(0)
IDS, SEGMENTS = RNG.integers(0, 11, (3, 6)), RNG.integers(0, 2, (3, 6))
PADDING = np.arange(6) >= np.array([[6], [4], [1]])
PLACES = np.array([[0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
HEADS = {
    "masked": nn.BERTForMaskedLM,
    "next": nn.BERTForNextSentencePrediction,
    "both": nn.BERTForPreTraining,
    "texts": lambda bert: nn.BERTForSequenceClassification(bert, 3),
    "tokens": lambda bert: nn.BERTForTokenClassification(bert, 3),
    "none": lambda bert: bert,
}


def bert(**options):
    return nn.BERT(11, 8, 8, 2, 2, **options)


def outputs(model, ids=IDS, segments=SEGMENTS, padding=PADDING, **options):
    found = model(ids, segments, key_padding_mask=padding, **options)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.long
@pytest.mark.parametrize("name", HEADS)
def test_gradients_of_both_orders_along_a_random_direction(name):
    """Of all parameters at once: the first derivative and the second against differences."""
    tg.seed(0)
    model = HEADS[name](bert()).to(np.float64)
    state = {path: p.detach() for path, p in model.named_parameters()}
    rng = np.random.default_rng(1)
    direction = {path: rng.standard_normal(p.shape) * 0.3 for path, p in state.items()}
    weights = [np.cos(np.arange(y.size)).reshape(y.shape) for y in outputs(model)]

    def along(step):
        moved = {path: p + step * direction[path] for path, p in state.items()}
        found = tg.functional_call(model, moved, IDS, SEGMENTS, key_padding_mask=PADDING)
        found = found if isinstance(found, tuple) else (found,)
        return sum(((y * w) ** 2).sum() for y, w in zip(found, weights, strict=True))

    tg.gradcheck(along, tg.Tensor(1.0, dtype=np.float64, requires_grad=True), order=2)
    assert along(tg.Tensor(1.0, dtype=np.float64)).item() > 0.01


def test_what_is_padding_changes_nothing_elsewhere():
    model = bert()
    changed = np.where(PADDING, (IDS + 3) % 11, IDS)
    assert (changed != IDS).any()
    for a, b in zip(outputs(model), outputs(model, changed), strict=True):
        seen = ~PADDING if a.ndim == 3 else slice(None)
        np.testing.assert_array_equal(a.numpy()[seen], b.numpy()[seen])
    alone, _ = model(IDS[1:2, :4], SEGMENTS[1:2, :4])
    hidden, _ = outputs(model)
    np.testing.assert_allclose(hidden.numpy()[1, :4], alone.numpy()[0], atol=1e-5)
    whole, _ = outputs(model, padding=None)
    assert np.abs(whole.numpy()[1, :4] - alone.numpy()[0]).max() > 1e-3


def test_every_token_is_seen_from_every_other():
    model = bert()
    changed = IDS.copy()
    changed[:, 3] = (IDS[:, 3] + 1) % 11
    a, b = model(IDS)[0].numpy(), model(changed)[0].numpy()
    assert (np.abs(a - b).max(axis=(0, 2)) > 0).all()


def test_all_tokens_are_of_the_first_segment_by_default():
    model = bert()
    for a, b, c in zip(model(IDS), model(IDS, IDS * 0), model(IDS, IDS * 0 + 1), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)
        assert np.abs(a.numpy() - c.numpy()).max() > 1e-3


@pytest.mark.parametrize("name", ["masked", "both"])
@pytest.mark.parametrize("kind", [np.asarray, tg.Tensor])
def test_logits_of_some_places_are_those_of_all_at_them(name, kind):
    model = HEADS[name](bert())
    whole, some = outputs(model)[0], outputs(model, places=kind(PLACES))[0]
    assert whole.shape == (3, 6, 11)
    assert some.shape == (3, 11)
    np.testing.assert_allclose(some.numpy(), whole.numpy()[PLACES], atol=1e-6)
    labels = IDS[PLACES]
    found = tg.grad(lambda w: loss_with(model, w, labels, PLACES))(model.bert.token.weight.detach())
    wanted = tg.grad(lambda w: loss_with(model, w, labels, None))(model.bert.token.weight.detach())
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-6)


def loss_with(model, weight, labels, places):
    state = {"bert.token.weight": weight}
    logits = tg.functional_call(model, state, IDS, places=places)
    logits = logits[0] if isinstance(logits, tuple) else logits
    return tg.losses.cross_entropy(logits if places is not None else logits[PLACES], labels)


def test_dropout_falls_in_training_alone():
    model = nn.BERTForSequenceClassification(bert(dropout=0.5), 3)
    assert model.dropout.p == 0.5
    assert not np.array_equal(model(IDS).numpy(), model(IDS).numpy())
    model.eval()
    np.testing.assert_array_equal(model(IDS).numpy(), model(IDS).numpy())


def test_heads_share_the_bert_and_leave_its_weights():
    model = bert()
    before = {path: p.numpy().copy() for path, p in model.named_parameters()}
    first, second = nn.BERTForPreTraining(model), nn.BERTForSequenceClassification(model, 4)
    assert first.bert is second.bert is model
    for path, p in second.bert.named_parameters():
        np.testing.assert_array_equal(p.numpy(), before[path])
    assert dict(first.named_parameters())["bert.token.weight"] is model.token.weight
    loss = tg.losses.cross_entropy(nn.BERTForMaskedLM(model)(IDS), IDS).item()
    assert abs(loss - np.log(11)) < 0.1, "a new model should know no more than chance"


@pytest.mark.parametrize("name", HEADS)
def test_a_file_keeps_a_model(name, tmp_path):
    model, again = (HEADS[name](bert(dropout=0.1)).eval() for _ in range(2))
    tg.io.save(tmp_path / "model.safetensors", model.state_dict())
    again.load_state_dict(tg.io.load(tmp_path / "model.safetensors"))
    for a, b in zip(outputs(model), outputs(again), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_summary_counts_the_tied_embedding_once():
    model = nn.BERTForPreTraining(bert())
    count = sum(p.size for p in model.parameters())
    assert count == 11 * 8 + 8 * 8 + 2 * 8 + 16 + 2 * 872 + 2 * 72 + 16 + 11 + 18
    assert f"{count:,} parameters" in str(model.summary(IDS))


def test_no_texts_no_tokens_and_no_places_give_empty_outputs():
    model = nn.BERTForPreTraining(bert())
    assert [y.shape for y in outputs(model, *(a[:0] for a in (IDS, SEGMENTS, PADDING)))] == [
        (0, 6, 11), (0, 2)
    ]  # fmt: skip
    assert outputs(model, places=np.zeros_like(PLACES))[0].shape == (0, 11)
    assert bert(pooler=False)(IDS[:, :0])[0].shape == (3, 0, 8)


def test_half_precision_stays_half():
    """The eps of the norms is less than any number of float16."""
    model = nn.BERTForPreTraining(bert()).to(np.float16)
    for y in outputs(model):
        assert y.dtype == np.float16
        assert np.isfinite(y.numpy()).all()


REFUSED = {
    "one text": (lambda: bert()(IDS[0]), ValueError, r"\[BERT\] ids are \(6,\), expected \(N, T\)"),
    "a list": (lambda: bert()([[1, 2]]), TypeError, r"\[BERT\] ids is a list, expected a Tensor"),
    "too long": (
        lambda: bert()(np.zeros((1, 9), int)), ValueError,
        r"\[BERT\] the sequence has 9 tokens, more than the context of 8",
    ),
    "an id": (lambda: bert()(IDS + 9), IndexError, r"expected 0 to 10 \(in model.token\)"),
    "a segment": (
        lambda: bert()(IDS, SEGMENTS + 1), IndexError, r"expected 0 to 1 \(in model.segment\)",
    ),
    "segments": (
        lambda: bert()(IDS, SEGMENTS[:, :5]), ValueError,
        r"\[BERT\] segments is \(3, 5\), ids are \(3, 6\)",
    ),
    "padding": (
        lambda: bert()(IDS, key_padding_mask=PADDING[:2]), ValueError,
        r"\[BERT\] key_padding_mask is \(2, 6\), ids are \(3, 6\)",
    ),
    "a list of segments": (
        lambda: bert()(IDS, [[0, 1]]), TypeError, r"\[BERT\] segments is a list, expected a Tensor",
    ),
    "no token": (
        lambda: bert()(IDS[:, :0]), ValueError,
        r"\[BERT\] ids are \(3, 0\), expected at least one token, which the pooler takes",
    ),
    "places": (
        lambda: nn.BERTForMaskedLM(bert())(IDS, places=PLACES[:2]), ValueError,
        r"\[MaskedTokens\] places are \(2, 6\), expected \(3, 6\)",
    ),
    "numbers of places": (
        lambda: nn.BERTForMaskedLM(bert())(IDS, places=IDS), TypeError,
        r"\[MaskedTokens\] places are int64, expected booleans",
    ),
    "no pooler": (
        lambda: nn.BERTForPreTraining(bert(pooler=False)), ValueError,
        r"\[BERTForPreTraining\] needs an nn.BERT with a pooler, got one with pooler=False",
    ),
    "no BERT": (
        lambda: nn.BERTForMaskedLM(nn.Dense(2, 3)), TypeError,
        r"\[BERTForMaskedLM\] bert is a Dense, expected an nn.BERT",
    ),
    "classes": (
        lambda: nn.BERTForTokenClassification(bert(), 0), ValueError,
        r"\[BERTForTokenClassification\] classes is 0, expected a positive integer",
    ),
    "activation": (lambda: bert(activation="mish"), ValueError, "activation is 'mish', expected"),
    "layers": (lambda: nn.BERT(11, 8, 8, 0, 2), ValueError, r"\[BERT\] num_layers is 0, expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()

"""Beam search: with a beam that drops nothing it finds what trying all sequences finds."""

import itertools

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

VOCABULARY, START, END, LENGTH = 4, 4, 3, 3


class Translator(nn.Module):
    """A transformer from ids (N, S) to a few tokens."""

    def __init__(self):
        self.source, self.target = nn.Embedding(7, 8), nn.Embedding(VOCABULARY + 1, 8)
        self.position = nn.PositionalEncoding(8)
        self.encoder = nn.TransformerEncoder(8, 2, 16, 1)
        self.decoder = nn.TransformerDecoder(8, 2, 16, 1)
        self.head = nn.Dense(8, VOCABULARY)

    def encode(self, ids):
        return self.encoder(self.position(self.source(ids))), ids != 0

    def decode(self, before, memory, seen, cache=None):
        cache = cache or nn.KeyValueCache()
        x = self.position(self.target(before), offset=cache.length)
        x = self.decoder(x, memory, memory_mask=seen[:, None, None], cache=cache)
        return 3 * self.head(x), cache

    def step(self, ids, state):
        logits, cache = self.decode(tg.Tensor(ids), *state)
        return logits[:, -1], (*state[:2], cache)


class Recurrent(nn.Module):
    """The same by an LSTM that starts from the mean of the source."""

    def __init__(self):
        self.source, self.target = nn.Embedding(7, 8), nn.Embedding(VOCABULARY + 1, 8)
        self.lstm, self.head = nn.LSTM(8, 8), nn.Dense(8, VOCABULARY)

    def encode(self, ids):
        h = self.source(ids).mean(axis=1)[None]
        return h, tg.zeros_like(h)

    def decode(self, before, h, c):
        out, state = self.lstm(self.target(before), (h, c))
        return 5 * self.head(out), state

    def step(self, ids, state):
        logits, state = self.decode(tg.Tensor(ids), *state)
        return logits[:, -1], state

    @staticmethod
    def reorder(state, rows):
        return tuple(part[:, rows] for part in state)


def every_sequence(model, source, end, penalty):
    """[(tokens, log P)] of all that can be written, best first; the whole text in one pass."""
    found = []
    memory = model.encode(source)
    for tokens in itertools.product(range(VOCABULARY), repeat=LENGTH):
        if end in tokens and any(t != end for t in tokens[tokens.index(end) :]):
            continue  # the same text as one that goes on otherwise after its end
        before = tg.Tensor([[START, *tokens[:-1]]])
        log_p = tg.log_softmax(model.decode(before, *memory)[0])[0].numpy().astype(np.float64)
        count = tokens.index(end) + 1 if end in tokens else LENGTH
        score = sum(log_p[t, tokens[t]] for t in range(count))
        written = tokens[: tokens.index(end)] if end in tokens else tokens
        found.append((written, score, score / count**penalty))
    found.sort(key=lambda each: -each[2])
    return [each[:2] for each in found]


def search(model, source, **options):
    state = model.encode(tg.Tensor(source))
    state = (*state, None) if isinstance(model, Translator) else state
    reorder = getattr(model, "reorder", None)
    starts = np.full((len(source), 1), START)
    return nn.beam_search(model.step, starts, state, length=LENGTH, reorder=reorder, **options)


@pytest.fixture(params=[Translator, Recurrent])
def model(request):
    tg.seed(1)
    return request.param().eval()


SOURCE = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [2, 2, 1, 6]])


@pytest.mark.parametrize(("end", "penalty"), [(END, 0.0), (END, 1.0), (None, 0.0)])
def test_a_beam_that_drops_nothing_finds_all_sequences_in_order(model, end, penalty):
    found = search(model, SOURCE, width=VOCABULARY**LENGTH, end=end, length_penalty=penalty)
    with tg.no_grad():
        for i, results in enumerate(found):
            expected = every_sequence(model, tg.Tensor(SOURCE[i : i + 1]), end, penalty)
            assert [tuple(tokens) for tokens, _ in results] == [tokens for tokens, _ in expected]
            scores = [[score for _, score in each] for each in (results, expected)]
            np.testing.assert_allclose(*scores, rtol=1e-5)


def test_a_beam_of_one_is_greedy_and_a_batch_is_its_rows_one_by_one(model):
    found = search(model, SOURCE, width=1, end=END)
    with tg.no_grad():
        for i, ((tokens, _),) in enumerate(found):
            memory, before = model.encode(tg.Tensor(SOURCE[i : i + 1])), [START]
            for _ in range(LENGTH):
                logits, _ = model.decode(tg.Tensor([before]), *memory)
                before.append(int(logits.numpy()[0, -1].argmax()))
                if before[-1] == END:
                    break
            assert tokens.tolist() == [token for token in before[1:] if token != END]
    together = search(model, SOURCE, width=3, end=END)
    for i, results in enumerate(together):
        alone = search(model, SOURCE[i : i + 1], width=3, end=END)[0]
        assert [tuple(a) for a, _ in results] == [tuple(b) for b, _ in alone]
        np.testing.assert_allclose([a for _, a in results], [b for _, b in alone], rtol=1e-5)


def test_a_gpt_is_searched_through_its_cache():
    tg.seed(0)
    gpt = nn.GPT(5, 8, 16, 1, 2).eval()

    def step(ids, cache):
        cache = cache or nn.KeyValueCache()
        return gpt(ids, cache=cache)[:, -1], cache

    ((tokens, score), *_) = nn.beam_search(step, [[1, 2]], length=3, width=5**3)[0]
    with tg.no_grad():
        texts = np.array([[1, 2, *rest] for rest in itertools.product(range(5), repeat=3)])
        log_p = tg.log_softmax(gpt(texts[:, :-1])).numpy()[:, 1:]
    sums = np.take_along_axis(log_p, texts[:, 2:, None], 2).sum(axis=(1, 2))
    assert tokens.tolist() == texts[sums.argmax(), 2:].tolist()
    assert score == pytest.approx(sums.max(), rel=1e-5)


def flat(ids, state):
    return np.zeros((len(ids), 3)), state


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.beam_search(flat, [1], length=2), ValueError, "prompt has shape (1,), expec"),
        (lambda: nn.beam_search(flat, [[0.5]], length=2), TypeError, "of float64, expected int"),
        (lambda: nn.beam_search(flat, [[1]], length=0), ValueError, "length is 0"),
        (lambda: nn.beam_search(flat, [[1]], length=1, width=0), ValueError, "width is 0"),
        (lambda: nn.beam_search(flat, [[1]], length=1, end=3), ValueError, "end is 3, expected 0"),
        (
            lambda: nn.beam_search(lambda ids, s: (np.zeros((1, 1, 3)), s), [[1]], length=1),
            ValueError,
            "step returned logits (1, 1, 3), expected (1, vocabulary)",
        ),
        (
            lambda: nn.beam_search(lambda ids, s: (np.full((1, 3), np.nan), s), [[1]], length=1),
            ValueError,
            "there are NaN among the logits",
        ),
        (
            lambda: nn.beam_search(flat, [[1]], length=1, length_penalty=-1),
            ValueError,
            "length_penalty is -1",
        ),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value).startswith("[beam_search] ")
    assert words in str(raised.value)


def test_a_state_may_lie_in_any_container_and_numbers_stay():
    states = []

    def step(ids, state):
        states.append(state)
        return np.log([[0.2, 0.8]] * len(ids)) * np.array(state["sign"])[0][:, None], state

    sign = [np.array([1.0, -1.0])]
    found = nn.beam_search(step, [[0], [0]], {"sign": sign, "count": 2}, length=2, width=2)
    assert [results[0][0].tolist() for results in found] == [[1, 1], [0, 0]]
    assert states[1]["sign"][0].tolist() == [1, 1, -1, -1]
    assert states[1]["count"] == 2

"""Text: the corpora, characters as numbers and back, random crops and their resuming."""

import hashlib
import os
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_like as tg
from tinygrad_like.data import (
    DataError,
    DataUnavailable,
    TextBatches,
    Vocabulary,
    text,
    text_corpus,
    tiny_shakespeare,
)

PLAY = "First Citizen:\nBefore we proceed any further, hear me speak.\n"


@pytest.fixture
def play(monkeypatch, tmp_path):
    """A small text in the place of Shakespeare's; no other can be reached."""
    digest = hashlib.sha256(PLAY.encode()).hexdigest()
    monkeypatch.setattr(text, "SHAKESPEARE", replace(text.SHAKESPEARE, digest=digest, mirrors=()))
    monkeypatch.delenv("TINYGRAD_LIKE_DATA", raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", str(cache))
    return PLAY.encode()


# The corpora


@pytest.mark.parametrize("subfolder", ["tinyshakespeare", "."])
@pytest.mark.parametrize("by", ["root", "environment", "cache"])
def test_tiny_shakespeare_is_found(play, tmp_path, monkeypatch, by, subfolder):
    folder = tmp_path / "data" / subfolder
    if by == "cache":
        folder = tmp_path / "cache" / "tinygrad_like" / "tinyshakespeare"
    folder.mkdir(parents=True)
    (folder / "input.txt").write_bytes(play)
    if by == "environment":
        monkeypatch.setenv("TINYGRAD_LIKE_DATA", str(tmp_path / "data"))
    assert tiny_shakespeare(tmp_path / "data" if by == "root" else None) == PLAY


def test_a_damaged_text_is_named_with_both_checksums(play, tmp_path):
    (tmp_path / "input.txt").write_bytes(play[:-1])
    with pytest.raises(DataError) as caught:
        tiny_shakespeare(tmp_path)
    found, expected = (hashlib.sha256(x).hexdigest() for x in (play[:-1], play))
    assert str(caught.value) == (
        f"[tiny_shakespeare] {tmp_path / 'input.txt'} is truncated or altered: its "
        f"{len(play) - 1} bytes have sha256 {found}, expected {expected}; "
        "delete this file or download it again"
    )


def test_a_text_that_cannot_be_had_says_where_it_was_looked_for(play, tmp_path):
    with pytest.raises(DataUnavailable) as caught:
        tiny_shakespeare(tmp_path)
    message = str(caught.value)
    assert "[tiny_shakespeare] input.txt is not on this machine and could not be" in message
    assert f"looked in: {tmp_path / 'tinyshakespeare'}, {tmp_path}, " in message
    assert message.endswith("or use text_corpus(), which needs no download.")


@pytest.mark.skipif(
    not os.environ.get("TINYGRAD_LIKE_DATA"),
    reason="TINYGRAD_LIKE_DATA is not set: set it to a folder with tinyshakespeare/input.txt",
)
def test_the_real_tiny_shakespeare_is_read():
    found = tiny_shakespeare()
    vocabulary = Vocabulary(found)
    assert len(found) == 1_115_394
    assert len(vocabulary) == 65
    assert vocabulary.decode(vocabulary.encode(found)) == found


def test_python_brings_a_corpus_of_its_own():
    corpus = text_corpus()
    assert len(corpus) > 300_000
    assert 60 < len(Vocabulary(corpus)) < 300
    assert corpus == text_corpus()


def test_a_python_without_its_documentation_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataUnavailable, match=r"^\[text_corpus\] this Python comes without its"):
        text_corpus()


# Vocabulary


@given(st.text(st.characters(), min_size=2).filter(lambda t: len(set(t)) > 1))
def test_decoding_takes_encoding_back(string):
    vocabulary = Vocabulary(string)
    assert vocabulary.characters == "".join(sorted(set(string)))
    ids = vocabulary.encode(string)
    assert ids.dtype == np.int64
    assert ids.tolist() == [vocabulary.characters.index(c) for c in string]
    assert vocabulary.decode(ids) == string
    assert Vocabulary(vocabulary.characters).encode(string).tolist() == ids.tolist()


def test_decoding_takes_tensors_lists_and_single_ids():
    vocabulary = Vocabulary("abc")
    assert vocabulary.decode(tg.Tensor([2, 0])) == "ca"
    assert vocabulary.decode(np.uint8(1)) == "b"
    assert vocabulary.decode([]) == ""
    assert vocabulary.encode("").shape == (0,)
    assert repr(vocabulary) == "Vocabulary('abc')"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Vocabulary(""), ValueError, "[Vocabulary] the text is empty: there is nothing"),
        (
            lambda: Vocabulary("aaa"),
            ValueError,
            "[Vocabulary] the text has one distinct character, 'a': there is nothing to predict",
        ),
        (lambda: Vocabulary(b"ab"), TypeError, "[Vocabulary] text is a bytes, expected a string"),
        (lambda: Vocabulary("ab").encode(3), TypeError, "[encode] text is a int, expected"),
        (
            lambda: Vocabulary("ab").encode("bacd\U0001f600"),
            ValueError,
            "[encode] the vocabulary lacks 'c', 'd', '\U0001f600'; it has 'ab'",
        ),
        (
            lambda: Vocabulary("ab").encode("cdefghijklmn"),
            ValueError,
            "'k', 'l' and 2 more; it has 'ab'",
        ),
        (lambda: Vocabulary("bd").encode("ac"), ValueError, "lacks 'a', 'c'; it has 'bd'"),
        (
            lambda: Vocabulary("ab").decode([0, 2]),
            IndexError,
            "[decode] there is no character 2, expected 0 to 1",
        ),
        (lambda: Vocabulary("ab").decode([-1]), IndexError, "no character -1, expected 0 to 1"),
        (lambda: Vocabulary("ab").decode([0.5]), TypeError, "ids are float64 (1,), expected int"),
        (lambda: Vocabulary("ab").decode([[0]]), TypeError, "[decode] ids are int64 (1, 1)"),
    ],
)
def test_what_a_vocabulary_cannot_do_is_said(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


# TextBatches


def test_batches_are_crops_and_what_follows_them():
    ids = np.random.default_rng(0).integers(0, 200, 1000).astype(np.uint8)
    batches = TextBatches(ids, context=16, batch_size=50)
    for x, y in (next(batches) for _ in range(5)):
        assert (x.shape, y.shape, x.dtype) == ((50, 16), (50, 16), np.uint8)
        assert x.flags.c_contiguous
        assert x.flags.owndata
        np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert batches.step == 5


def test_every_crop_is_drawn_the_first_and_the_last_too():
    batches = TextBatches(np.arange(8), context=5, batch_size=200)
    x, y = next(batches)
    assert set(x[:, 0].tolist()) == {0, 1, 2}
    assert (y == x + 1).all()
    x, y = next(TextBatches(np.arange(6), context=5, batch_size=1))
    assert (x.tolist(), y.tolist()) == ([[0, 1, 2, 3, 4]], [[1, 2, 3, 4, 5]])


def drawn(seed, step, **sizes):
    batches = TextBatches(np.arange(10_000), **{"context": 4, "batch_size": 8, **sizes}, seed=seed)
    batches.step = step
    return next(batches)[0].tolist()


def test_a_batch_depends_on_seed_and_step_alone():
    assert drawn(3, 7) == drawn(3, 7)
    assert drawn(3, 7) != drawn(3, 8)
    assert drawn(3, 7) != drawn(4, 7)


def test_batches_go_on_where_their_state_was_taken():
    ids = np.arange(500)
    first = TextBatches(ids, 4, 8, seed=5)
    for _ in range(3):
        next(first)
    state = first.state_dict()
    assert all(type(value) is int for value in state.values())
    second = TextBatches(ids, 4, 8, seed=5)
    second.load_state_dict(state)
    for _ in range(3):
        for a, b in zip(next(first), next(second), strict=True):
            np.testing.assert_array_equal(a, b)


def test_batches_without_a_seed_draw_one_and_load_it_with_a_state():
    ids = np.arange(500)
    first, second = (TextBatches(ids, 4, 8) for _ in range(2))
    assert first.seed != second.seed
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(next(first)[0], next(second)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "the state is of batches with seed 1, this one has seed 0"),
        ({"ids": 9}, "the state is of batches with ids 9, this one has ids 10"),
        ({"context": 9}, "the state is of batches with context 9, this one has context 2"),
        ({"step": -1}, "state's step is -1, expected an integer of 0 or more"),
        ({"epoch": 1}, "state has ['batch_size', 'context', 'epoch', 'ids', 'seed', 'step'], "),
    ],
)
def test_the_state_of_other_batches_is_refused(change, message):
    batches = TextBatches(np.arange(10), 2, 3, seed=0)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        batches.load_state_dict({**batches.state_dict(), **change})
    assert str(caught.value).startswith(f"[TextBatches] {message}")
    assert batches.step == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (np.arange(8), 8, 1),
            ValueError,
            "the text has 8 ids, expected at least context + 1 = 9: take a longer text or a",
        ),
        ((np.arange(0), 1, 1), ValueError, "the text has 0 ids, expected at least context + 1 = 2"),
        ((np.ones(8), 2, 1), TypeError, "ids are float64, expected integers"),
        (("text", 2, 1), TypeError, "ids are <U4, expected integers"),
        ((np.ones((2, 4), int), 2, 1), ValueError, "ids have shape (2, 4), expected (N,)"),
        ((np.arange(8), 0, 1), ValueError, "context is 0, expected a positive integer"),
        ((np.arange(8), 2, 1.5), TypeError, "batch_size is 1.5, expected a positive integer"),
    ],
)
def test_batches_that_cannot_be_are_refused(arguments, error, message):
    with pytest.raises(error) as caught:
        TextBatches(*arguments)
    assert str(caught.value).startswith(f"[TextBatches] {message}")


def test_batches_are_fast():
    """nanoGPT's size, (12, 64) from a million ids, in well under a tenth of a training step."""
    batches = TextBatches(np.zeros(1_000_000, np.int64), 64, 12)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        next(batches)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2e-3, f"{min(seconds) * 1e3:.2f} ms for one batch"

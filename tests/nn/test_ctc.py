"""Labels read from frames: greedy, by beam search, and aligned; against all paths one by one."""

import itertools

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

RNG = np.random.default_rng(0)
T, CLASSES = 5, 3
COUNTS = np.array([5, 3, 1, 4])
X = np.log(RNG.dirichlet(np.ones(CLASSES), (T, len(COUNTS))))


def read(path, blank):
    """The labels that a path of classes is read as."""
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


def every_path(i, blank=0):
    """{labels: {path: log P}} of sequence i."""
    found = {}
    for path in itertools.product(range(CLASSES), repeat=COUNTS[i]):
        log_p = sum(X[t, i, c] for t, c in enumerate(path))
        found.setdefault(read(path, blank), {})[path] = log_p
    return found


@pytest.mark.parametrize("blank", [0, 2])
def test_greedy_reads_the_likeliest_path(blank):
    found = nn.ctc_greedy(tg.Tensor(X), COUNTS, blank=blank)
    for i, labels in enumerate(found):
        path = X[: COUNTS[i], i].argmax(axis=1)
        assert tuple(labels) == read(path, blank)
        assert labels.dtype == np.int64
    whole = nn.ctc_greedy(X, blank=blank)
    assert tuple(whole[1]) == read(X[:, 1].argmax(axis=1), blank)


@pytest.mark.parametrize("blank", [0, 2])
def test_a_beam_that_drops_nothing_scores_all_labels_by_all_their_paths(blank):
    found = nn.ctc_beam(X, COUNTS, blank=blank, width=1000)
    for i, results in enumerate(found):
        paths = every_path(i, blank)
        exact = {k: np.logaddexp.reduce(list(v.values())) for k, v in paths.items()}
        assert {tuple(labels) for labels, _ in results} == set(exact)
        for labels, score in results:
            assert score == pytest.approx(exact[tuple(labels)], rel=1e-12)
        scores = [score for _, score in results]
        assert scores == sorted(scores, reverse=True)


def test_the_score_of_a_beam_is_minus_the_loss():
    results = nn.ctc_beam(X[:, :1], width=1000)[0]
    for labels, score in results[:5]:
        loss = tg.losses.ctc(
            tg.Tensor(X[:, :1]), labels[None].astype(int), [T], [len(labels)], reduction="sum"
        )
        assert score == pytest.approx(-loss.item(), rel=1e-12)


def test_a_narrow_beam_never_scores_above_the_truth_and_finds_no_less_when_it_is_wider():
    rng = np.random.default_rng(1)
    x = np.log(rng.dirichlet(np.full(5, 0.2), (40, 3)) + 1e-9)
    best = []
    for width in (2, 8, 100):
        found = nn.ctc_beam(x, width=width)
        assert [len(results) for results in found] == [width] * 3
        best.append([results[0][1] for results in found])
        for i, results in enumerate(found):
            for labels, score in results[:8]:
                call = x[:, i : i + 1], labels[None], [40], [len(labels)]
                assert score <= -tg.losses.ctc(*map(tg.Tensor, call), reduction="sum").item() + 1e-9
    assert (np.diff(best, axis=0) >= -1e-9).all()


TARGETS = np.array([[1, 1, 2], [2, 1, 0], [1, 9, 9], [9, 9, 9]])
LENGTHS = np.array([3, 2, 1, 0])


def test_an_alignment_is_the_likeliest_path_of_its_target():
    places, scores = nn.ctc_align(X, TARGETS, COUNTS, LENGTHS)
    for i, count in enumerate(COUNTS):
        target = tuple(TARGETS[i, : LENGTHS[i]])
        path, best = max(every_path(i)[target].items(), key=lambda pair: pair[1])
        assert scores[i] == pytest.approx(best, rel=1e-12)
        found = [TARGETS[i, k] if k >= 0 else 0 for k in places[i, :count]]
        assert tuple(found) == path
        assert (places[i, count:] == -1).all()
        labels = [k for k, _ in itertools.groupby(places[i, :count]) if k >= 0]
        assert labels == list(range(LENGTHS[i])), "each label is met once, in order"


def test_an_alignment_may_have_another_blank_and_all_labels():
    places, scores = nn.ctc_align(tg.Tensor(X[:, :1]), [[0, 1]], blank=2)
    path, best = max(every_path(0, 2)[0, 1].items(), key=lambda pair: pair[1])
    assert scores[0] == pytest.approx(best)
    assert tuple(np.append([0, 1], 2)[places[0]]) == path


NOT_A_NUMBER = np.where(np.arange(T)[:, None, None] == 2, np.nan, X)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.ctc_greedy(X[0]), ValueError, "log_probs are (4, 3), expected (t, n, c)"),
        (lambda: nn.ctc_greedy(X[:0]), ValueError, "log_probs are (0, 4, 3), expected (t, n, c)"),
        (lambda: nn.ctc_greedy(X, [6] * 4), ValueError, "input_lengths contain 6, expected 1 to 5"),
        (lambda: nn.ctc_greedy(X, [1.0] * 4), TypeError, "input_lengths are of float64"),
        (lambda: nn.ctc_greedy(X, [1]), ValueError, "input_lengths are (1,), expected one for"),
        (lambda: nn.ctc_greedy(X, blank=3), ValueError, "blank is 3, expected 0 to 2"),
        (lambda: nn.ctc_beam(NOT_A_NUMBER), ValueError, "there are NaN among log_probs"),
        (lambda: nn.ctc_beam(X, width=0), ValueError, "width is 0"),
        (
            lambda: nn.ctc_align(X, [[1, 1, 2]] * 4, [4, 5, 3, 5]),
            ValueError,
            "sequence 2 has 3 frames, expected at least 4 for its 3 labels, of which 1 follow an",
        ),
        (lambda: nn.ctc_align(X, [[3]] * 4), IndexError, "targets contain 3, expected 0 to 2"),
        (lambda: nn.ctc_align(X, [[0]] * 4), ValueError, "targets contain the blank, 0"),
        (lambda: nn.ctc_align(X, [[1]]), ValueError, "targets are (1, 1), expected (n, s)"),
        (lambda: nn.ctc_align(X, [[1.0]] * 4), TypeError, "targets are of float64, expected int"),
        (
            lambda: nn.ctc_align(X, [[1]] * 4, None, [2] * 4),
            ValueError,
            "target_lengths contain 2, expected 0 to 1",
        ),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
    assert str(raised.value).startswith("[ctc_")

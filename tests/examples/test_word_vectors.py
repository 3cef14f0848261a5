"""examples/language/word_vectors.py: word2vec and GloVe of a text, and what their vectors know."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like.backend import num_threads

FOLDER = Path(__file__).parents[2] / "examples" / "language"
KINDS = {"kin": "father mother brother sister son daughter".split()}
KINDS["numbers"] = "two three four five six seven".split()
ALL = [*KINDS["kin"], *KINDS["numbers"]]


@pytest.fixture(scope="module", autouse=True)
def beside_the_example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        threads = num_threads()
        yield
        tg.set_num_threads(threads)


def example(name="word_vectors"):
    return importlib.import_module(name)


def text_of_two_kinds(count=1500):
    """Sentences in which the words of a kind stand in each other's places: my father is kind."""
    rng = np.random.default_rng(0)
    frames = {"kin": "my {} is kind to his {}", "numbers": "count {} sheep and {} cows"}
    drawn = ((kind, rng.choice(KINDS[kind], 2)) for kind in rng.choice(list(frames), count))
    return "\n".join(frames[kind].format(*pair) for kind, pair in drawn)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "text.txt").write_text(text_of_two_kinds(), encoding="utf-8")
    return tmp_path / "text.txt"


def run(path, out, *options):
    given = ("--text", str(path), "--out", str(out), "--width", "16", "--sample", "1", *options)
    assert example().main(given) == 0
    return out


def score_said(said):
    return float(re.search(r"^score (\d\.\d+)", said, re.MULTILINE)[1])


@pytest.mark.long
@pytest.mark.parametrize("method", ["word2vec", "glove"])
def test_a_run_finds_the_kinds_of_words_and_draws_them(method, path, tmp_path, capsys):
    epochs = {"word2vec": "8", "glove": "60"}[method]
    options = ("--method", method, "--epochs", epochs, "--near", "two,zebra")
    out = run(path, tmp_path / "run", *options)
    said = capsys.readouterr().out
    assert score_said(said) > 0.95, said
    assert float(re.search(r"by chance +(0\.\d+)", said)[1]) < 0.7
    (near,) = re.findall(rf"^two +{method} +(.*)$", said, re.MULTILINE)
    # GloVe's vectors also lie near those of the words beside them: two sheep.
    assert len(set(near.split(", ")[:3]) & set(KINDS["numbers"])) >= 2, near
    assert "'zebra' is not among" in said
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_the_score_is_at_least_gensims_on_a_small_text(path, tmp_path, capsys):
    imported("gensim")
    run(path, tmp_path / "run", "--epochs", "8", "--gensim")
    said = capsys.readouterr().out
    ours, theirs = (
        float(re.search(rf"^{name} +(\d\.\d+)", said, re.MULTILINE)[1])
        for name in ("word2vec", "gensim")
    )
    assert ours >= min(theirs, 0.97), said


@pytest.mark.long
@pytest.mark.parametrize("method", ["word2vec", "glove"])
def test_a_run_that_goes_on_ends_with_the_same_bytes(method, path, tmp_path, monkeypatch):
    monkeypatch.setattr(tg.Run, "plot", lambda *_, **options: True)  # the map takes a while
    options = ("--method", method, "--epochs", "2")
    whole = run(path, tmp_path / "whole", *options)
    loop = tg.Run.steps

    def stopped(run, count):
        yield from loop(run, count // 2)

    monkeypatch.setattr(tg.Run, "steps", stopped)
    part = run(path, tmp_path / "part", *options)
    monkeypatch.setattr(tg.Run, "steps", loop)
    assert tg.io.load(part / "checkpoint.safetensors")["step"] > 0
    run(path, part, *options, "--resume")
    files = [(out / "checkpoint.safetensors").read_bytes() for out in (whole, part)]
    assert files[0] == files[1]


def test_a_step_of_word2vec_is_the_sum_over_all_pairs():
    """By the formula of the class, pair by pair."""
    module = example()
    words = module.Words(text_of_two_kinds(200), 1, module.LENGTH)
    args = module.parse(["--width", "4", "--window", "3", "--epochs", "1", "--sample", "1"])
    model = module.SkipGram(words, args)
    model.contexts.weight.data[...] = np.random.default_rng(0).normal(size=(len(words), 4))
    ids, noise = model.batch(np.random.default_rng(1))
    w, c = (table.weight.numpy().astype(float) for table in (model.words, model.contexts))

    def softplus(x):
        return np.logaddexp(0, x)

    expected = 0.0
    for block, drawn in zip(ids, noise, strict=True):
        false = softplus(w[block] @ c[drawn].T).mean(axis=1)
        for i, word in enumerate(block):
            for j in range(max(0, i - 3), min(len(block), i + 4)):
                if i != j:
                    near = 1 - (abs(i - j) - 1) / 3
                    true = softplus(-w[word] @ c[block[j]])
                    expected += near * (true + args.negatives * false[i])
    assert model(ids, noise).item() == pytest.approx(expected, rel=1e-5)


def test_pairs_are_counted_by_their_distance():
    words = example("similarity").Words("a b a c", 1, 1)
    left, right, counts = words.pairs(2)
    found = {
        (words.names[i], words.names[j]): x for i, j, x in zip(left, right, counts, strict=True)
    }
    assert found == {
        ("a", "a"): 1.0, ("a", "b"): 2.0, ("b", "a"): 2.0, ("a", "c"): 1.0, ("c", "a"): 1.0,
        ("b", "c"): 0.5, ("c", "b"): 0.5,
    }  # fmt: skip


def test_the_score_is_the_mean_average_precision():
    module = example("similarity")
    words = module.Words(" ".join(ALL), 1, 1)
    kinds = np.array([words.groups[name] == "kin" for name in words.names])
    vectors = np.stack([kinds, ~kinds], axis=1) + 0.01 * np.random.default_rng(0).random((12, 2))
    assert words.score(vectors) == 1
    order = np.array(words.names)[words.ids]
    assert order.tolist() == ALL
    assert 0 < words.score(np.random.default_rng(1).normal(size=(12, 8))) < 0.8
    few = module.Words("father mother count sheep", 1, 1)
    assert few.score(np.ones((4, 2))) == 0


@pytest.mark.parametrize(("text", "count"), [("", 0), ("12 + 3\n", 0), ("a few words\n" * 20, 60)])
def test_a_text_with_too_few_words_is_refused(text, count, tmp_path):
    (tmp_path / "text.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"\[word_vectors\] the text has {count} words"):
        run(tmp_path / "text.txt", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_text_and_an_empty_window_are_refused(tmp_path, capsys):
    (tmp_path / "text.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text in UTF-8"):
        run(tmp_path / "text.txt", tmp_path / "run")
    with pytest.raises(SystemExit):
        example().parse(["--window", "64"])
    assert "expected 1 to 63" in capsys.readouterr().err

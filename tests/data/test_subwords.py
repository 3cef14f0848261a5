"""Subwords and masked tokens: what is learned, read, encoded, batched, and what is refused."""

import builtins
import copy
import itertools
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needed import imported

from tinygrad_like import data
from tinygrad_like.data import DataError, SubwordVocabulary, TokenBatch, mask_tokens

tokenizers = imported("tokenizers")

TEXTS = ["The cat sat on the mat.", "A cat sits; the cats sat.", "Dogs run, cats ran."] * 2
WORDS = SubwordVocabulary.train_wordpiece(TEXTS, 60)
BYTES = SubwordVocabulary.train_bpe(TEXTS, 280)
BOTH = pytest.mark.parametrize("vocabulary", [WORDS, BYTES], ids=["words", "bytes"])
FRAME = {"[CLS]", "[SEP]", "[PAD]"}


def test_wordpiece_knows_words_and_pieces():
    assert repr(WORDS) == f"SubwordVocabulary(WordPiece, {len(WORDS)} tokens)"
    assert len(WORDS) <= 60
    assert [WORDS.id(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")] == [
        *range(5)
    ]
    ids = WORDS.encode("The CATS, the mat?")
    assert ids.dtype == np.int64
    assert WORDS.tokens(ids)[-1] == "[UNK]"  # no text had a question mark
    assert WORDS.decode(ids) == "the cats, the mat"
    assert WORDS.encode("cat [MASK]")[-1] == WORDS.id("[MASK]")
    cased = SubwordVocabulary.train_wordpiece(TEXTS, 60, lowercase=False)
    assert cased.decode(cased.encode("The cat")) == "The cat"


@settings(deadline=None)
@given(st.text(min_size=1).filter(lambda text: "<|" not in text))
def test_bytes_give_every_text_back(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # half a surrogate pair is in no file
    assert BYTES.decode(BYTES.encode(text)) == text


def test_bpe_merges_what_occurs_most():
    assert repr(BYTES) == "SubwordVocabulary(BPE, 280 tokens)"
    assert BYTES.id("<|endoftext|>") == 0
    assert len(BYTES.encode("the cat")) < len("the cat")
    assert BYTES.tokens(BYTES.encode("cats")[:1]) == ["cat"]


@BOTH
def test_texts_are_read_once_from_any_iterable_and_learned_alike(vocabulary):
    train = type(vocabulary).train_wordpiece if vocabulary is WORDS else SubwordVocabulary.train_bpe
    size = 60 if vocabulary is WORDS else 280
    for _ in range(5):
        assert train((text for text in TEXTS), size).json == vocabulary.json


@BOTH
def test_a_file_a_string_and_a_copy_keep_a_vocabulary(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "tokenizer.json")
    for again in (
        SubwordVocabulary.load(tmp_path),
        SubwordVocabulary.load(str(tmp_path / "tokenizer.json")),
        SubwordVocabulary(vocabulary.json),
        SubwordVocabulary(tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))),
        copy.deepcopy(vocabulary),
        pickle.loads(pickle.dumps(vocabulary)),
    ):
        assert again.json == vocabulary.json
        assert again.encode(TEXTS[0]).tolist() == vocabulary.encode(TEXTS[0]).tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_padding_and_truncation_in_a_file_are_left_to_batch(tmp_path):
    tokenizer = tokenizers.Tokenizer.from_str(WORDS.json)
    tokenizer.enable_padding(length=30)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocabulary = SubwordVocabulary.load(tmp_path)
    assert vocabulary.encode(TEXTS[0]).tolist() == WORDS.encode(TEXTS[0]).tolist()
    assert vocabulary.batch(TEXTS[:1]).ids.shape == WORDS.batch(TEXTS[:1]).ids.shape


def test_a_tokenizer_of_transformers_gives_the_same_numbers(tmp_path):
    transformers = imported("transformers")
    WORDS.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), pad_token="[PAD]"
    )
    pairs = TEXTS[:3], ["the mat", "a dog ran", "cats"]
    expected = theirs(*pairs, padding=True, return_token_type_ids=True)
    batch = WORDS.batch(*pairs)
    assert batch.ids.tolist() == expected["input_ids"]
    assert batch.segments.tolist() == expected["token_type_ids"]
    assert (1 - batch.padding).tolist() == expected["attention_mask"]


def test_a_batch_has_special_tokens_segments_and_padding():
    batch = WORDS.batch(["the cat", "cats sat on the mat"], ["a dog ran", "mat"])
    assert isinstance(batch, TokenBatch)
    for row, segments, padding in zip(*batch, strict=True):
        tokens = WORDS.tokens(row)
        ends = [i for i, token in enumerate(tokens) if token == "[SEP]"]
        assert tokens[0] == "[CLS]"
        assert len(ends) == 2
        assert segments.tolist() == [int(ends[0] < i <= ends[1]) for i in range(len(tokens))]
        assert padding.tolist() == [token == "[PAD]" for token in tokens]
    assert batch.padding.any()
    single = WORDS.batch(["the cat"])
    assert WORDS.tokens(single.ids[0]) == ["[CLS]", "the", "cat", "[SEP]"]
    plain = BYTES.batch(["the cat", "cats"])
    assert plain.ids[0].tolist() == BYTES.encode("the cat").tolist()
    assert not plain.segments.any()


def test_length_cuts_the_longer_text_of_a_pair_first():
    batch = WORDS.batch(["cats sat on the mat", "cat"], ["the dogs", "dogs"], length=7)
    assert batch.ids.shape[1] == 7
    tokens = [token for token in WORDS.tokens(batch.ids[0]) if token not in FRAME]
    assert tokens == ["cats", "sat", *WORDS.tokens(WORDS.encode("the dogs"))[:2]]
    assert WORDS.batch(["cats sat on the mat"] * 2, length=3).ids.shape == (2, 3)
    assert WORDS.batch(["cats sat on the mat"]).ids.shape[1] > 5, "the next batch is not cut"


REFUSED = {
    "no texts": (lambda: SubwordVocabulary.train_wordpiece([], 60), ValueError,
                 "[train_wordpiece] the texts have no word"),
    "empty texts": (lambda: SubwordVocabulary.train_bpe(["", " \n"], 300), ValueError,
                    "[train_bpe] the texts have no word: there is nothing to learn from"),
    "one text": (lambda: SubwordVocabulary.train_bpe("text", 300), TypeError,
                 "[train_bpe] texts is a string, expected an iterable of strings"),
    "bytes": (lambda: SubwordVocabulary.train_bpe(["a", b"b"], 300), TypeError,
              "[train_bpe] text 1 is a bytes, expected a string"),
    "few for bytes": (lambda: SubwordVocabulary.train_bpe(["a"], 256), ValueError,
                      "[train_bpe] size is 256, expected at least 257"),
    "few": (lambda: SubwordVocabulary.train_wordpiece(TEXTS, 9), ValueError,
            "[train_wordpiece] size is 9, expected at least "),
    "special": (lambda: SubwordVocabulary.train_wordpiece(TEXTS, 60, special=("[PAD]",)),
                ValueError, "special lacks [UNK], [CLS], [SEP], [MASK], expected all of BERT's"),
    "lowercase": (lambda: SubwordVocabulary.train_wordpiece(TEXTS, 60, lowercase="no"), ValueError,
                  "[train_wordpiece] lowercase is 'no', expected True or False"),
    "a string": (lambda: SubwordVocabulary("no JSON"), DataError,
                 "[SubwordVocabulary] the string is no tokenizer.json, or a damaged one"),
    "a number": (lambda: SubwordVocabulary(3), TypeError, "tokenizer is a int, expected a tok"),
    "an empty text": (lambda: WORDS.encode(""), ValueError, "[encode] the text has no token: ''"),
    "spaces": (lambda: WORDS.encode("  "), ValueError, "[encode] the text has no token: '  '"),
    "no text": (lambda: WORDS.encode(None), TypeError, "[encode] the text is a NoneType, expec"),
    "an id": (lambda: WORDS.decode([0, 99]), IndexError, "[decode] there is no token 99, expected"),
    "a negative id": (lambda: WORDS.tokens([-1]), IndexError, "[tokens] there is no token -1"),
    "no ids": (lambda: WORDS.decode([0.5]), TypeError, "[decode] ids are float64 (1,), expected"),
    "a token": (lambda: WORDS.id("zebra"), KeyError, "[id] there is no token 'zebra' in Subword"),
    "an empty batch": (lambda: WORDS.batch([]), ValueError, "[batch] texts is empty, expected at"),
    "a string as a batch": (lambda: WORDS.batch("a cat"), TypeError, "[batch] texts is a string"),
    "an empty text in a batch": (lambda: WORDS.batch(["cat", ""]), ValueError,
                                 "[batch] a text has no token: ''"),
    "an empty text of a pair": (lambda: WORDS.batch(["cat"], [" "]), ValueError,
                                "[batch] a text has no token: ('cat', ' ')"),
    "numbers": (lambda: WORDS.batch(["cat", 3]), TypeError, "[batch] texts[1] is a int, expected"),
    "pairs": (lambda: WORDS.batch(["cat"], ["a", "b"]), ValueError,
              "[batch] there are 1 texts and 2 pairs"),
    "length": (lambda: WORDS.batch(["cat"], ["dog"], length=4), ValueError,
               "[batch] length is 4, expected at least 5: 3 special tokens"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    file = tmp_path / "tokenizer.json"
    with pytest.raises(FileNotFoundError) as none:
        SubwordVocabulary.load(tmp_path)
    assert str(none.value) == f"[load] there is no file {file}, expected a tokenizer.json"
    state = json.loads(WORDS.json)
    damaged = [WORDS.json[:-9], "", "[]", json.dumps({**state, "model": {"type": "none"}})]
    for content in (*(text.encode() for text in damaged), b"\xff\xfe\x00"):
        file.write_bytes(content)
        with pytest.raises(DataError) as caught:
            SubwordVocabulary.load(file)
        assert f"{file} is no tokenizer.json" in str(caught.value)


def test_without_the_library_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refusing(name, *rest, **options):
        if name.split(".")[0] == "tokenizers":
            raise ImportError("No module named 'tokenizers'")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refusing)
    for call in (
        lambda: SubwordVocabulary("{}"),
        lambda: SubwordVocabulary.train_bpe(TEXTS, 300),
        lambda: SubwordVocabulary.load("tokenizer.json"),
    ):
        with pytest.raises(ImportError, match=r"pip install 'tinygrad-like\[text\]' brings it"):
            call()


# Masked tokens


def test_of_the_chosen_eighty_percent_are_masked_ten_random_and_ten_kept():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 1000, (400, 100))
    eligible = rng.random(ids.shape) < 0.9
    before = ids.copy()
    seen, places = mask_tokens(ids, eligible, rng, mask=4, size=1000)
    np.testing.assert_array_equal(ids, before)
    assert not places[~eligible].any()
    np.testing.assert_array_equal(seen[~places], ids[~places])
    assert abs(places.sum() / eligible.sum() - 0.15) < 0.01
    chosen, were = seen[places], ids[places]
    shares = [(chosen == 4).mean(), ((chosen != 4) & (chosen != were)).mean()]
    np.testing.assert_allclose(shares, [0.8, 0.1], atol=0.02)
    drawn = chosen[(chosen != 4) & (chosen != were)]
    assert drawn.min() < 100
    assert drawn.max() > 900


def test_masks_follow_from_the_generator_alone_and_hide_at_least_one():
    ids = np.arange(5, 17).reshape(3, 4)
    one = ids == 9
    for seed, rate in itertools.product(range(5), (0.0, 0.15)):
        draws = [
            mask_tokens(ids, one, np.random.default_rng(seed), mask=4, size=17, rate=rate)
            for _ in range(2)
        ]
        for a, b in zip(*draws, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(draws[0][1], one)


@pytest.mark.parametrize(
    ("eligible", "rate", "message"),
    [
        (np.ones(3, bool), 0.1, "eligible is (3,), ids are (4,)"),
        (np.zeros(4, bool), 0.1, "no token is eligible, expected at least one in a batch"),
        (np.ones(4, bool), 1.5, "rate is 1.5, expected a number from 0 to 1"),
    ],
)
def test_what_cannot_be_masked_is_refused(eligible, rate, message):
    with pytest.raises(ValueError, match=r"^\[mask_tokens\]") as caught:
        data.mask_tokens(
            np.arange(4), eligible, np.random.default_rng(0), mask=0, size=4, rate=rate
        )
    assert message in str(caught.value)
